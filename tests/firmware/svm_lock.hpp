// SPDX-License-Identifier: Apache-2.0
// SVM switched off and locked on a processor whose VM_CR cannot say so: software QEMU reads it as 0 and drops
// what is written. The processor becomes a guest in place, with nothing taken away but SVM itself.
#pragma once

namespace ballast::test_firmware {
/// Returns as the guest. From then on VM_CR reads SVMDIS and LOCK and keeps both, EFER.SVME reads 0 and
/// cannot be set, and SVM's instructions are undefined. Memory, interrupts and ports are the machine's own,
/// and so are its page tables: the firmware's have to stay where they are, as this image has. That holds as
/// long as there are boot services.
/// Source: AMD APM vol 2 §15.4 "Enabling SVM", §15.30.1 "VM_CR MSR".
void lock_svm_off();
} // namespace ballast::test_firmware
