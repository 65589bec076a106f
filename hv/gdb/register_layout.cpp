// SPDX-License-Identifier: Apache-2.0
#include "hv/gdb/register_layout.hpp"

namespace hv::gdb {
namespace {
using enum RegisterId;
using T = RegisterType;

// The core feature's order is gdb's own, and differs between the two: GDB manual, "i386 Features".
constexpr RegisterEntry kGeneral64[] = {
    {"rax", Rax},
    {"rbx", Rbx},
    {"rcx", Rcx},
    {"rdx", Rdx},
    {"rsi", Rsi},
    {"rdi", Rdi},
    {"rbp", Rbp, T::Data},
    {"rsp", Rsp, T::Data},
    {"r", R8, T::Int, 0, 8},
    {"rip", Rip, T::Code},
    {"eflags", Rflags, T::Eflags, 4},
    {"cs", Cs, T::Int, 4},
    {"ss", Ss, T::Int, 4},
    {"ds", Ds, T::Int, 4},
    {"es", Es, T::Int, 4},
    {"fs", Fs, T::Int, 4},
    {"gs", Gs, T::Int, 4},
};
constexpr RegisterEntry kGeneral32[] = {
    {"eax", Rax},          {"ecx", Rcx},
    {"edx", Rdx},          {"ebx", Rbx},
    {"esp", Rsp, T::Data}, {"ebp", Rbp, T::Data},
    {"esi", Rsi},          {"edi", Rdi},
    {"eip", Rip, T::Code}, {"eflags", Rflags, T::Eflags, 4},
    {"cs", Cs, T::Int, 4}, {"ss", Ss, T::Int, 4},
    {"ds", Ds, T::Int, 4}, {"es", Es, T::Int, 4},
    {"fs", Fs, T::Int, 4}, {"gs", Gs, T::Int, 4},
};
constexpr RegisterEntry kBases[] = {{"fs_base", FsBase}, {"gs_base", GsBase}};
constexpr RegisterEntry kSystem[] = {
    {"k_gs_base", KernelGsBase, T::Int, 8},
    {"cr0", Cr0, T::Cr0},
    {"cr2", Cr2},
    {"cr3", Cr3},
    {"cr4", Cr4, T::Cr4},
    {"cr8", Cr8},
    {"efer", Efer, T::Efer, 8},
    {"es_base", EsBase},
    {"cs_base", CsBase},
    {"ss_base", SsBase},
    {"ds_base", DsBase},
    {"raw_ip", Rip},
    {"raw_sp", Rsp},
};
constexpr RegisterEntry kX87[] = {
    {"st", St0, T::X87, 10, 8},  {"fctrl", Fctrl, T::Int, 4}, {"fstat", Fstat, T::Int, 4},
    {"ftag", Ftag, T::Int, 4},   {"fiseg", Fiseg, T::Int, 4}, {"fioff", Fioff, T::Int, 4},
    {"foseg", Foseg, T::Int, 4}, {"fooff", Fooff, T::Int, 4}, {"fop", Fop, T::Int, 4}};
constexpr RegisterEntry kSse[] = {{"xmm", Xmm0, T::Vector, 16, 16}, {"mxcsr", Mxcsr, T::Mxcsr, 4}};
constexpr RegisterEntry kAvx[] = {{"ymm", Ymm0h, T::Half, 16, 16}};

template <usize N>
constexpr RegisterBlock block(Feature feature, RegisterEntry const (&entries)[N]) {
    return {feature, N, entries};
}
using Blocks = RegisterBlock[RegisterCursor::kBlocks];
constexpr Blocks kBlocks64 = {block(Feature::Core, kGeneral64), block(Feature::Segments, kBases),
                              block(Feature::System, kSystem),  block(Feature::Core, kX87),
                              block(Feature::Sse, kSse),        block(Feature::Avx, kAvx)};
// gdb knows no segment bases in 32-bit code: there they are only shown.
constexpr Blocks kBlocks32 = {block(Feature::Core, kGeneral32), block(Feature::System, kBases),
                              block(Feature::System, kSystem),  block(Feature::Core, kX87),
                              block(Feature::Sse, kSse),        block(Feature::Avx, kAvx)};

constexpr RegisterBlock const* blocks(Layout layout) {
    return layout.arch == Arch::X64 ? kBlocks64 : kBlocks32;
}
} // namespace

RegisterCursor::RegisterCursor(Layout layout) : layout_{layout}, entry_{blocks(layout)->first} {}

Feature RegisterCursor::feature() const {
    return blocks(layout_)[block_].feature;
}

void RegisterCursor::next() {
    ++number_;
    u32 const count = layout_.arch != Arch::X64 && entry_->count == 16 ? 8u : entry_->count;
    if (++index_ < count) return;
    index_ = 0;
    if (++block_entry_ < blocks(layout_)[block_].entries) {
        ++entry_;
        return;
    }
    block_entry_ = 0;
    ++block_;
    if (block_ < kBlocks && blocks(layout_)[block_].feature == Feature::Avx && !layout_.avx) ++block_;
    if (block_ < kBlocks) entry_ = blocks(layout_)[block_].first;
}

RegisterCursor find_register(Layout layout, u64 number) {
    RegisterCursor cursor{layout};
    while (cursor.valid() && cursor.number() != number) {
        cursor.next();
    }
    return cursor;
}

u32 target_bytes(RegisterId id) {
    if (id >= Xmm0 && id != Mxcsr) return 16;
    if (id == Mxcsr || id == Rflags || id >= Fctrl) return 4;
    if (id >= St0) return 10;
    return id >= Es && id <= Gs ? 2 : 8;
}
} // namespace hv::gdb
