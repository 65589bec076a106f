// SPDX-License-Identifier: Apache-2.0
// Segments, control-register views, events and the MSR bitmap: the arithmetic between guest and VMCS.
#include "hv/vmx/control_views.hpp"
#include "hv/vmx/event_codec.hpp"
#include "hv/vmx/host_state.hpp"
#include "hv/vmx/msr_bitmap.hpp"
#include "hv/vmx/segments.hpp"
#include <array>
#include <catch2/catch.hpp>

using namespace hv;
using namespace hv::vmx;

TEST_CASE("segments survive the way to the VMCS and back", "[vmx]") {
    for (u16 attributes : {u16{0xa9b}, u16{0xc93}, u16{0x093}, u16{0xcfb}, u16{0xaf3}}) {
        VmxSegment const s = to_vmcs(Seg::Cs, {0x10, attributes, 0xffff'ffff, 0});
        CHECK(attributes_of(s.access_rights) == (attributes | 0x800)); // a 4 GiB limit needs G
    }
}

TEST_CASE("unusable and not present are one thing, and keep the privilege level", "[vmx]") {
    VmxSegment const null_stack = to_vmcs(Seg::Ss, {0, 0x060, 0, 0}); // null SS in ring 3 of 64-bit mode
    CHECK(null_stack.access_rights == (0x1'0000u | 0x60));
    CHECK(attributes_of(null_stack.access_rights) == 0x060);
    CHECK(attributes_of(0x1'c0f3) == 0xc73); // as a CPU may leave an unusable one: P does not show
}

TEST_CASE("VM entry's demands are met whatever the owner wrote", "[vmx]") {
    CHECK(to_vmcs(Seg::Ds, {0x10, 0xc92, 0xffff'ffff, 0}).access_rights == 0xc093); // accessed
    CHECK(to_vmcs(Seg::Tr, {0x18, 0x089, 0x67, 0}).access_rights == 0x8b);          // busy
    CHECK(to_vmcs(Seg::Tr, {0, 0, 0xffff, 0}).access_rights == 0x8b);               // usable
    CHECK(to_vmcs(Seg::Tr, {0x18, 0x081, 0x67, 0}).access_rights == 0x83);          // 16-bit
    CHECK(to_vmcs(Seg::Ldtr, {0x20, 0x082, 0xfff, 0}).access_rights == 0x82);
    SECTION("the limit decides granularity where the two disagree") {
        CHECK(to_vmcs(Seg::Ds, {0, 0x893, 0x1234, 0}).access_rights == 0x0093);
        VmxSegment const large = to_vmcs(Seg::Ds, {0, 0x093, 0x1234'5678, 0});
        CHECK(large.access_rights == 0x8093);
        CHECK(large.limit == 0x1234'5fff);
    }
}

namespace {
constexpr Controls kFixed = [] {
    Controls c;
    c.cr0_fixed0 = 0x8000'0021, c.cr0_fixed1 = 0xffff'ffff;
    c.cr4_fixed0 = 0x2000, c.cr4_fixed1 = 0x37'27ff;
    return c;
}();
} // namespace

TEST_CASE("the hardware's CR0 hides what the guest asked for, the view shows it", "[vmx]") {
    u64 const view = 0x6000'0010; // reset: caches off, real mode
    u64 const hardware = hardware_cr0(view, kFixed);
    CHECK(hardware == 0x30); // NE by force, ET; no PE and PG with unrestricted guest; caches on
    CHECK(guest_view(hardware, view, kCr0GuestOwned) == view);
    u64 const paging = 0x8005'0033;
    CHECK(hardware_cr0(paging, kFixed) == paging);
    SECTION("bits the guest changed by itself come from the hardware") {
        CHECK(guest_view(hardware | cr0::kTs | cr0::kPe, view, kCr0GuestOwned) ==
              (view | cr0::kTs | cr0::kPe));
    }
}

TEST_CASE("the hardware's CR4 has VMXE and MCE, the guest sees neither", "[vmx]") {
    u64 const hardware = hardware_cr4(0x620, kFixed);
    CHECK(hardware == (0x620u | cr4::kVmxe | cr4::kMce));
    CHECK(guest_view(hardware, 0x620, kCr4GuestOwned) == 0x620);
    CHECK(hardware_cr4(cr4::kLa57, kFixed) == (cr4::kVmxe | cr4::kMce)); // a bit this CPU does not have
}

TEST_CASE("only harmless control-register writes are finished without the core", "[vmx]") {
    u64 const reset = 0x6000'0010;
    CHECK(cr0_needs_shadow_only(reset, 0x11));           // caches on, protected mode at once
    CHECK(cr0_needs_shadow_only(0x11, 0x11 | cr0::kCd)); // caches off
    CHECK(cr0_needs_shadow_only(0x11, 0x11 | cr0::kNe));
    CHECK_FALSE(cr0_needs_shadow_only(0x11, 0x11 | cr0::kNw)); // #GP
    CHECK_FALSE(cr0_needs_shadow_only(0x11, 0x11 | (1u << 6)));
    CHECK_FALSE(cr0_needs_shadow_only(0x11, 0x11 | (1ull << 32)));
    CHECK(cr4_needs_shadow_only(0x620, 0x660)); // MCE
    CHECK_FALSE(cr4_needs_shadow_only(0x620, 0x620 | cr4::kVmxe));
    CHECK_FALSE(cr4_needs_shadow_only(0x620, 0x620 | cr4::kSmep));
}

TEST_CASE("LMA is LME and PG", "[vmx]") {
    CHECK(with_lma(efer::kLme, cr0::kPg) == (efer::kLme | efer::kLma));
    CHECK(with_lma(efer::kLme | efer::kLma, 0) == efer::kLme);
    CHECK(with_lma(efer::kSce | efer::kLma, cr0::kPg) == efer::kSce);
}

TEST_CASE("events become interruption information", "[vmx]") {
    CHECK(encode({Event::Type::External, 0x30, false, 0}) == PendingEvent{0x8000'0030, 0, 0});
    CHECK(encode({Event::Type::Nmi, 2, false, 0}) == PendingEvent{0x8000'0202, 0, 0});
    CHECK(encode({Event::Type::Exception, 13, true, 0x18}) == PendingEvent{0x8000'0b0d, 0x18, 0});
    CHECK(encode({Event::Type::Exception, 6, false, 0}) == PendingEvent{0x8000'0306, 0, 0});
    CHECK(encode({Event::Type::Exception, 3, false, 0}) == PendingEvent{0x8000'0603, 0, 1});
    SECTION("an error code is there exactly where VM entry wants one, whatever the caller says") {
        CHECK(encode({Event::Type::Exception, 14, false, 0}).information == 0x8000'0b0e);
        CHECK(encode({Event::Type::Exception, 6, true, 5}).information == 0x8000'0306);
        CHECK(for_mode(encode({Event::Type::Exception, 13, true, 0}), false).information == 0x8000'030d);
        CHECK(for_mode(encode({Event::Type::Exception, 13, true, 0}), true).information == 0x8000'0b0d);
    }
}

TEST_CASE("an interrupted delivery is delivered again", "[vmx]") {
    CHECK_FALSE(from_idt_vectoring(0x0000'0b0e, 2, 3).valid());
    CHECK(from_idt_vectoring(0x8000'0020, 0, 7) == PendingEvent{0x8000'0020, 0, 0});
    CHECK(from_idt_vectoring(0x8000'1b0e, 6, 3) == PendingEvent{0x8000'0b0e, 6, 0}); // bit 12 is undefined
    CHECK(from_idt_vectoring(0x8000'0480, 0, 2) == PendingEvent{0x8000'0480, 0, 2}); // int 0x80
    CHECK(from_idt_vectoring(0x8000'0603, 0, 1) == PendingEvent{0x8000'0603, 0, 1}); // int3
    CHECK(from_idt_vectoring(0x8000'0501, 0, 1) == PendingEvent{0x8000'0501, 0, 1}); // icebp
}

TEST_CASE("the neutral view of a waiting event keeps what the double-fault rules ask for", "[vmx]") {
    Event const fault = decode(PendingEvent{0x8000'0b0e, 6, 0});
    CHECK(fault.type == Event::Type::Exception);
    CHECK(fault.vector == 14);
    CHECK(fault.has_error_code);
    CHECK(fault.error_code == 6);
    CHECK(decode(PendingEvent{0x8000'0480, 0, 2}).type == Event::Type::External); // int 0x80 is benign
    CHECK(decode(PendingEvent{0x8000'0202, 0, 0}).type == Event::Type::Nmi);
}

TEST_CASE("the MSR bitmap opens exactly what it is told", "[vmx]") {
    alignas(8) std::array<u8, kPageBytes> page{};
    MsrBitmap bitmap{page};
    bitmap.intercept_all();
    bitmap.pass_through(0x174);
    bitmap.pass_through(0xc000'0102);
    bitmap.pass_through(0x4000'0000); // outside both ranges: nothing to open
    CHECK_FALSE(bitmap.exits_on_read(0x174));
    CHECK_FALSE(bitmap.exits_on_write(0xc000'0102));
    CHECK(bitmap.exits_on_read(0x4000'0000));
    int closed = 0;
    for (u8 byte : page) {
        closed += __builtin_popcount(byte);
    }
    CHECK(closed == 4096 * 8 - 4);
    // SDM vol 3C, "MSR-Bitmap Address": write bits for high MSRs are the last KiB; 0x102 is bit 2 of byte
    // 0x20
    CHECK(page[0x174 / 8] == 0xef);
    CHECK(page[3072 + 0x20] == 0xfb);
}

TEST_CASE("a TSS descriptor's base is put together from four places", "[vmx]") {
    u64 const table[] = {0, 0x00af'9b00'0000'ffff, 0xab00'8b12'3456'0067, 0x0000'0000'ffff'8000};
    CHECK(system_descriptor_base(table, 0x10) == 0xffff'8000'ab12'3456);
    CHECK(system_descriptor_base(table, 0x18) == 0); // half outside
}
