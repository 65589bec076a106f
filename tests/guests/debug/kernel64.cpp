// SPDX-License-Identifier: Apache-2.0
// The 64-bit PVH kernel for debugger tests: what a kernel does that a debugger must not disturb. Each
// scenario checks itself.
#include "common.hpp"

namespace {
struct InterruptFrame {
    u64 rip, cs, rflags, rsp, ss;
};
struct [[gnu::packed]] Gate {
    u16 low, selector;
    u8 stack, type;
    u16 middle;
    u32 high, reserved;
};
struct [[gnu::packed]] TablePointer {
    u16 limit;
    u64 base;
};
constexpr uptr kHigh = 0xffff'ffff'8000'0000;
constexpr u64 kPresent = 1, kWritable = 2, kUser = 4;
constexpr u64 kTrapFlag = 1u << 8, kResumeFlag = 1u << 16;
constexpr u8 kTimerVector = 0x40;
constexpr u32 kMsrApicBase = 0x1b, kStar = 0xc000'0081, kLstar = 0xc000'0082, kSfmask = 0xc000'0084;
constexpr u32 kReferenceTime = 0x4000'0020, kCrashP0 = 0x4000'0100, kCrashControl = 0x4000'0105;

u64 rdmsr(u32 index) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return static_cast<u64>(high) << 32 | low;
}
void wrmsr(u32 index, u64 value) {
    asm volatile("wrmsr"
                 :
                 : "c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
}
void flush_tlb() {
    u64 value;
    asm volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(value) : : "memory");
}
u64 physical(void const* at) {
    return reinterpret_cast<uptr>(at) - kHigh;
}
} // namespace

extern "C" {
extern u64 pml4[512], directories[4][512], directory_high[512], pdpt_high[512], gdt[11];
extern u8 text_start[], text_end[], read_only_end[], kernel_end[], kernel_stack_top[], user_load[],
    late_load[];
extern u64 cpu_local[8];
void debug_entry();
void breakpoint_entry();
void timer_entry();
void fault_entry();
void fault_code_entry();
void system_call_entry();
void enter_user(void const* entry, void* stack);
extern u8 user_main[], user_after_call[], own_steps_first[], own_steps_last[], own_breakpoint_next[],
    own_store_next[];
void pending_window();
void take_registers();
void own_steps();
void own_breakpoint();
void own_target();
void own_store(u8 volatile* to);
u32 patched();
u32 late_function(u32 value);

u32 volatile seen_faults = 0, ticks = 0, own_traps = 0, own_breaks = 0, own_points = 0, own_wrong = 0,
             user_calls = 0;
u64 volatile own_dr6 = 0, text_sum = 0, clock_us = 0;
u8 volatile own_byte = 0;
[[gnu::aligned(4096)]] u8 volatile edge[8192];
[[gnu::aligned(4096)]] u64 other_root[512];
}

namespace {
[[gnu::aligned(4096)]] u64 kernel_pages[512], user_pages[512], late_directory[512], late_pages[512],
    other_pdpt[512], other_directory[512];
[[gnu::aligned(4096)]] u8 late_frame[4096], user_stack[4096], panic_text[4096];
[[gnu::aligned(16)]] Gate idt[256];
u8 interrupt_stack[8192];
u32 tss[26];
u32 volatile* apic = nullptr;

void set_gate(u8 vector, void (*entry)()) {
    u64 const at = reinterpret_cast<uptr>(entry);
    idt[vector] = {static_cast<u16>(at),       8, 0, 0x8e, static_cast<u16>(at >> 16),
                   static_cast<u32>(at >> 32), 0};
}

void make_tables() {
    // The kernel's 2 MiB in 4 KiB pages: text is read-only.
    for (u64 i = 0; i < 512; ++i) {
        u64 const at = 0x20'0000 + i * 4096;
        bool const fixed = at < physical(read_only_end);
        kernel_pages[i] = at | kPresent | (fixed ? 0 : kWritable);
    }
    directory_high[1] = physical(kernel_pages) | kPresent | kWritable;
    // User code and a stack behind it; only the lower half's way there is open to ring 3.
    user_pages[0] = reinterpret_cast<uptr>(user_load) | kPresent | kUser;
    user_pages[1] = physical(user_stack) | kPresent | kWritable | kUser;
    directories[0][2] = physical(user_pages) | kPresent | kWritable | kUser;
    flush_tlb();
}

void make_descriptors() {
    u64 const base = reinterpret_cast<uptr>(tss),
              stack = reinterpret_cast<uptr>(interrupt_stack + sizeof interrupt_stack);
    tss[1] = static_cast<u32>(stack); // RSP0
    tss[2] = static_cast<u32>(stack >> 32);
    tss[25] = sizeof tss << 16;
    gdt[6] = (sizeof tss - 1) | (base & 0xff'ffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[7] = base >> 32;
    asm volatile("ltr %w0" : : "r"(48));
    for (unsigned vector = 0; vector < 256; ++vector) {
        bool const code = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
        set_gate(static_cast<u8>(vector), code ? fault_code_entry : fault_entry);
    }
    set_gate(1, debug_entry);
    set_gate(3, breakpoint_entry);
    set_gate(kTimerVector, timer_entry);
    TablePointer const pointer{sizeof idt - 1, reinterpret_cast<uptr>(idt)};
    asm volatile("lidt %0" : : "m"(pointer));
    wrmsr(kStar, 24ull << 48 | 8ull << 32);
    wrmsr(kLstar, reinterpret_cast<uptr>(system_call_entry));
    wrmsr(kSfmask, 0x4'7700); // as Linux: TF, IF, DF, IOPL, NT, AC
}

void start_apic() {
    out8(0x21, 0xff); // where there are PICs, they are silent
    out8(0xa1, 0xff);
    apic = reinterpret_cast<u32 volatile*>(rdmsr(kMsrApicBase) & ~0xfffull);
    apic[0xf0 / 4] = 0x1ff; // spurious vector, on
    apic[0x3e0 / 4] = 0xb;  // divide by 1
}
void timer(u32 initial) {
    apic[0x320 / 4] = initial == 0 ? 0x1'0000u : 0x2'0000u | kTimerVector; // masked, or periodic
    apic[0x380 / 4] = initial;
}
} // namespace

extern "C" {
// -- interrupts
// -----------------------------------------------------------------------------------------------------------------
void debug_event(InterruptFrame* frame) {
    u64 dr6;
    asm volatile("mov %%dr6, %0" : "=r"(dr6));
    own_dr6 = dr6;
    if ((dr6 & 1u << 14) != 0) { // BS
        own_traps = own_traps + 1;
        u64 const first = reinterpret_cast<uptr>(own_steps_first),
                  last = reinterpret_cast<uptr>(own_steps_last);
        if (frame->rip <= first || frame->rip > last) {
            own_wrong = own_wrong + 1;
        }
    }
    if ((dr6 & 3) != 0) {
        own_points = own_points + 1;
        u64 const expected =
            (dr6 & 1) != 0 ? reinterpret_cast<uptr>(own_target) : reinterpret_cast<uptr>(own_store_next);
        if (frame->rip != expected) {
            own_wrong = own_wrong + 1;
        }
        frame->rflags |= kResumeFlag;
    }
    if ((dr6 & 0x4003) == 0) {
        own_wrong = own_wrong + 1;
    }
    asm volatile("mov %0, %%dr6" : : "r"(0xffff'0ff0ull));
}

void breakpoint_event(InterruptFrame* frame) {
    own_breaks = own_breaks + 1;
    if (frame->rip != reinterpret_cast<uptr>(own_breakpoint_next)) {
        own_wrong = own_wrong + 1;
    }
}

NOT_INLINED void timer_event(InterruptFrame* frame) {
    ticks = ticks + 1;
    if ((frame->rflags & kTrapFlag) != 0) {
        own_wrong = own_wrong + 1;
    }
    apic[0xb0 / 4] = 0;
}

NOT_INLINED void fault_event(InterruptFrame* frame) {
    seen_faults = seen_faults + 1;
    say("debuggee: FAIL fault at ");
    say_hex(frame->rip);
    say("\r\n");
    power_off();
}

NOT_INLINED void system_call(u32 number) {
    user_calls = user_calls + number;
}
}

// -- scenarios
// --------------------------------------------------------------------------------------------------------------------
namespace {
NOT_INLINED bool page_crossing() {
    u64 volatile* const at = reinterpret_cast<u64 volatile*>(edge + 4092);
    *at = 0x1122'3344'5566'7788;
    return edge[4095] == 0x55 && edge[4096] == 0x44;
}

NOT_INLINED bool self_modifying() {
    bool good = true;
    u8 volatile* const code = reinterpret_cast<u8 volatile*>(patched);
    u32 const turns = rounds;
    for (u32 i = 1; i <= turns; ++i) {
        code[0] = 0xb8; // mov eax, imm32
        *reinterpret_cast<u32 volatile*>(code + 1) = i;
        code[5] = 0xc3;
        asm volatile("cpuid" : : "a"(0) : "ebx", "ecx", "edx", "memory"); // serialises
        good &= patched() == i;
    }
    return good;
}

NOT_INLINED bool late_page() {
    __builtin_memcpy(late_frame, late_load, sizeof late_frame);
    late_pages[0] = physical(late_frame) | kPresent;
    late_directory[0] = physical(late_pages) | kPresent | kWritable;
    pdpt_high[511] = physical(late_directory) | kPresent | kWritable;
    flush_tlb();
    u32 const result = late_function(40);
    u32 const again = late_function(50);
    return result == 42 && again == 52;
}

NOT_INLINED bool user_mode() {
    u32 const before = user_calls;
    cpu_local[3] = 0;
    enter_user(user_main, reinterpret_cast<void*>(0x402000));
    return user_calls - before == 6;
}

NOT_INLINED bool interrupts() {
    u32 const until = ticks + rounds;
    timer(100'000);
    asm volatile("sti");
    while (static_cast<int>(ticks - until) < 0) {
        for (u32 i = 0; i < 1000; ++i) {
            asm volatile("");
        }
    }
    asm volatile("cli");
    timer(0);
    return own_wrong == 0;
}

NOT_INLINED bool pending_interrupts() {
    u32 const before = ticks, turns = rounds;
    for (u32 i = 0; i < turns; ++i) {
        apic[0x320 / 4] = kTimerVector; // once
        apic[0x380 / 4] = 10'000;
        while ((apic[(0x200 + kTimerVector / 32 * 16) / 4] >> kTimerVector % 32 & 1) == 0) { // its IRR bit
        }
        pending_window();
    }
    timer(0);
    return ticks - before == turns && own_wrong == 0;
}

NOT_INLINED bool own_debugging() {
    own_traps = 0;
    own_breaks = 0;
    own_points = 0;
    own_wrong = 0;
    own_breakpoint();
    own_steps();
    // DR0: execution of own_target. DR1: a byte written.
    u64 const point = reinterpret_cast<uptr>(own_target), watch = reinterpret_cast<uptr>(&own_byte);
    u64 const control = 0x10'0400 | 1u << 0 | 1u << 2; // LEN1 = 0, RW1 = 1, RW0 = 0; L0, L1
    asm volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr7" : : "r"(point), "r"(watch), "r"(control));
    own_target();
    own_store(&own_byte);
    u64 dr0, dr1, dr2, dr3, dr6, dr7;
    asm volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2" : "=r"(dr0), "=r"(dr1), "=r"(dr2));
    asm volatile("mov %%dr3, %0; mov %%dr6, %1; mov %%dr7, %2" : "=r"(dr3), "=r"(dr6), "=r"(dr7));
    asm volatile("mov %0, %%dr7" : : "r"(0x400ull));
    bool const registers =
        dr0 == point && dr1 == watch && dr2 == 0 && dr3 == 0 && dr6 == 0xffff'0ff0 && dr7 == control;
    return own_breaks == 1 && own_traps == 6 && own_points == 2 && own_wrong == 0 && registers;
}

NOT_INLINED bool checksum() {
    u64 sum = 0;
    for (u8 const volatile* at = text_start; at < text_end; ++at) {
        sum = sum * 31 + *at;
    }
    text_sum = sum;
    return true;
}

NOT_INLINED void triple_fault() {
    TablePointer const nothing{0, 0};
    asm volatile("lidt %0; int3" : : "m"(nothing));
}

NOT_INLINED bool halt_until_told() {
    u32 const before = ticks;
    timer(10'000'000);
    while (command == kNone) {
        asm volatile("sti; hlt; cli");
    }
    timer(0);
    return ticks != before;
}

/// Hyper-V TLFS, "Guest Crash Enlightenment": P0 to P4, then the control register.
NOT_INLINED void panic(bool with_text) {
    static char const kText[] = "debuggee: the kernel has died\nfor a test";
    __builtin_memcpy(panic_text, kText, sizeof kText);
    u64 const values[2][5] = {{0xbad, 0x8100, reinterpret_cast<uptr>(panic), 0x1234, 0x5678},
                              {0, 0, 0, physical(panic_text), sizeof kText - 1}};
    for (u32 i = 0; i < 5; ++i) {
        wrmsr(kCrashP0 + i, values[with_text][i]);
    }
    wrmsr(kCrashControl, 1ull << 63 | (with_text ? 1ull << 62 : 0));
}

/// At the first address of the upper half either root has something else: memory from 0 on, or the kernel's.
NOT_INLINED void registers() {
    constexpr u64 kHalf = 256, kLargePage = 1u << 7;
    __builtin_memcpy(other_root, pml4, sizeof other_root);
    pml4[kHalf] = pml4[0];
    other_root[kHalf] = physical(other_pdpt) | kPresent | kWritable;
    other_pdpt[0] = physical(other_directory) | kPresent | kWritable;
    other_directory[0] = 0x20'0000 | kPresent | kWritable | kLargePage;
    flush_tlb();
    take_registers();
}

NOT_INLINED bool fill_string() {
    void* to = const_cast<long*>(table);
    u64 count = sizeof table;
    asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0x5a) : "memory");
    return table[7] == 0x5a5a'5a5a'5a5a'5a5a && count == 0;
}
} // namespace

extern "C" {
bool run_more(Command which) {
    switch (which) {
    case kPageCrossing: return page_crossing();
    case kSelfModifying: return self_modifying();
    case kLatePage: return late_page();
    case kUserMode: return user_mode();
    case kInterrupts: return interrupts();
    case kOwnDebugging: return own_debugging();
    case kChecksum: return checksum();
    case kTripleFault: triple_fault(); return false;
    case kHalt: return halt_until_told();
    case kPanic: panic(true); return true;
    case kCrashRegisters: panic(false); return true;
    case kFillString: return fill_string();
    case kRegisters: registers(); return true;
    case kPending: return pending_interrupts();
    case kClock: clock_us = rdmsr(kReferenceTime) / 10; return true;
    default: return false;
    }
}

void idle() {
    for (u32 i = 0; i < 1000; ++i) {
        asm volatile("");
    }
}

void kernel_main() {
    make_tables();
    make_descriptors();
    start_apic();
    command_loop();
}
}
