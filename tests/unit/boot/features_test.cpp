// SPDX-License-Identifier: Apache-2.0
// What the loader concludes from CPUID, MSRs and the firmware's clock, and how it prints.
#include "boot/efi/calendar.hpp"
#include "boot/efi/cpu_features.hpp"
#include "boot/efi/line.hpp"
#include <catch2/catch.hpp>
#include <map>
#include <string>

using namespace ballast::loader;

namespace {
struct FakeCpu {
    std::map<std::uint32_t, CpuidWords> leaves;
    std::map<std::uint32_t, std::uint64_t> msrs;

    CpuidWords cpuid(std::uint32_t leaf, std::uint32_t) {
        return leaves.count(leaf) != 0 ? leaves[leaf] : CpuidWords{};
    }
    std::uint64_t rdmsr(std::uint32_t index) {
        REQUIRE(msrs.count(index) == 1); // an MSR that is not there would be #GP
        return msrs[index];
    }
};

FakeCpu vmx_cpu(std::uint64_t feature_control) {
    return {{{1, {0, 0, 1u << 5, 0}}}, {{0x3a, feature_control}}};
}
FakeCpu svm_cpu(std::uint64_t vm_cr) {
    return {{{0x80000000, {0x8000000a, 0, 0, 0}}, {0x80000001, {0, 0, 1u << 2, 0}}}, {{0xc0010114, vm_cr}}};
}
} // namespace

TEST_CASE("VMX counts unless firmware has locked it off", "[boot][cpu]") {
    auto const probe = [](std::uint64_t control) {
        FakeCpu cpu = vmx_cpu(control);
        return probe_virtualization(cpu);
    };
    CHECK(probe(0) == Virtualization::Vmx);
    CHECK(probe(5) == Virtualization::Vmx);
    CHECK(probe(4) == Virtualization::Vmx);
    CHECK(probe(1) == Virtualization::VmxLockedOff);
    CHECK(probe(3) == Virtualization::VmxLockedOff); // VMX inside SMX only
}

TEST_CASE("SVM counts unless firmware has locked it off", "[boot][cpu]") {
    auto const probe = [](std::uint64_t control) {
        FakeCpu cpu = svm_cpu(control);
        return probe_virtualization(cpu);
    };
    CHECK(probe(0) == Virtualization::Svm);
    CHECK(probe(8) == Virtualization::Svm);
    CHECK(probe(0x10) == Virtualization::Svm); // off, but ours to switch on
    CHECK(probe(0x18) == Virtualization::SvmLockedOff);
}

TEST_CASE("a processor with neither touches no MSR", "[boot][cpu]") {
    FakeCpu cpu{{{0x80000000, {0x80000008, 0, 0, 0}}, {0x80000001, {0, 0, 1u << 2, 0}}}, {}};
    CHECK(probe_virtualization(cpu) == Virtualization::Missing);
}

TEST_CASE("page sizes and APIC ID come from the leaves that exist", "[boot][cpu]") {
    FakeCpu cpu{{{0x80000001, {0, 0, 0, 1u << 26}}, {1, {0, 0x07000000, 0, 0}}, {0xb, {0, 2, 0, 0x107}}}, {}};
    CHECK_FALSE(has_giant_pages(cpu));
    CHECK(current_apic_id(cpu) == 7);
    cpu.leaves[0x80000000] = {0x80000001, 0, 0, 0};
    cpu.leaves[0] = {0xd, 0, 0, 0};
    CHECK(has_giant_pages(cpu));
    CHECK(current_apic_id(cpu) == 0x107);
    cpu.leaves[0xb] = {};
    CHECK(current_apic_id(cpu) == 7);
}

TEST_CASE("the firmware's calendar becomes seconds", "[boot][clock]") {
    CHECK(epoch_seconds({2000, 2, 29, 12, 34, 56, 0}) == 951'827'696);
    CHECK(epoch_seconds({2038, 1, 19, 3, 14, 8, 0}) == 2'147'483'648);
    CHECK(epoch_seconds({2024, 12, 31, 23, 59, 59, kUnspecifiedZone}) == 1'735'689'599);
    CHECK(epoch_seconds({2024, 6, 1, 12, 0, 0, -120}) == epoch_seconds({2024, 6, 1, 10, 0, 0, 0}));
    CHECK(epoch_seconds({1970, 1, 1, 0, 30, 0, -60}) == 0);
}

TEST_CASE("a date that does not exist is no date", "[boot][clock]") {
    CHECK(epoch_seconds({2023, 2, 29, 0, 0, 0, 0}) == 0);
    CHECK(epoch_seconds({2100, 2, 29, 0, 0, 0, 0}) == 0);
    CHECK(epoch_seconds({1969, 12, 31, 0, 0, 0, 0}) == 0);
    CHECK(epoch_seconds({2023, 13, 1, 0, 0, 0, 0}) == 0);
    CHECK(epoch_seconds({2023, 0, 1, 0, 0, 0, 0}) == 0);
    CHECK(epoch_seconds({2023, 1, 0, 0, 0, 0, 0}) == 0);
    CHECK(epoch_seconds({2023, 1, 1, 24, 0, 0, 0}) == 0);
    CHECK(epoch_seconds({2023, 1, 1, 0, 60, 0, 0}) == 0);
    CHECK(epoch_seconds({0, 0, 0, 0, 0, 0, 0}) == 0);
}

TEST_CASE("a line holds text and numbers and is cut visibly", "[boot][line]") {
    Line line;
    line << "a " << 0u << " " << ~std::uint64_t{0} << " " << Hex{0} << " " << Hex{0xfee0}
         << std::string_view{};
    CHECK(line.text() == "a 0 18446744073709551615 0x0 0xfee0");
    Line full;
    full << std::string(Line::kCapacity, 'x');
    CHECK(full.text() == std::string(Line::kCapacity, 'x'));
    full << "y";
    CHECK(full.text() == std::string(Line::kCapacity - 3, 'x') + "...");
}
