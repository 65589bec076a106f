// SPDX-License-Identifier: Apache-2.0
// Event words, features, permission maps and the VMCB of a new virtual processor.
#include "hv/svm/contiguous_frames.hpp"
#include "hv/svm/events.hpp"
#include "hv/svm/permission_maps.hpp"
#include "hv/svm/svm_features.hpp"
#include "hv/svm/vmcb_setup.hpp"
#include "tests/fakes/arena_frames.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <memory>

using namespace hv;
using namespace hv::svm;

TEST_CASE("EVENTINJ words", "[svm][events]") {
    CHECK(event_injection({Event::Type::External, 0x61, false, 0}) == 0x8000'0061);
    CHECK(event_injection({Event::Type::Nmi, 2, false, 0}) == 0x8000'0202);
    CHECK(event_injection({Event::Type::Exception, 14, true, 0x7}) == 0x0000'0007'8000'0b0e);
    CHECK(event_injection({Event::Type::Exception, 6, false, 0}) == 0x8000'0306);
}

TEST_CASE("an interrupted interrupt, NMI or fault is delivered again", "[svm][events]") {
    auto const interrupt = interrupted_event(0x8000'0061, nullptr);
    REQUIRE(interrupt);
    CHECK(interrupt->type == Event::Type::External);
    CHECK(interrupt->vector == 0x61);

    auto const fault = interrupted_event(0x0000'0003'8000'0b0e, nullptr);
    REQUIRE(fault);
    CHECK(fault->type == Event::Type::Exception);
    CHECK(fault->vector == 14);
    CHECK(fault->has_error_code);
    CHECK(fault->error_code == 3);

    auto const nmi = interrupted_event(0x8000'0202, nullptr);
    REQUIRE(nmi);
    CHECK(nmi->type == Event::Type::Nmi);
}

TEST_CASE("junk in EXITINTINFO without the valid bit means nothing", "[svm][events]") {
    CHECK_FALSE(interrupted_event(0x0000'0360, nullptr));
    CHECK_FALSE(interrupted_event(0xffff'ffff'7fff'ffff, nullptr));
}

TEST_CASE("software interrupts run again by themselves", "[svm][events]") {
    CHECK_FALSE(interrupted_event(0x8000'0480, nullptr)); // INT 80h
    CHECK_FALSE(interrupted_event(0x8000'0403, nullptr)); // INT3 as the emulator tells it
    CHECK_FALSE(interrupted_event(0x8000'0303, nullptr)); // INT3 as silicon tells it
    Event const ours{Event::Type::Exception, 3, false, 0};
    auto const injected = interrupted_event(0x8000'0303, &ours); // but not when RIP is past it
    REQUIRE(injected);
    CHECK(injected->vector == 3);
}

TEST_CASE("the emulator's virtual interrupt of type 3 is an interrupt", "[svm][events]") {
    auto const odd = interrupted_event(0x8000'0360, nullptr);
    REQUIRE(odd);
    CHECK(odd->type == Event::Type::External);
    CHECK(odd->vector == 0x60);
    CHECK_FALSE(odd->has_error_code);
}

namespace {
struct FakeCpuid {
    std::map<u32, arch::CpuidResult> leaves{{0x8000'0000, {0x8000'001f, 0, 0, 0}},
                                            {0x8000'0001, {0, 0, 4, 1u << 26}},
                                            {0x8000'000a, {1, 16, 0, 0x1001'0001}}};
    arch::CpuidResult cpuid(u32 leaf, u32) { return leaves[leaf]; }
};
} // namespace

TEST_CASE("the emulator's processor will do without any optional feature", "[svm][features]") {
    FakeCpuid cpu;
    std::string_view missing;
    auto const found = detect(cpu, 0, missing);
    REQUIRE(found.ok());
    CHECK(found.value() == SvmFeatures{.asid_count = 16});
    CHECK(missing.empty());
}

TEST_CASE("a Zen's features are used", "[svm][features]") {
    FakeCpuid cpu;
    cpu.leaves[0x8000'000a] = {1, 0x8000, 0, 0x119b'bcff};
    cpu.leaves[0x8000'0008].ebx = 0x111e'f257; // RDPRU
    std::string_view missing;
    auto const found = detect(cpu, 0, missing);
    REQUIRE(found.ok());
    CHECK(found.value() == SvmFeatures{.next_rip_save = true,
                                       .vmcb_clean = true,
                                       .flush_by_asid = true,
                                       .decode_assists = true,
                                       .rdpru = true,
                                       .asid_count = 0x8000});
}

TEST_CASE("operands of MOV CRn without its length are of no use", "[svm][features]") {
    FakeCpuid cpu;
    cpu.leaves[0x8000'000a].edx |= 1u << 7; // decode assists, no next RIP
    std::string_view missing;
    CHECK_FALSE(detect(cpu, 0, missing).value().decode_assists);
}

TEST_CASE("what cannot be done without is named", "[svm][features]") {
    FakeCpuid cpu;
    std::string_view missing;
    SECTION("no SVM") {
        cpu.leaves[0x8000'0001].ecx = 0;
        CHECK(detect(cpu, 0, missing).error() == VirtError::NotSupported);
        CHECK(missing.find("SVM") != missing.npos);
    }
    SECTION("the leaf does not exist") {
        cpu.leaves[0x8000'0000].eax = 0x8000'0008;
        CHECK(detect(cpu, 0, missing).error() == VirtError::NotSupported);
    }
    SECTION("no nested paging") {
        cpu.leaves[0x8000'000a].edx &= ~1u;
        CHECK(detect(cpu, 0, missing).error() == VirtError::NotSupported);
        CHECK(missing.find("nested paging") != missing.npos);
    }
    SECTION("no large leaves of 1 GiB") {
        cpu.leaves[0x8000'0001].edx = 0;
        CHECK(detect(cpu, 0, missing).error() == VirtError::NotSupported);
        CHECK(missing.find("Page1GB") != missing.npos);
    }
    SECTION("no ASID for a guest") {
        cpu.leaves[0x8000'000a].ebx = 1;
        CHECK(detect(cpu, 0, missing).error() == VirtError::NotSupported);
        CHECK(missing.find("NASID") != missing.npos);
    }
    SECTION("off in firmware") {
        CHECK(detect(cpu, 0x10, missing).error() == VirtError::DisabledByFirmware);
        CHECK(missing.find("VM_CR.SVMDIS") != missing.npos);
    }
}

TEST_CASE("the MSR map opens what the world switch moves, and nothing else", "[svm][maps]") {
    std::vector<u8> map(kMsrMapBytes);
    fill_msr_map(std::span<u8, kMsrMapBytes>{map.data(), kMsrMapBytes});
    auto const open = [&map](u32 msr) {
        s64 const bit = msr_map_bit(msr);
        u8 const both = static_cast<u8>(map[static_cast<usize>(bit / 8)] >> (bit % 8) & 3);
        CHECK((both == 0 || both == 3));
        return both == 0;
    };
    for (u32 const msr : {0x174u, 0x175u, 0x176u, 0xc000'0081u, 0xc000'0082u, 0xc000'0083u, 0xc000'0084u,
                          0xc000'0100u, 0xc000'0101u, 0xc000'0102u}) {
        CHECK(open(msr));
    }
    for (u32 const msr :
         {0x10u, 0x1bu, 0x277u, 0x1a0u, 0xc000'0080u, 0xc000'0103u, 0xc001'0114u, 0xc001'0117u}) {
        CHECK_FALSE(open(msr));
    }
    int opened = 0;
    for (u8 const byte : map) {
        opened += 8 - __builtin_popcount(byte);
    }
    CHECK(opened == 2 * 10);
    CHECK(msr_map_bit(0x4000'0000) == -1);
    CHECK(msr_map_bit(0x2000) == -1);
    CHECK(msr_map_bit(0xc001'1fff) == 0x1800 * 8 - 2);
}

TEST_CASE("the control area of a new virtual processor", "[svm][vmcb]") {
    arch::VmcbControl c{};
    set_up_control(c, {.asid_count = 16}, {Hpa{0x1000}, Hpa{0x4000}, Hpa{0x6000}}, 5);
    namespace i1 = arch::svm::intercept1;
    namespace i2 = arch::svm::intercept2;
    CHECK((c.intercept_instructions1 &
           (i1::kIntr | i1::kNmi | i1::kSmi | i1::kVintr | i1::kHlt | i1::kCpuid)) ==
          (i1::kIntr | i1::kNmi | i1::kSmi | i1::kVintr | i1::kHlt | i1::kCpuid));
    CHECK((c.intercept_instructions1 & (i1::kIo | i1::kMsr | i1::kShutdown)) ==
          (i1::kIo | i1::kMsr | i1::kShutdown));
    CHECK((c.intercept_instructions1 & (i1::kPause | kFlagsIntercepts)) == 0);
    CHECK((c.intercept_instructions2 & 0x7f) == 0x7f); // all of SVM's own instructions
    CHECK((c.intercept_instructions2 & i2::kRdpru) == 0);
    CHECK(c.intercept_instructions3 == 0);
    CHECK((c.intercept_cr_write & 0x118) == 0x110); // CR4, CR8, never CR3
    CHECK(c.intercept_exceptions == (1u << 1 | 1u << 17 | 1u << 18));
    CHECK(c.iopm_base == 0x1000);
    CHECK(c.msrpm_base == 0x4000);
    CHECK(c.nested_cr3 == 0x6000);
    CHECK(c.nested_control == 1);
    CHECK(c.asid == 5);
    CHECK(c.interrupt_control == (1u << 24 | 1u << 20)); // masking, ignore the TPR
    arch::VmcbControl zen{};
    set_up_control(zen, {.rdpru = true, .invlpgb = true, .asid_count = 16}, {}, 1);
    CHECK((zen.intercept_instructions2 & i2::kRdpru) != 0);
    CHECK(zen.intercept_instructions3 == 0x13);
}

TEST_CASE("adjacent frames come together from any order of hand-out", "[svm][frames]") {
    test::ArenaFrames frames{24};
    SECTION("as they come") {
        void* const run = allocate_contiguous<5>(frames);
        REQUIRE(run != nullptr);
        CHECK(frames.live() == 5);
    }
    SECTION("with holes") {
        std::vector<void*> all;
        for (unsigned i = 0; i < 24; ++i) {
            all.push_back(frames.allocate());
        }
        std::sort(all.begin(), all.end());
        for (unsigned const i : {0, 2, 3, 4, 8, 10, 12, 7, 9, 11, 20}) { // 7 … 12 are adjacent
            frames.free(all[i]);
        }
        void* const run = allocate_contiguous<5>(frames);
        REQUIRE(run != nullptr);
        CHECK(run >= all[7]);
        CHECK(run <= all[8]);
        CHECK(frames.live() == 13 + 5);
    }
    SECTION("nothing leaks when there is no such run") {
        std::vector<void*> all;
        for (unsigned i = 0; i < 24; ++i) {
            all.push_back(frames.allocate());
        }
        std::sort(all.begin(), all.end());
        for (unsigned i = 0; i < 24; i += 2) {
            frames.free(all[i]);
        }
        CHECK(allocate_contiguous<2>(frames) == nullptr);
        CHECK(frames.live() == 12);
    }
}
