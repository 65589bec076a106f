// SPDX-License-Identifier: Apache-2.0
// A processor and its memory as plain data.
#pragma once
#include "hv/core/cpu_view.hpp"
#include "hv/core/guest_access.hpp"
#include <cstring>
#include <initializer_list>
#include <set>
#include <vector>

namespace hv::test {
/// RAM from 0, page pointers into it, pages that can be taken away.
class FakeMemory : public GuestAccess {
  public:
    explicit FakeMemory(u64 bytes = 2 * MiB) : ram(bytes) {}
    std::vector<u8> ram;
    std::set<u64> ballooned; ///< page frame numbers
    u64 reads = 0;

    Result<void, GuestMemoryError> check(Gpa at, u64 bytes) const {
        for (u64 done = 0; done < bytes;) {
            Gpa const here = at + done;
            if (here.raw >= ram.size()) return Err{GuestMemoryError::NotRam};
            if (ballooned.count(here.pfn()) != 0) return Err{GuestMemoryError::Ballooned};
            done += kPageBytes - here.page_offset();
        }
        return {};
    }
    Result<void, GuestMemoryError> read(Gpa at, std::span<u8> to) override {
        ++reads;
        HV_TRY(check(at, to.size()));
        std::memcpy(to.data(), ram.data() + at.raw, to.size());
        return {};
    }
    Result<void, GuestMemoryError> write(Gpa at, std::span<u8 const> from) override {
        HV_TRY(check(at, from.size()));
        std::memcpy(ram.data() + at.raw, from.data(), from.size());
        return {};
    }
    Result<u8*, GuestMemoryError> page(Gpa at) override {
        HV_TRY(check(at, 1));
        return ram.data() + at.page().raw;
    }

    template <class T>
    T get(u64 at) const {
        T v;
        std::memcpy(&v, ram.data() + at, sizeof v);
        return v;
    }
    template <class T>
    void put(u64 at, T v) {
        std::memcpy(ram.data() + at, &v, sizeof v);
    }
    void code(u64 at, std::initializer_list<u8> bytes) {
        std::memcpy(ram.data() + at, std::data(bytes), bytes.size());
    }
};

struct FakeCpu : CpuView {
    u64 registers[18] = {};
    Segment segments[8] = {};
    u64 control[4] = {}; ///< CR0, CR2, CR3, CR4
    u64 efer_value = 0;
    u8 cpl_value = 0;

    u64 read(Reg r) override { return registers[static_cast<u8>(r)]; }
    void write(Reg r, u64 v) override { registers[static_cast<u8>(r)] = v; }
    Segment read(Seg s) override { return segments[static_cast<u8>(s)]; }
    u64 read(ControlReg c) override { return control[static_cast<u8>(c)]; }
    u64 efer() override { return efer_value; }
    u8 cpl() override { return cpl_value; }
    u64& operator[](Reg r) { return registers[static_cast<u8>(r)]; }
    Segment& operator[](Seg s) { return segments[static_cast<u8>(s)]; }

    void flat(u16 cs_attributes) {
        for (Segment& s : segments) {
            s = {0x10, 0xc93, 0xffff'ffff, 0};
        }
        (*this)[Seg::Cs] = {0x8, cs_attributes, 0xffff'ffff, 0};
        (*this)[Reg::Rflags] = 2;
    }
    /// 64-bit kernel code over the tables at @p cr3.
    void long_mode(u64 cr3) {
        flat(0xa9b);
        control[0] = cr0::kPg | cr0::kPe | cr0::kWp;
        control[2] = cr3;
        control[3] = cr4::kPae;
        efer_value = efer::kLme | efer::kLma | efer::kNxe;
    }
    void protected_mode() {
        flat(0xc9b);
        control[0] = cr0::kPe;
    }
    void real_mode() {
        for (Segment& s : segments) {
            s = {0, 0x93, 0xffff, 0};
        }
        (*this)[Reg::Rflags] = 2;
    }
};

/// Four-level tables at 0x1000…: the first 1 GiB mapped one to one by 2 MiB pages, user and writable.
inline u64 identity_tables(FakeMemory& memory) {
    memory.put<u64>(0x1000, 0x2007);
    memory.put<u64>(0x2000, 0x3007);
    for (u64 i = 0; i < 512; ++i) {
        memory.put<u64>(0x3000 + 8 * i, i * kLargePageBytes | 0xe7);
    }
    return 0x1000;
}
} // namespace hv::test
