// SPDX-License-Identifier: Apache-2.0
// See common.hpp.
#include "common.hpp"

extern "C" {
Command volatile command = kNone;
u64 volatile counter = 0;
u32 volatile rounds = 1000, depth = 10;
long volatile table[8] = {10, 11, 12, 13, 14, 15, 16, 17};
Point origin = {3, -4, "origin"};

NOT_INLINED u32 fib(u32 n) {
    if (n < 2) {
        return n;
    }
    u32 const before = fib(n - 2);
    u32 const last = fib(n - 1);
    return before + last;
}

NOT_INLINED u64 work(u32 i) {
    counter = counter + i;
    return counter;
}

NOT_INLINED int descend(int level) {
    if (level == 0) {
        counter = counter + 1;
        return 1;
    }
    int const below = descend(level - 1);
    return below + 1;
}

NOT_INLINED long touch() {
    long const read = table[0];
    table[1] = read + 100;
    table[2] = table[2] + 1;
    return read;
}

NOT_INLINED bool hot_loop() {
    u64 const before = counter;
    u64 sum = 0;
    u32 const turns = rounds;
    for (u32 i = 0; i < turns; ++i) {
        work(i);
        sum += i;
    }
    return counter - before == sum;
}

NOT_INLINED bool recursion() {
    int const levels = static_cast<int>(depth);
    int const result = descend(levels);
    u32 const tenth = fib(10);
    return result == levels + 1 && tenth == 55;
}

NOT_INLINED void scenario_done(Command which, bool ok) {
    say("debuggee: scenario ");
    say_hex(which);
    say(ok ? " ok\r\n" : " FAIL\r\n");
}

bool run(Command which) {
    switch (which) {
    case kHotLoop: return hot_loop();
    case kRecursion: return recursion();
    case kTouch: return touch() == 10;
    case kPowerOff: power_off();
    default: return run_more(which);
    }
}

void command_loop() {
    say("debuggee: up\r\n");
    for (;;) {
        Command const now = command;
        if (now == kNone) {
            idle();
            continue;
        }
        command = kNone;
        scenario_done(now, run(now));
    }
}

void power_off() {
    say("debuggee: power off\r\n");
    out16(0x404, 0x2000); // ACPI PM1a control: SLP_EN, SLP_TYP 0
    for (;;) {
        asm volatile("cli; hlt");
    }
}

// The compiler wants these even freestanding.
void* memcpy(void* to, void const* from, __SIZE_TYPE__ bytes) {
    for (__SIZE_TYPE__ i = 0; i < bytes; ++i) {
        static_cast<u8 volatile*>(to)[i] = static_cast<u8 const*>(from)[i];
    }
    return to;
}
void* memset(void* to, int value, __SIZE_TYPE__ bytes) {
    for (__SIZE_TYPE__ i = 0; i < bytes; ++i) {
        static_cast<u8 volatile*>(to)[i] = static_cast<u8>(value);
    }
    return to;
}
}

void say(char const* text) {
    for (; *text != 0; ++text) {
        out8(0x3f8, static_cast<u8>(*text));
    }
}

void say_hex(u64 value) {
    char digits[17];
    int at = 16;
    digits[at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value != 0);
    say(digits + at);
}
