// SPDX-License-Identifier: Apache-2.0
// Every privileged or special instruction both vendors share, one function each, one instruction each. Only
// hv/init, hv/vmx and hv/svm include this; everyone else is given a parameter (PortAccess, MsrAccess …) so
// that a test can pass a fake. Names are the manuals' mnemonics. All need CPL 0 unless they say otherwise;
// faults are the caller's fault.
#pragma once
#include "hv/arch/cpu_access.hpp"
#include "hv/base/types.hpp"

namespace hv::arch {
/// Operand of LGDT, SGDT, LIDT and SIDT in 64-bit mode (SDM vol 3A, "Pseudo-Descriptor Formats").
struct [[gnu::packed]] PseudoDescriptor {
    u16 limit; ///< size in bytes - 1
    u64 base;  ///< linear
};
static_assert(sizeof(PseudoDescriptor) == 10);

// ---- Identification and time
// -------------------------------------------------------------------------------

/// Any privilege level; serialising.
inline CpuidResult cpuid(u32 leaf, u32 subleaf = 0) {
    CpuidResult r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}
/// Time-stamp counter, ticks. Not ordered against other instructions.
inline u64 rdtsc() {
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64{high} << 32) | low;
}

// ---- Model-specific and extended control registers
// ---------------------------------------------------------

inline u64 rdmsr(u32 index) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
    return (u64{high} << 32) | low;
}
inline void wrmsr(u32 index, u64 value) {
    asm volatile("wrmsr"
                 :
                 : "c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
}
/// Needs CR4.OSXSAVE; index 0 is XCR0.
inline u64 xgetbv(u32 index) {
    u32 low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
    return (u64{high} << 32) | low;
}
/// Needs CR4.OSXSAVE and a legal combination (SDM vol 1, "Enabling the XSAVE Feature Set"), else #GP.
inline void xsetbv(u32 index, u64 value) {
    asm volatile("xsetbv"
                 :
                 : "c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
}

// ---- Ports
// -------------------------------------------------------------------------------------------------

inline u8 in8(u16 port) {
    u8 value;
    asm volatile("inb %w1, %b0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
inline u16 in16(u16 port) {
    u16 value;
    asm volatile("inw %w1, %w0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
inline u32 in32(u16 port) {
    u32 value;
    asm volatile("inl %w1, %k0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}
inline void out8(u16 port, u8 value) {
    asm volatile("outb %b0, %w1" : : "a"(value), "Nd"(port) : "memory");
}
inline void out16(u16 port, u16 value) {
    asm volatile("outw %w0, %w1" : : "a"(value), "Nd"(port) : "memory");
}
inline void out32(u16 port, u32 value) {
    asm volatile("outl %k0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

// ---- Control and debug registers
// ---------------------------------------------------------------------------

inline u64 read_cr0() {
    u64 v;
    asm volatile("movq %%cr0, %0" : "=r"(v) : : "memory");
    return v;
}
inline void write_cr0(u64 v) {
    asm volatile("movq %0, %%cr0" : : "r"(v) : "memory");
}
inline u64 read_cr2() {
    u64 v;
    asm volatile("movq %%cr2, %0" : "=r"(v) : : "memory");
    return v;
}
inline void write_cr2(u64 v) {
    asm volatile("movq %0, %%cr2" : : "r"(v) : "memory");
}
inline u64 read_cr3() {
    u64 v;
    asm volatile("movq %%cr3, %0" : "=r"(v) : : "memory");
    return v;
}
inline void write_cr3(u64 v) {
    asm volatile("movq %0, %%cr3" : : "r"(v) : "memory");
}
inline u64 read_cr4() {
    u64 v;
    asm volatile("movq %%cr4, %0" : "=r"(v) : : "memory");
    return v;
}
inline void write_cr4(u64 v) {
    asm volatile("movq %0, %%cr4" : : "r"(v) : "memory");
}
inline u64 read_cr8() {
    u64 v;
    asm volatile("movq %%cr8, %0" : "=r"(v) : : "memory");
    return v;
}
inline void write_cr8(u64 v) {
    asm volatile("movq %0, %%cr8" : : "r"(v) : "memory");
}
/// Makes x87, MMX and SSE usable (CR0.TS = 0).
inline void clts() {
    asm volatile("clts" : : : "memory");
}

/// @tparam Index 0 to 3, 6 or 7: the register is part of the instruction.
template <unsigned Index>
inline u64 read_dr() {
    static_assert(Index <= 3 || Index == 6 || Index == 7);
    u64 v;
    asm volatile("movq %%db%c1, %0" : "=r"(v) : "i"(Index) : "memory");
    return v;
}
template <unsigned Index>
inline void write_dr(u64 v) {
    static_assert(Index <= 3 || Index == 6 || Index == 7);
    asm volatile("movq %0, %%db%c1" : : "r"(v), "i"(Index) : "memory");
}

// ---- Descriptor tables and segments
// ------------------------------------------------------------------------

inline void lgdt(PseudoDescriptor const& table) {
    asm volatile("lgdt %0" : : "m"(table) : "memory");
}
inline void lidt(PseudoDescriptor const& table) {
    asm volatile("lidt %0" : : "m"(table) : "memory");
}
inline PseudoDescriptor sgdt() {
    PseudoDescriptor table;
    asm volatile("sgdt %0" : "=m"(table));
    return table;
}
inline PseudoDescriptor sidt() {
    PseudoDescriptor table;
    asm volatile("sidt %0" : "=m"(table));
    return table;
}
inline void ltr(u16 selector) {
    asm volatile("ltr %w0" : : "r"(selector) : "memory");
}
inline u16 str() {
    u16 selector;
    asm volatile("strw %w0" : "=r"(selector));
    return selector;
}
inline void lldt(u16 selector) {
    asm volatile("lldt %w0" : : "r"(selector) : "memory");
}
inline u16 sldt() {
    u16 selector;
    asm volatile("sldtw %w0" : "=r"(selector));
    return selector;
}
inline u16 read_cs() {
    u16 s;
    asm volatile("movw %%cs, %w0" : "=r"(s));
    return s;
}
inline u16 read_ss() {
    u16 s;
    asm volatile("movw %%ss, %w0" : "=r"(s));
    return s;
}
inline u16 read_ds() {
    u16 s;
    asm volatile("movw %%ds, %w0" : "=r"(s));
    return s;
}
inline u16 read_es() {
    u16 s;
    asm volatile("movw %%es, %w0" : "=r"(s));
    return s;
}
inline u16 read_fs() {
    u16 s;
    asm volatile("movw %%fs, %w0" : "=r"(s));
    return s;
}
inline u16 read_gs() {
    u16 s;
    asm volatile("movw %%gs, %w0" : "=r"(s));
    return s;
}
inline void write_ss(u16 selector) {
    asm volatile("movw %w0, %%ss" : : "r"(selector) : "memory");
}
inline void write_ds(u16 selector) {
    asm volatile("movw %w0, %%ds" : : "r"(selector) : "memory");
}
inline void write_es(u16 selector) {
    asm volatile("movw %w0, %%es" : : "r"(selector) : "memory");
}
inline void write_fs(u16 selector) {
    asm volatile("movw %w0, %%fs" : : "r"(selector) : "memory");
}
inline void write_gs(u16 selector) {
    asm volatile("movw %w0, %%gs" : : "r"(selector) : "memory");
}

// ---- Memory system
// -----------------------------------------------------------------------------------------

inline void invlpg(void const* address) {
    asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}
/// Writes back and invalidates all caches: slow, waits.
inline void wbinvd() {
    asm volatile("wbinvd" : : : "memory");
}
inline void mfence() {
    asm volatile("mfence" : : : "memory");
}
inline void lfence() {
    asm volatile("lfence" : : : "memory");
}

// ---- Interrupts and waiting
// --------------------------------------------------------------------------------

/// Interrupts are recognised after the next instruction.
inline void sti() {
    asm volatile("sti" : : : "memory");
}
inline void cli() {
    asm volatile("cli" : : : "memory");
}
inline void hlt() {
    asm volatile("hlt" : : : "memory");
}
/// Any privilege level. In every wait loop: emulated multi-processors hand over only here.
inline void pause() {
    asm volatile("pause" : : : "memory");
}
inline void nop() {
    asm volatile("nop" : : : "memory");
}
inline u64 read_rflags() {
    u64 v;
    asm volatile("pushfq; popq %0" : "=r"(v) : : "memory"); // two instructions: there is no other way to look
    return v;
}
/// The frame pointer of the calling function; the tree is built with frame pointers.
[[gnu::always_inline]] inline u64 read_rbp() {
    u64 v;
    asm volatile("movq %%rbp, %0" : "=r"(v));
    return v;
}

// ---- Arithmetic the language does not reach
// ------------------------------------------------------------------

/// (high:low) / divisor; high must be less than divisor, or #DE. Any privilege level.
struct Quotient {
    u64 quotient, remainder;
};
inline Quotient div(u64 high, u64 low, u64 divisor) {
    Quotient r;
    asm("divq %4" : "=a"(r.quotient), "=d"(r.remainder) : "a"(low), "d"(high), "r"(divisor) : "cc");
    return r;
}

// ---- FPU and extended state
// --------------------------------------------------------------------------------

/// Saves the components of @p mask & XCR0 in the standard form. @p area: 64-byte aligned, as large as CPUID
/// 0Dh.0 EBX says for the present XCR0; its header must be zero or written by an earlier XSAVE. Does not
/// touch the general registers.
inline void xsave64(void* area, u64 mask) {
    asm volatile("xsave64 (%0)"
                 :
                 : "r"(area), "a"(static_cast<u32>(mask)), "d"(static_cast<u32>(mask >> 32))
                 : "memory");
}
/// The same, leaving out components that are unchanged since XRSTOR from the same area. Needs CPUID 0Dh.1 EAX
/// bit 0.
inline void xsaveopt64(void* area, u64 mask) {
    asm volatile("xsaveopt64 (%0)"
                 :
                 : "r"(area), "a"(static_cast<u32>(mask)), "d"(static_cast<u32>(mask >> 32))
                 : "memory");
}
/// Loads the components of @p mask & XCR0: those the area's header does not name get their initial state. #GP
/// on a bad header.
inline void xrstor64(void const* area, u64 mask) {
    asm volatile("xrstor64 (%0)"
                 :
                 : "r"(area), "a"(static_cast<u32>(mask)), "d"(static_cast<u32>(mask >> 32))
                 : "memory");
}
/// @p area: 512 bytes, 16-byte aligned.
inline void fxsave64(void* area) {
    asm volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}
inline void fxrstor64(void const* area) {
    asm volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}
/// Initial values for x87, its opcode and pointers among them (SDM vol 2, "FINIT/FNINIT").
inline void fninit() {
    asm volatile("fninit");
}

// ---- The processor as a parameter
// --------------------------------------------------------------------------

/// The CPU this runs on, for code that takes its processor as a parameter.
struct RealCpu {
    u64 rdmsr(u32 index) const { return arch::rdmsr(index); }
    void wrmsr(u32 index, u64 value) const { arch::wrmsr(index, value); }
    u8 in8(u16 port) const { return arch::in8(port); }
    void out8(u16 port, u8 value) const { arch::out8(port, value); }
    CpuidResult cpuid(u32 leaf, u32 subleaf) const { return arch::cpuid(leaf, subleaf); }
    u64 rdtsc() const { return arch::rdtsc(); }
};
static_assert(MsrAccess<RealCpu> && PortAccess<RealCpu> && CpuidAccess<RealCpu>);
} // namespace hv::arch
