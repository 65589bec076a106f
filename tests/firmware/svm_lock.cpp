// SPDX-License-Identifier: Apache-2.0
#include "tests/firmware/svm_lock.hpp"

#include "tests/firmware/processor.hpp"
#include <cstddef>
#include <cstdint>

namespace ballast::test_firmware {
using namespace std::string_view_literals;

namespace {
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// APM vol 2, appendix A: MSRs.
constexpr u32 kEfer = 0xc000'0080;
constexpr u64 kEferLma = 1u << 10;
constexpr u64 kEferSvme = 1u << 12;
constexpr u32 kVmCr = 0xc001'0114;
constexpr u64 kVmCrLockedOff = 1u << 3 | 1u << 4; // LOCK, SVMDIS
constexpr u64 kVmCrWritable = 7;                  // DPD, R_INIT, DIS_A20M: the lock does not cover them
constexpr u32 kVmHsavePa = 0xc001'0117;

// APM vol 2, appendix B, table B-1: the intercepts of offsets 00Ch and 010h; appendix C: exit codes.
constexpr u32 kInterceptInvlpga = 1u << 26;
constexpr u32 kInterceptMsrs = 1u << 28;
constexpr u32 kInterceptSvmInstructions = 0x7f; // VMRUN VMMCALL VMLOAD VMSAVE STGI CLGI SKINIT
constexpr u64 kExitInvlpga = 0x7a;
constexpr u64 kExitMsr = 0x7c;
constexpr u64 kExitVmrun = 0x80;
constexpr u64 kExitSkinit = 0x86;

// APM vol 2 §15.20, "Event Injection".
constexpr u64 kInvalidOpcode = 0x8000'0306;
constexpr u64 kGeneralProtection = 0x8000'0b0d; // with the error code 0

struct Segment {
    u16 selector, attributes;
    u32 limit;
    u64 base;
};

/// APM vol 2, appendix B: what is used of the VMCB.
struct alignas(4096) Vmcb {
    u8 unused_000[0x00c];
    u32 intercepts[2];
    u8 unused_014[0x048 - 0x014];
    u64 msr_map;
    u8 unused_050[0x058 - 0x050];
    u32 asid;
    u8 unused_05c[0x070 - 0x05c];
    u64 exit_code, exit_info1;
    u8 unused_080[0x0a8 - 0x080];
    u64 event;
    u8 unused_0b0[0x400 - 0x0b0];
    Segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    u8 unused_4a0[0x4d0 - 0x4a0];
    u64 efer;
    u8 unused_4d8[0x548 - 0x4d8];
    u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
    u8 unused_580[0x5d8 - 0x580];
    u64 rsp;
    u8 unused_5e0[0x5f8 - 0x5e0];
    u64 rax;
    u8 unused_600[0x640 - 0x600];
    u64 cr2;
    u8 unused_648[0x1000 - 0x648];
};
static_assert(offsetof(Vmcb, exit_info1) == 0x78 && offsetof(Vmcb, event) == 0xa8);
static_assert(offsetof(Vmcb, tr) == 0x490 && offsetof(Vmcb, efer) == 0x4d0 && offsetof(Vmcb, cr2) == 0x640);
// in_place_guest.S has these three as numbers.
static_assert(offsetof(Vmcb, rflags) == 0x570 && offsetof(Vmcb, rip) == 0x578 &&
              offsetof(Vmcb, rsp) == 0x5d8);
static_assert(sizeof(Vmcb) == 0x1000);

/// The registers that VMRUN does not move, as in_place_guest.S pushes them.
struct Registers {
    u64 rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};

struct alignas(4096) Page {
    u8 bytes[4096];
};
constinit Vmcb guest{};
constinit Page host_save_area{};
constinit Page host_stack[4]{};
constinit u8 const* const host_stack_top = host_stack[3].bytes + sizeof(Page);
alignas(4096) constinit u8 msr_map[0x2000]{}; // APM vol 2 §15.11: two bits an MSR, read and write

/// Both accesses to `index` end in a #VMEXIT. The map's ranges start at MSRs 0, C000_0000h and C001_0000h.
void intercept_msr(u32 index) {
    u32 const range = index < 0xc000'0000 ? 0 : index < 0xc001'0000 ? 0x800 : 0x1000;
    u32 const bit = (index & 0x1fff) * 2;
    msr_map[range + bit / 8] |= static_cast<u8>(3u << bit % 8);
}

u64 address_of(void const* object) {
    return reinterpret_cast<u64>(object); // the firmware maps memory one to one
}

/// What the VMCB has about a flat segment of 64-bit mode.
Segment flat_segment(u16 selector) {
    u32 access = 0, limit = 0; // stay 0 for a null selector
    asm("lar %1, %0" : "+r"(access) : "r"(u32{selector}) : "cc");
    asm("lsl %1, %0" : "+r"(limit) : "r"(u32{selector}) : "cc");
    return {selector, static_cast<u16>((access >> 8 & 0xff) | (access >> 12 & 0xf00)), limit, 0};
}

struct [[gnu::packed]] TableRegister {
    u16 limit;
    u64 base;
};

Segment table(TableRegister const& value) {
    return {0, 0, value.limit, value.base};
}

#define READ_REGISTER(name)                                                                                  \
    [] {                                                                                                     \
        u64 value;                                                                                           \
        asm volatile("mov %%" name ", %0" : "=r"(value));                                                    \
        return value;                                                                                        \
    }()

/// All that VMRUN loads but RIP, RSP and RFLAGS. FS, GS, TR and LDTR stay in the processor.
void save_state(Vmcb& vmcb) {
    vmcb.es = flat_segment(static_cast<u16>(READ_REGISTER("es")));
    vmcb.cs = flat_segment(static_cast<u16>(READ_REGISTER("cs")));
    vmcb.ss = flat_segment(static_cast<u16>(READ_REGISTER("ss")));
    vmcb.ds = flat_segment(static_cast<u16>(READ_REGISTER("ds")));
    TableRegister gdtr, idtr;
    asm volatile("sgdt %0" : "=m"(gdtr));
    asm volatile("sidt %0" : "=m"(idtr));
    vmcb.gdtr = table(gdtr);
    vmcb.idtr = table(idtr);
    vmcb.cr0 = READ_REGISTER("cr0");
    vmcb.cr2 = READ_REGISTER("cr2");
    vmcb.cr3 = READ_REGISTER("cr3");
    vmcb.cr4 = READ_REGISTER("cr4");
    vmcb.dr6 = READ_REGISTER("dr6");
    vmcb.dr7 = READ_REGISTER("dr7");
    vmcb.efer = rdmsr(kEfer); // with SVME: a guest without is refused
}

constinit u64 vm_cr = kVmCrLockedOff;

bool write_msr(Vmcb& vmcb, u32 index, u64 value) {
    switch (index) {
    case kVmCr: vm_cr = kVmCrLockedOff | (value & kVmCrWritable); return true;
    case kEfer:
        if ((value & kEferSvme) != 0) return false;
        vmcb.efer = (value & ~kEferLma) | (vmcb.efer & kEferLma) | kEferSvme;
        return true;
    default: return false; // the map leaves all others alone but those it has no bits for
    }
}

bool read_msr(Vmcb const& vmcb, u32 index, u64& value) {
    switch (index) {
    case kVmCr: value = vm_cr; return true;
    case kEfer: value = vmcb.efer & ~kEferSvme; return true;
    default: return false;
    }
}

void access_msr(Vmcb& vmcb, Registers& registers) {
    constexpr u64 kBytes = 2; // of RDMSR and WRMSR: nobody puts prefixes before them
    constexpr u64 kLow = 0xffff'ffff;
    auto const index = static_cast<u32>(registers.rcx);
    u64 value = registers.rdx << 32 | (vmcb.rax & kLow);
    bool const write = vmcb.exit_info1 == 1;
    if (write ? !write_msr(vmcb, index, value) : !read_msr(vmcb, index, value)) {
        vmcb.event = kGeneralProtection;
        return;
    }
    if (!write) {
        vmcb.rax = value & kLow;
        registers.rdx = value >> 32;
    }
    vmcb.rip += kBytes;
}
} // namespace

extern "C" {
/// Fills in RIP, RSP and RFLAGS, enters the guest and returns as that guest. `host_stack_top` is where
/// #VMEXITs are handled from then on. Defined in in_place_guest.S.
void test_firmware_become_guest(Vmcb* vmcb, u8 const* host_stack_top);

/// One #VMEXIT; the guest is entered again when it returns. Called with GIF 0.
void test_firmware_handle_exit(Vmcb* vmcb, Registers* registers) {
    vmcb->event = 0;
    if (vmcb->exit_code == kExitMsr)
        access_msr(*vmcb, *registers);
    else if (vmcb->exit_code == kExitInvlpga ||
             (vmcb->exit_code >= kExitVmrun && vmcb->exit_code <= kExitSkinit))
        vmcb->event = kInvalidOpcode;
    else
        give_up("unexpected #VMEXIT"sv, vmcb->exit_code);
}
}

void lock_svm_off() {
    if (u64 const before = rdmsr(kVmCr); before != 0) give_up("VM_CR is not as after reset"sv, before);
    wrmsr(kEfer, rdmsr(kEfer) | kEferSvme);
    wrmsr(kVmHsavePa, address_of(&host_save_area));
    intercept_msr(kVmCr);
    intercept_msr(kEfer);
    guest.intercepts[0] = kInterceptMsrs | kInterceptInvlpga;
    guest.intercepts[1] = kInterceptSvmInstructions;
    guest.msr_map = address_of(msr_map);
    guest.asid = 1;
    save_state(guest);
    test_firmware_become_guest(&guest, host_stack_top);
    if (u64 const after = rdmsr(kVmCr); after != kVmCrLockedOff) give_up("VM_CR is not locked"sv, after);
    say("VM_CR is locked with SVMDIS"sv);
}
} // namespace ballast::test_firmware
