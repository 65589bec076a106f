// SPDX-License-Identifier: Apache-2.0
// Any bytes as code, in any mode, over page tables made of noise.
#include "fuzz_input.hpp"
#include "hv/base/bits.hpp"
#include "hv/core/decode/control_instruction.hpp"
#include "hv/core/decode/length_decoder.hpp"
#include "hv/core/decode/mmio_emulator.hpp"
#include "hv/core/decode/string_io.hpp"
#include "tests/unit/decode/fakes.hpp"

using namespace hv;
using namespace hv::test;

namespace {
constexpr u64 kRam = 64 * KiB;

struct Devices : MmioTarget, PortTarget {
    FuzzInput& input;
    u32 accesses = 0;
    explicit Devices(FuzzInput& i) : input{i} {}
    void check(Gpa at, u8 size) {
        REQUIRE_THAT(size == 1 || size == 2 || size == 4 || size == 8);
        REQUIRE_THAT(at.page_offset() + size <= kPageBytes);
        ++accesses;
    }
    u64 read(Gpa at, u8 size) override {
        check(at, size);
        return input.get<u64>();
    }
    void write(Gpa at, u8 size, u64) override { check(at, size); }
    u32 read(u16, u8) override { return input.get<u32>(); }
    void write(u16, u8, u32) override {}
};

void set_mode(FakeCpu& cpu, FakeMemory& memory, FuzzInput& in) {
    switch (in.below(5)) {
    case 0: cpu.real_mode(); break;
    case 1: cpu.protected_mode(); break;
    case 2: // 32-bit or PAE paging
        cpu.protected_mode();
        cpu.control[0] |= cr0::kPg;
        cpu.control[2] = in.below(kRam) & ~0xfffull;
        cpu.control[3] = in.flag() ? cr4::kPae : cr4::kPse;
        break;
    case 3: // 4 or 5 levels of noise
        cpu.long_mode(in.below(kRam) & ~0xfffull);
        cpu.control[3] |= in.flag() ? cr4::kLa57 : 0;
        break;
    default: cpu.long_mode(identity_tables(memory)); break;
    }
    if (in.flag()) cpu[Seg::Cs].attributes ^= in.get<u16>();
    if (in.flag()) {
        for (Segment& s : cpu.segments) {
            s.attributes ^= in.get<u8>();
            s.base += in.get<u16>();
            s.limit >>= in.below(32);
        }
    }
    cpu.control[0] ^= in.flag() ? cr0::kWp : 0;
    cpu.control[3] ^= in.get<u32>() & (cr4::kSmep | cr4::kSmap);
    cpu.cpl_value = in.flag() ? 3 : 0;
}

void check(EmulationFailure const& f) {
    if (f.kind == EmulationFailure::Kind::Fault) {
        REQUIRE_THAT(f.fault.event.type == Event::Type::Exception);
        REQUIRE_THAT(f.fault.event.vector < 32);
        REQUIRE_THAT(f.fault.sets_cr2 == (f.fault.event.vector == vector::kPageFault));
    }
}
template <class R>
void check_emulated(R const& r) {
    if (!r.ok()) {
        check(r.error());
        return;
    }
    REQUIRE_THAT(r.value().advance_bytes <= 15);
    REQUIRE_THAT(r.value().accesses <= decode::kElementsPerCall);
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(u8 const* data, usize size) {
    FuzzInput in{data, size};
    static FakeMemory memory{kRam};
    std::fill(memory.ram.begin(), memory.ram.end(), u8{0});
    memory.ballooned.clear();
    if (in.flag()) memory.ballooned.insert(in.below(16));
    FakeCpu cpu;
    set_mode(cpu, memory, in);
    for (unsigned i = 0; i < 16; ++i) {
        // Near RAM, near the device, or anywhere.
        u64 const noise = in.get<u32>();
        cpu.registers[i] = noise % 3 == 0   ? noise % kRam
                           : noise % 3 == 1 ? kRam + noise % 0x3000'0000
                                            : in.get<u64>();
    }
    cpu[Reg::Rflags] = 2 | (in.get<u16>() & 0xcd5);
    cpu[Reg::Rip] = 0x8000 + in.below(0x1010);
    for (u64 i = 0; i < 16 && cpu[Reg::Rip] + i < kRam; ++i) {
        memory.ram[cpu[Reg::Rip] + i] = in.get<u8>();
    }
    for (unsigned i = 0; i < 32; ++i) { // some table entries, some data
        memory.put<u64>(in.below(kRam / 8) * 8, in.get<u64>() & ~Bits<51, 32>::mask);
    }

    Devices devices{in};
    FakeCpu copy = cpu;
    decode::LengthDecoder lengths;
    decode::CodeAddress const at{cpu[Reg::Rip], cpu.control[2], 0, ExitKind::Cpuid, 1};
    auto const length = lengths.length(cpu, memory, at);
    if (length.ok()) {
        REQUIRE_THAT(length.value() >= 1 && length.value() <= 15);
        auto const again = lengths.length(cpu, memory, at);
        REQUIRE_THAT(again.ok() && again.value() == length.value());
    } else {
        check(length.error());
    }
    auto const control = decode::decode_control(cpu, memory);
    if (!control.ok()) check(control.error());

    cpu = copy;
    auto const emulated = decode::emulate_mmio(cpu, memory, devices);
    check_emulated(emulated);
    if (length.ok() && emulated.ok() && emulated.value().advance_bytes != 0) {
        REQUIRE_THAT(emulated.value().advance_bytes == length.value());
    }
    REQUIRE_THAT(cpu[Reg::Rip] == copy[Reg::Rip]); // advancing is the caller's
    cpu = copy;
    u8 const sizes[] = {1, 2, 4};
    check_emulated(decode::string_io(cpu, memory, devices, devices,
                                     {.port = in.get<u16>(),
                                      .size_bytes = sizes[in.below(3)],
                                      .in = in.flag(),
                                      .string = true,
                                      .repeat = in.flag()}));
    return 0;
}
