// SPDX-License-Identifier: Apache-2.0
// The crash report of a virtual processor: some thirty lines, never more.
#include "hv/base/log.hpp"
#include "hv/vmx/vcpu.hpp"

namespace hv::vmx {
void VmxVcpu::dump() {
    namespace f = arch::vmcs;
    if (slot_ == nullptr || slot_->loaded != this || slot_ != &backend_.this_cpu()) {
        log_error("vcpu: not loaded on this processor");
        return;
    }
    for (unsigned i = 0; i < kGprCount; i += 4) { // in the instruction set's order: 4 is RSP, which is below
        log_error("r{}.. {:016x} {:016x} {:016x} {:016x}", i, gprs.value[i], gprs.value[i + 1],
                  gprs.value[i + 2], gprs.value[i + 3]);
    }
    log_error("rip {:016x} rsp {:016x} rflags {:08x} interruptibility {:x} activity {}", rip(), rsp(),
              rflags(), shadow(), vmcs_.read(f::guest_activity_state));
    log_error("cr0 {:08x} (hardware {:08x}) cr2 {:x} cr3 {:x} cr4 {:x} (hardware {:x})",
              read(ControlReg::Cr0), vmcs_.read(f::guest_cr0), read(ControlReg::Cr2), read(ControlReg::Cr3),
              read(ControlReg::Cr4), vmcs_.read(f::guest_cr4));
    log_error("efer {:x} pat {:x} dr7 {:x} pending debug {:x}", read(StateMsr::IA32_EFER),
              read(StateMsr::IA32_PAT), vmcs_.read(f::guest_dr7),
              vmcs_.read(f::guest_pending_debug_exceptions));
    constexpr std::string_view kNames[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    for (u8 i = 0; i < 8; ++i) {
        f::SegmentFields const& fields = f::guest_segment[i];
        log_error("{:-4} {:04x} base {:016x} limit {:08x} rights {:05x}", kNames[i],
                  vmcs_.read(fields.selector), vmcs_.read(fields.base), vmcs_.read(fields.limit),
                  vmcs_.read(fields.access_rights));
    }
    DescriptorTable const gdtr = read_gdtr();
    DescriptorTable const idtr = read_idtr();
    log_error("gdtr {:x}/{:x} idtr {:x}/{:x}", gdtr.base, gdtr.limit, idtr.base, idtr.limit);
    log_error("sysenter {:x}:{:x} sp {:x} star {:x} lstar {:x} kernel gs {:x}",
              read(StateMsr::IA32_SYSENTER_CS), read(StateMsr::IA32_SYSENTER_EIP),
              read(StateMsr::IA32_SYSENTER_ESP), read(StateMsr::IA32_STAR), read(StateMsr::IA32_LSTAR),
              read(StateMsr::IA32_KERNEL_GS_BASE));
    log_error("controls pin {:x} primary {:x} secondary {:x} exit {:x} entry {:x} exceptions {:x}",
              vmcs_.read(f::pin_based_controls), vmcs_.read(f::primary_controls),
              vmcs_.read(f::secondary_controls), vmcs_.read(f::vm_exit_controls),
              vmcs_.read(f::vm_entry_controls), vmcs_.read(f::exception_bitmap));
    log_error("eptp {:x} vpid {} tsc offset {:x}", vmcs_.read(f::ept_pointer), vpid_,
              vmcs_.read(f::tsc_offset));
    log_error("exit reason {:x} qualification {:x} gpa {:x} linear {:x} length {}",
              vmcs_.read(f::exit_reason), vmcs_.read(f::exit_qualification),
              vmcs_.read(f::guest_physical_address).raw, vmcs_.read(f::guest_linear_address),
              vmcs_.read(f::vm_exit_instruction_length));
    log_error("exit interruption {:x}/{:x} idt vectoring {:x}/{:x} entry interruption {:x} error {}",
              vmcs_.read(f::vm_exit_interruption_information), vmcs_.read(f::vm_exit_interruption_error_code),
              vmcs_.read(f::idt_vectoring_information), vmcs_.read(f::idt_vectoring_error_code),
              vmcs_.read(f::vm_entry_interruption_information), vmcs_.read(f::vm_instruction_error));
    log_error("pending event {:x} work {:x}", pending_.information, work_);
}
} // namespace hv::vmx
