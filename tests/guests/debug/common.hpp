// SPDX-License-Identifier: Apache-2.0
// What the kernels for debugger tests share, 32-bit and 64-bit: things to look at, to break in and to step
// over, and the loop that a debugger drives: it sets `command`, continues, and meets `scenario_done`.
#pragma once

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using uptr = __UINTPTR_TYPE__;

#define NOT_INLINED [[gnu::noinline]]

/// What the kernel shall do next. The names are usable in gdb: set var command = kHotLoop
enum Command : u32 {
    kNone,
    kHotLoop,   ///< work() is called `rounds` times
    kRecursion, ///< descend() goes `depth` levels down
    kTouch,     ///< touch() reads table[0], writes table[1], adds to table[2]
    kPowerOff,
    // Only in 64-bit mode:
    kPageCrossing,  ///< an 8-byte store, half of it on the next page
    kSelfModifying, ///< patched() is rewritten before each of `rounds` calls
    kLatePage,      ///< late_function() is copied and mapped now, then called
    kUserMode,      ///< user_main() in ring 3, three system calls
    kInterrupts,    ///< `rounds` interrupts of the local APIC's timer
    kOwnDebugging,  ///< INT3, the trap flag and debug registers of the kernel's own
    kChecksum,      ///< sums its own text into text_sum
    kTripleFault,
    kHalt,           ///< HLT until `command` changes
    kPanic,          ///< tells a panic through the Hyper-V crash MSRs, with a text
    kCrashRegisters, ///< the same, with registers
    kFillString,     ///< REP STOSB over all of `table`
    kClock,          ///< how long it was away: clock_us, by the reference time
    kRegisters,      ///< take_registers(), where a debugger has to come in
    kPending,        ///< pending_window() `rounds` times, each with a timer interrupt that waits already
};

struct Point {
    int x, y;
    char const* name;
};

extern "C" {
extern Command volatile command;
extern u64 volatile counter;
extern u32 volatile rounds, depth;
extern long volatile table[8];
extern Point origin;
extern u32 volatile seen_faults;

u32 fib(u32 n);
u64 work(u32 i);
int descend(int level);
void scenario_done(Command which, bool ok);
/// Never returns.
[[noreturn]] void command_loop();
/// The commands that are not in common.cpp. @return whether all was as it must be
bool run_more(Command which);
/// Waits a little for `command` to change.
void idle();
[[noreturn]] void power_off();
}

void say(char const* text);
void say_hex(u64 value);

inline void out8(u16 port, u8 value) {
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
inline void out16(u16 port, u16 value) {
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}
