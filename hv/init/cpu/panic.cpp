// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/panic.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/base/log.hpp"
#include "hv/core/registers.hpp"
#include "hv/init/cpu/cpu_local.hpp"
#include "hv/init/cpu/local_apic.hpp"
#include "hv/init/cpu/machine_end.hpp"
#include "hv/init/cpu/serial_console.hpp"
#include "hv/init/trace/demangle.hpp"
#include "hv/init/trace/elf_symbols.hpp"
#include "hv/init/trace/frames.hpp"

namespace hv {
namespace init {
namespace {
constexpr u32 kPanicCode = 0x7f; ///< for machine_end(): QEMU exits with 255
constexpr u64 kSmallestPointer = 0xffff'8000'0000'0000;
constexpr u64 kFetch = 1u << 4; ///< of a page fault's error code

constinit ElfSymbols symbols;
constinit StackRange extra_stack{0, 0};
constinit u32 panicking = 0; ///< 1 + index of the CPU that does, 0: nobody

constexpr std::string_view kExceptionNames[32] = {"divide error",
                                                  "debug exception",
                                                  "NMI",
                                                  "breakpoint",
                                                  "overflow",
                                                  "BOUND range exceeded",
                                                  "invalid opcode",
                                                  "device not available",
                                                  "double fault",
                                                  "vector 9",
                                                  "invalid TSS",
                                                  "segment not present",
                                                  "stack fault",
                                                  "general protection",
                                                  "page fault",
                                                  "vector 15",
                                                  "x87 error",
                                                  "alignment check",
                                                  "machine check",
                                                  "SIMD error",
                                                  "virtualization exception",
                                                  "control protection",
                                                  "vector 22",
                                                  "vector 23",
                                                  "vector 24",
                                                  "vector 25",
                                                  "vector 26",
                                                  "vector 27",
                                                  "hypervisor injection",
                                                  "VMM communication",
                                                  "security exception",
                                                  "vector 31"};

u32 cpu_index() {
    CpuLocal const* const local = this_cpu();
    return local == nullptr ? 0 : local->cpu.index;
}

void say_formatted(std::string_view pattern, FormatArgs args) {
    char space[240];
    TextBuffer line{space};
    format_to(line, pattern, args);
    console().write_line("ballast: ", line.text());
}
template <class... Args>
void say(std::string_view pattern, Args const&... args) {
    say_formatted(pattern, FormatPack{args...});
}

/// Reads only where stacks are: the trace of a smashed one must not fault.
struct OwnStacks {
    std::optional<u64> read(u64 address) const {
        bool known = extra_stack.holds(address) && extra_stack.holds(address + 7);
        for (unsigned kind = 0; kind < kStackKinds; ++kind) {
            StackRange const range = stack_of(cpu_index(), static_cast<StackKind>(kind));
            known |= range.holds(address) && range.holds(address + 7);
        }
        if (!known || address < kSmallestPointer) {
            return std::nullopt;
        }
        return *reinterpret_cast<u64 const*>(address);
    }
};

void say_address(unsigned number, u64 address, bool is_return) {
    char space[200];
    TextBuffer name{space};
    // A call as a function's last instruction returns past its end: look up the call.
    if (std::optional<Symbol> const symbol = symbols.find(is_return ? address - 1 : address)) {
        demangle(name, symbol->name);
        format(name, "+0x{:x}", symbol->offset_bytes + (is_return ? 1 : 0));
    } else {
        name.put("?");
    }
    say("  #{} {:016x} {}", number, address, name.text());
}

/// The callers from @p frame_pointer outwards. A recursion is one line and a count.
void say_trace(u64 frame_pointer, unsigned number) {
    constexpr unsigned kMaxLines = 40;
    OwnStacks stacks;
    unsigned lines = 0, repeats = 0;
    u64 last = 0;
    auto const tell_repeats = [&] {
        if (repeats != 0) {
            say("     ... {} more of the same", repeats);
            repeats = 0;
        }
    };
    walk_frames(stacks, frame_pointer, [&](u64 address) {
        if (address == last) {
            ++repeats;
        } else if (lines < kMaxLines) {
            tell_repeats();
            say_address(number, address, true);
            ++lines;
        }
        last = address;
        ++number;
    });
    tell_repeats();
}

/// From here on this CPU is the only one that does anything. A second panic, here or elsewhere, ends quietly.
void take_over() {
    arch::cli();
    u32 nobody = 0;
    u32 const me = cpu_index() + 1;
    if (!__atomic_compare_exchange_n(&panicking, &nobody, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        if (nobody == me) {
            say("PANIC: again, while telling of the first");
            machine_end(kPanicCode);
        }
        halt_for_ever();
    }
    if (local_apic().attached()) {
        local_apic().send_nmi_to_all_others();
    }
    console().seize();
}

[[noreturn]] void end_by_panic() {
    say("PANIC: end of trace, the machine stops");
    machine_end(kPanicCode);
}

void say_registers(TrapFrame const& f) {
    say("  rip {:016x} rsp {:016x} rfl {:016x} err {:x}", f.rip, f.rsp, f.rflags, f.error_code);
    say("  rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", f.rax, f.rbx, f.rcx, f.rdx);
    say("  rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}", f.rsi, f.rdi, f.rbp, f.r8);
    say("  r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}", f.r9, f.r10, f.r11, f.r12);
    say("  r13 {:016x} r14 {:016x} r15 {:016x}", f.r13, f.r14, f.r15);
    say("  cs {:x} ss {:x} cr0 {:x} cr2 {:x} cr3 {:x} cr4 {:x}", f.cs, f.ss, arch::read_cr0(),
        arch::read_cr2(), arch::read_cr3(), arch::read_cr4());
}

bool in_a_guard_page(u64 address) {
    bool hit = false;
    for (unsigned kind = 0; kind < kStackKinds; ++kind) {
        hit |= stack_of(cpu_index(), static_cast<StackKind>(kind)).guard_holds(address);
    }
    return hit;
}
} // namespace

usize use_symbols(std::span<u8 const> elf_file) {
    Result<ElfSymbols, SymbolError> const found = ElfSymbols::parse(elf_file);
    if (found.ok()) {
        symbols = found.value();
    }
    return symbols.count();
}

void allow_trace_through(u64 bottom, u64 top) {
    extra_stack = {bottom, top};
}

void park_if_panicking() {
    if (__atomic_load_n(&panicking, __ATOMIC_ACQUIRE) != 0) {
        halt_for_ever();
    }
}

void crash(TrapFrame const& frame) {
    take_over();
    say("PANIC: CPU {}: {}{}", cpu_index(), kExceptionNames[frame.vector & 31],
        in_a_guard_page(arch::read_cr2()) &&
                (frame.vector == vector::kDoubleFault || frame.vector == vector::kPageFault)
            ? " (stack overflow)"
            : "");
    say_registers(frame);
    say_address(0, frame.rip, false);
    unsigned number = 1;
    if (frame.vector == vector::kPageFault && (frame.error_code & kFetch) != 0) {
        // A wild call: nothing has pushed a frame yet, the caller is on top of the stack.
        OwnStacks stacks;
        if (std::optional<u64> const caller = stacks.read(frame.rsp)) {
            say_address(number++, *caller, true);
        }
    }
    say_trace(frame.rbp, number);
    end_by_panic();
}
} // namespace init

void panic(char const* message) {
    init::take_over();
    init::say("PANIC: CPU {}: {}", init::cpu_index(), message);
    init::say_trace(arch::read_rbp(), 0);
    init::end_by_panic();
}
} // namespace hv
