// SPDX-License-Identifier: Apache-2.0
// Partitions for a debugger that need no hypervisor: memory, registers and a dozen instructions. What a
// debugger asks of the real ones is here done in the plainest way.
#pragma once
#include "hv/gdb/target.hpp"
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace hv::test {
using gdb::RegisterId;

/// One virtual processor and what it is doing.
struct DebuggedVp {
    std::array<std::array<u8, 16>, static_cast<usize>(RegisterId::Count)> registers{};
    std::optional<gdb::Resume> going;
    bool moved = false; ///< since it was resumed: the point it stands on does not hold it again

    u64 get(RegisterId id) const {
        u64 value = 0;
        std::memcpy(&value, registers[static_cast<usize>(id)].data(), 8);
        return value;
    }
    void set(RegisterId id, u64 value) { std::memcpy(registers[static_cast<usize>(id)].data(), &value, 8); }
};

struct DebuggedPoint {
    gdb::PointSpec spec;
    std::vector<u8> conditions;
};

struct DebuggedPartition {
    static constexpr u64 kHighHalf = 0xffff'ffff'8000'0000; ///< the same memory once more, as kernels have it
    std::string name;
    std::vector<u8> memory = std::vector<u8>(2 * MiB);
    std::vector<DebuggedVp> vps;
    std::vector<DebuggedPoint> points;
    std::vector<u8> image;
    u64 image_at = 0, entry = 0;
    u32 bits = 64;
    bool on = true, waits = false, crashed = false;
    bool attached = false, shall_stop = false;
    std::optional<gdb::Stop> stop;
    u32 starts = 0;

    void start() {
        std::fill(memory.begin(), memory.end(), u8{0});
        std::fill_n(memory.begin(), 0x8000, u8{0x90});
        std::copy(image.begin(), image.end(), memory.begin() + static_cast<std::ptrdiff_t>(image_at));
        for (u32 i = 0; i < vps.size(); ++i) {
            vps[i] = DebuggedVp{};
            vps[i].set(RegisterId::Rip, entry);
            vps[i].set(RegisterId::Rsp, bits == 16 ? 0x8000 : 0x80000 + i * 0x1000);
            vps[i].set(RegisterId::Rflags, 2);
            vps[i].set(RegisterId::Cr0, bits == 16 ? 0x10 : bits == 32 ? 0x11 : 0x8000'0011);
            if (bits == 64) vps[i].set(RegisterId::Efer, 0x500);
        }
        on = true, crashed = false, stop.reset();
        ++starts;
    }
    /// The physical address, or none.
    std::optional<u64> physical(u64 address) const {
        if (address >= kHighHalf) address -= kHighHalf;
        return address < memory.size() ? std::optional{address} : std::nullopt;
    }
    u64 linear(DebuggedVp const& vp, RegisterId id, RegisterId base) const {
        return bits == 64 ? vp.get(id) : static_cast<u32>(vp.get(id) + vp.get(base));
    }
    u8 byte(u64 address) const {
        auto const at = physical(address);
        return at ? memory[*at] : 0xf4;
    }
    u64 load(u64 address, u32 bytes) const {
        u64 value = 0;
        for (u32 i = 0; i < bytes; ++i) {
            value |= u64{byte(address + i)} << 8 * i;
        }
        return value;
    }
    void store(u32 vp, u64 address, u64 value, u32 bytes) {
        for (u32 i = 0; i < bytes; ++i) {
            if (auto const at = physical(address + i)) memory[*at] = static_cast<u8>(value >> 8 * i);
        }
        for (auto const& p : points) {
            bool const watch = p.spec.kind >= gdb::PointSpec::Kind::WriteWatch &&
                               p.spec.kind != gdb::PointSpec::Kind::ReadWatch;
            if (!watch || address >= p.spec.address + p.spec.bytes || p.spec.address >= address + bytes)
                continue;
            auto const reason = p.spec.kind == gdb::PointSpec::Kind::WriteWatch
                                    ? gdb::Stop::Reason::WriteWatch
                                    : gdb::Stop::Reason::AccessWatch;
            stop = gdb::Stop{reason, vp, p.spec.address, false};
        }
    }
    void step(u32 index);
    /// Some instructions of everybody who goes.
    void run(u32 instructions);
};

/// One of: nop, hlt (ends the run), push, pop, call, ret, jmp, mov r,imm32, mov r/m,r between registers, mov
/// [disp32],eax, inc and dec r, ud2 (a triple fault). Anything else counts as one byte.
inline void DebuggedPartition::step(u32 index) {
    DebuggedVp& vp = vps[index];
    u64 const base = bits == 64 ? 0 : vp.get(RegisterId::CsBase);
    u64 at = vp.get(RegisterId::Rip);
    u32 word = bits / 8;
    auto fetch = [&](u32 n) {
        u64 const value = load(base + at, n);
        at += n;
        return value;
    };
    auto reg = [](u64 n) { return static_cast<RegisterId>(n & 7); };
    auto push = [&](u64 value) {
        u64 const sp = vp.get(RegisterId::Rsp) - word;
        vp.set(RegisterId::Rsp, sp);
        store(index, bits == 64 ? sp : sp + vp.get(RegisterId::SsBase), value, word);
    };
    auto pop = [&] {
        u64 const sp = vp.get(RegisterId::Rsp);
        vp.set(RegisterId::Rsp, sp + word);
        return load(bits == 64 ? sp : sp + vp.get(RegisterId::SsBase), word);
    };
    u32 const immediate = bits == 16 ? 2 : 4;
    u64 op = fetch(1);
    if (bits == 64 && op == 0x48) op = fetch(1);
    if (op >= 0x50 && op < 0x58) {
        push(vp.get(reg(op)));
    } else if (op >= 0x58 && op < 0x60) {
        vp.set(reg(op), pop());
    } else if (op >= 0xb8 && op < 0xc0) {
        vp.set(reg(op), fetch(immediate));
    } else if (op == 0xe8) {
        auto const to = static_cast<s32>(fetch(immediate));
        push(at);
        at += static_cast<u64>(static_cast<s64>(bits == 16 ? static_cast<s16>(to) : to));
    } else if (op == 0xe9) {
        auto const to = static_cast<s32>(fetch(immediate));
        at += static_cast<u64>(static_cast<s64>(bits == 16 ? static_cast<s16>(to) : to));
    } else if (op == 0xeb) {
        at += static_cast<u64>(static_cast<s64>(static_cast<s8>(fetch(1))));
    } else if (op == 0xc3) {
        at = pop();
    } else if (op == 0x89) {
        u64 const modrm = fetch(1);
        if (modrm >= 0xc0) {
            vp.set(reg(modrm), vp.get(reg(modrm >> 3)));
        } else if (modrm == 0x04 && fetch(1) == 0x25) {
            u64 const to = static_cast<u64>(static_cast<s64>(static_cast<s32>(fetch(4))));
            store(index, to, vp.get(RegisterId::Rax), 4);
        }
    } else if (op == 0xa3 && bits != 64) {
        u64 const to = fetch(immediate);
        store(index, to, vp.get(RegisterId::Rax), word);
    } else if (op == 0xff) {
        u64 const modrm = fetch(1);
        vp.set(reg(modrm), vp.get(reg(modrm)) + (modrm < 0xc8 ? 1 : ~0ull));
    } else if (op == 0x0f && byte(base + at) == 0x0b) {
        crashed = true;
        stop = gdb::Stop{gdb::Stop::Reason::Crashed, index, 0, false};
        return;
    } else if (op == 0xf4) {
        on = false;
        stop = gdb::Stop{gdb::Stop::Reason::Ended, index, 0, false};
        return;
    }
    vp.set(RegisterId::Rip, bits == 16 ? at & 0xffff : at);
}

inline void DebuggedPartition::run(u32 instructions) {
    for (u32 n = 0; n < instructions && !stop; ++n) {
        for (u32 i = 0; i < vps.size() && !stop; ++i) {
            DebuggedVp& vp = vps[i];
            if (!vp.going) continue;
            u64 const rip = linear(vp, RegisterId::Rip, RegisterId::CsBase);
            if (vp.moved) {
                for (auto const& p : points) {
                    if (p.spec.kind <= gdb::PointSpec::Kind::HardwareBreak && p.spec.address == rip) {
                        stop = gdb::Stop{gdb::Stop::Reason::Breakpoint, i, rip,
                                         p.spec.kind == gdb::PointSpec::Kind::SoftwareBreak};
                    }
                }
                if (stop) return;
            }
            step(i);
            vp.moved = true;
            if (stop) return;
            u64 const now = linear(vp, RegisterId::Rip, RegisterId::CsBase);
            bool const inside = vp.going->kind == gdb::Resume::Kind::StepRange &&
                                now >= vp.going->range_first && now < vp.going->range_end;
            if (vp.going->kind != gdb::Resume::Kind::Continue && !inside) {
                stop = gdb::Stop{gdb::Stop::Reason::Stepped, i, 0, false};
            }
        }
    }
    if (shall_stop && !stop) stop = gdb::Stop{};
}

class DebuggedMachine final : public gdb::Target {
  public:
    std::vector<DebuggedPartition> partitions;
    u32 instructions_per_look = 100;
    bool has_avx = true;
    gdb::Stop taken;
    u32 holes = 0; ///< the memory map is so many pages, every other one ballooned
    usize room_for_conditions = 4096;
    std::vector<std::string> monitored;

    u32 inferior_count() override { return static_cast<u32>(partitions.size()); }
    gdb::InferiorInfo inferior(u32 index) override {
        auto const& p = partitions.at(index);
        return {p.name, static_cast<u32>(p.vps.size()), p.on, p.waits, p.crashed};
    }
    bool attach(u32 index) override {
        auto& p = partitions.at(index);
        if (!p.on) return false;
        p.attached = p.shall_stop = true;
        p.waits = false;
        if (p.crashed) p.stop = gdb::Stop{gdb::Stop::Reason::Crashed, 0, 0, false};
        return true;
    }
    void detach(u32 index) override {
        auto& p = partitions.at(index);
        p.points.clear();
        p.attached = p.shall_stop = false;
        p.stop.reset();
        for (auto& vp : p.vps) {
            vp.going.reset();
        }
    }
    void kill(u32 index) override {
        detach(index);
        partitions.at(index).on = false;
    }
    bool restart(u32 index) override {
        auto& p = partitions.at(index);
        detach(index);
        p.start();
        p.attached = p.shall_stop = true;
        return true;
    }
    void remove_points(u32 index) override { partitions.at(index).points.clear(); }
    void interrupt(u32 index) override { partitions.at(index).shall_stop = true; }
    void resume(u32 index, u32 vp, gdb::Resume const& how) override {
        auto& p = partitions.at(index);
        if (std::none_of(p.vps.begin(), p.vps.end(), [](DebuggedVp const& v) { return v.going.has_value(); }))
            p.stop.reset(), p.shall_stop = p.waits = false;
        p.vps.at(vp).going = how;
        p.vps.at(vp).moved = false;
    }
    gdb::Stop const* take_stop(u32 index) override {
        auto& p = partitions.at(index);
        if (!p.stop) p.run(instructions_per_look);
        if (!p.stop) return nullptr;
        taken = *p.stop;
        p.stop.reset();
        p.shall_stop = false;
        for (auto& vp : p.vps) {
            vp.going.reset();
        }
        return &taken;
    }
    bool read_register(u32 index, u32 vp, RegisterId id, std::span<u8> to) override {
        auto const& p = partitions.at(index);
        if (!p.attached || (!has_avx && id >= RegisterId::Ymm0h)) return false;
        std::memcpy(to.data(), p.vps.at(vp).registers.at(static_cast<usize>(id)).data(), to.size());
        return true;
    }
    bool write_register(u32 index, u32 vp, RegisterId id, std::span<u8 const> from) override {
        auto& p = partitions.at(index);
        if (!p.attached || (!has_avx && id >= RegisterId::Ymm0h)) return false;
        std::memcpy(p.vps.at(vp).registers.at(static_cast<usize>(id)).data(), from.data(), from.size());
        return true;
    }
    u32 code_bits(u32 index, u32) override { return partitions.at(index).bits; }
    usize read_memory(u32 index, u32, gdb::AddressSpace space, u64 address, std::span<u8> to) override {
        auto const& p = partitions.at(index);
        for (usize i = 0; i < to.size(); ++i) {
            auto const at = space == gdb::AddressSpace::Virtual ? p.physical(address + i)
                            : address + i < p.memory.size()     ? std::optional{address + i}
                                                                : std::nullopt;
            if (!at) return i;
            to[i] = p.memory[*at];
        }
        return to.size();
    }
    bool write_memory(u32 index, u32 vp, gdb::AddressSpace space, u64 address,
                      std::span<u8 const> from) override {
        std::vector<u8> before(from.size());
        if (read_memory(index, vp, space, address, before) != from.size()) return false;
        auto& p = partitions.at(index);
        for (usize i = 0; i < from.size(); ++i) {
            p.memory[*p.physical(address + i)] = from[i];
        }
        return true;
    }
    u32 memory_map(u32, std::span<gdb::MemoryRegion> into) override {
        using Kind = gdb::MemoryRegion::Kind;
        for (u32 i = 0; i < std::min<usize>(into.size(), holes); ++i) {
            into[i] = {i % 2 == 0 ? Kind::Ram : Kind::Ballooned, u64{i} * 4096, 4096};
        }
        if (holes != 0) return holes;
        gdb::MemoryRegion const map[] = {{Kind::Ram, 0, MiB},
                                         {Kind::Ballooned, MiB, MiB / 2},
                                         {Kind::HotAdded, MiB + MiB / 2, MiB / 2},
                                         {Kind::Device, 0xfee0'0000, 4 * KiB}};
        std::copy_n(map, std::min<usize>(into.size(), 4), into.begin());
        return 4;
    }
    Result<void, gdb::PointError> insert(u32 index, gdb::PointSpec const& spec,
                                         std::span<u8 const> conditions) override {
        auto& p = partitions.at(index);
        if (conditions.size() > room_for_conditions) return Err{gdb::PointError::Full};
        if (spec.kind == gdb::PointSpec::Kind::ReadWatch) return Err{gdb::PointError::Unsupported};
        remove(index, spec);
        if (p.points.size() == 32) return Err{gdb::PointError::Full};
        p.points.push_back({spec, {conditions.begin(), conditions.end()}});
        return {};
    }
    bool remove(u32 index, gdb::PointSpec const& spec) override {
        return std::erase_if(partitions.at(index).points, [&](DebuggedPoint const& p) {
                   return p.spec.kind == spec.kind && p.spec.address == spec.address &&
                          p.spec.bytes == spec.bytes;
               }) != 0;
    }
    bool monitor(u32, u32, std::string_view words, gdb::LineSink& out) override {
        monitored.emplace_back(words);
        if (words == "much") {
            for (u32 i = 0; i < 5000; ++i) {
                out.line("line " + std::to_string(i));
            }
            return true;
        }
        if (words != "info") return false;
        out.line("a debugged machine");
        return true;
    }
    void monitor_help(gdb::LineSink& out) override { out.line("info"); }
};
} // namespace hv::test
