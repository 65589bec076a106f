// SPDX-License-Identifier: Apache-2.0
// The seam between the neutral core and the two vendors: hv/vmx and hv/svm implement it, hv/init picks one at
// boot, nobody else knows which. No default bodies: a backend that forgets something does not compile.
#pragma once
#include "hv/base/result.hpp"
#include "hv/core/exit.hpp"
#include "hv/core/nested_map.hpp"
#include <optional>
#include <string_view>

namespace hv {
namespace decode {
class LengthDecoder;
}
enum class VirtError : u8 {
    NotSupported, ///< the CPU lacks a feature that cannot be done without; missing_feature() names it
    DisabledByFirmware,
    OutOfMemory,
    HardwareRefused, ///< VMXON/VMPTRLD and the like failed: bug of ours or of the machine
};

/// Where backends and tables get and return single zeroed 4 KiB host frames. Implemented over the frame
/// allocator (hv/mm) and by fakes. May be called from partition set-up and from nested-map changes, never
/// inside run().
class HostFrames {
  public:
    virtual ~HostFrames() = default;
    /// A zeroed frame, or null when there is none. The pointer is the frame's direct-map address.
    virtual void* allocate() = 0;
    virtual void free(void* frame) = 0;
    /// The physical address behind a pointer that allocate() returned (or any direct-map pointer).
    virtual Hpa physical(void const* pointer) const = 0;
    /// The direct-map pointer to a physical address of RAM.
    virtual void* pointer(Hpa at) const = 0;
};

/// What the processor's debug registers check while a virtual processor runs: the guest's own breakpoints and
/// the debugger's, merged by the core. The guest never sees them, its MOV DR exits.
struct HardwareBreakpoints {
    static constexpr u64 kNone = 0x400; ///< DR7 with nothing enabled: bit 10 is always 1
    u64 address[4] = {};                ///< DR0 … DR3, linear
    u64 dr7 = kNone;                    ///< L0 … G3, R/Wn, LENn; GD, LE and GE are clear

    bool any() const { return (dr7 & 0xff) != 0; }
    constexpr bool operator==(HardwareBreakpoints const&) const = default;
};

/// What a virtual processor's backend is built with.
struct VcpuSetup {
    NestedMap* nested = nullptr; ///< the partition's second-level tables
    u16 partition_tag = 1;       ///< VPID / ASID candidate, 1 … (each virtual processor its own)
};

/// One virtual processor's hardware state. All calls on the physical CPU that the virtual processor is loaded
/// on, interrupts masked. Nothing here allocates or takes a lock.
class VirtVcpu {
  public:
    virtual ~VirtVcpu() = default;

    GuestGprs gprs; ///< RAX … R15; use read()/write() for RSP, RIP, RFLAGS
    /// What run() looks at when no NMI can come between the look and the entry: while it is not 0, run()
    /// returns HostEvent at once. The core points it at Cpu::kicked of the CPU it loads this on.
    u32 const* kicked = &kNotKicked;
    static constexpr u32 kNotKicked = 0;
    /// Lengths of instructions that exited before. A backend whose hardware does not tell a length looks
    /// here, with the registers it has at hand, before it leaves Exit::instruction_bytes 0. The core owns and
    /// fills it.
    decode::LengthDecoder const* lengths = nullptr;

    /// Makes this the virtual processor loaded on this physical CPU: VMPTRLD / VMLOAD of state the host does
    /// not use, XCR0 aside (the core switches FPU state). Must be called before any other member when another
    /// one was loaded or it ran elsewhere.
    virtual void load() = 0;
    /// Leaves it so that it may be loaded on another CPU (VMCLEAR / VMSAVE).
    virtual void unload() = 0;

    /// Enters the guest until something exits. Re-delivers by itself an event whose delivery was interrupted
    /// by an exit.
    /// @param deadline_tsc host TSC at which to come back at the latest (~0 for never). A backend with a
    /// preemption timer uses it, the other relies on the host timer interrupt that the core has armed for the
    /// same moment.
    /// HostEvent: an NMI has been delivered through the host IDT when it returns, an interrupt waits until
    /// the caller lets it in.
    /// @return valid until the next run() of this virtual processor.
    virtual Exit const& run(u64 deadline_tsc) = 0;

    /// Moves RIP past the instruction that exited and ends an STI/MOV-SS shadow. Where the guest single-steps
    /// itself (RFLAGS.TF) the next run() returns its #DB, with DR6.BS, before anything else happens.
    virtual void advance(u8 instruction_bytes) = 0;

    /// Delivers @p event at the next run(). Exceptions: always allowed, and merged by the double-fault rules
    /// with one that is waiting (SDM vol 3A, "Interrupt 8: Double Fault"). External: only if
    /// can_take_interrupt().
    virtual void inject(Event const& event) = 0;
    /// What the next run() will deliver through the guest's IDT, if anything: injected, or interrupted in its
    /// delivery by an exit.
    virtual std::optional<Event> waiting_event() = 0;
    /// IF = 1, no shadow, and nothing waiting for injection.
    virtual bool can_take_interrupt() = 0;
    virtual bool can_take_nmi() = 0;
    /// Asks for an InterruptWindow exit as soon as can_take_interrupt(), or cancels that. Stays asked for
    /// until cancelled: after each such exit the caller injects, cancels, or gets another one.
    virtual void request_interrupt_window(bool wanted) = 0;

    virtual u64 read(Reg) = 0;
    virtual void write(Reg, u64) = 0;
    virtual Segment read(Seg) = 0;
    virtual void write(Seg, Segment const&) = 0;
    virtual DescriptorTable read_gdtr() = 0;
    virtual DescriptorTable read_idtr() = 0;
    virtual void write_gdtr(DescriptorTable const&) = 0;
    virtual void write_idtr(DescriptorTable const&) = 0;
    /// CR0, CR2, CR3, CR4 as the guest sees them. CR8 is the core's (virtual APIC); XCR0 too.
    virtual u64 read(ControlReg) = 0;
    /// Sets CR0/CR2/CR3/CR4 as the guest would see them, keeping what the hardware needs set behind its back,
    /// and EFER.LMA in step. No permission checks: the exit handlers did them.
    virtual void write(ControlReg, u64) = 0;
    virtual u64 read(StateMsr) = 0;
    virtual void write(StateMsr, u64) = 0;
    /// IA32_TSC_AUX, for RDTSCP and RDPID; 0 after reset(). Without effect where the CPU has neither.
    virtual void set_tsc_aux(u64) = 0;
    /// What the debug registers check from the next run() on. Costs nothing while none is enabled. The
    /// guest's own DR0–3, DR6 and DR7 are values that the core keeps.
    virtual void arm_breakpoints(HardwareBreakpoints const&) = 0;
    virtual u8 cpl() = 0;
    /// CS:RIP is 64-bit code: what code_mode() would find, in one call.
    virtual bool in_64bit_code() = 0;
    /// Guest TSC = host TSC + offset.
    virtual void set_tsc_offset(u64 offset) = 0;
    /// Ends blocking by STI/MOV SS: RIP was moved by other means than advance().
    virtual void clear_interrupt_shadow() = 0;

    /// The guest's CR0/CR4/EFER writes that are allowed to reach the hardware, in one place for both vendors,
    /// is hv/core/control_registers.hpp; backends intercept so that it decides.

    /// Asks for an Exception exit when the guest raises one of these vectors (bit n = vector n).
    /// Machine checks and #DB need no asking. Each #DB comes out of run() as Exception with the DR6 bits it
    /// would set in `address` (B0–B3 by the numbers of arm_breakpoints(), BS, BT, BD), from a breakpoint, TF,
    /// a task switch or INT1 (then `instruction_bytes` is not 0). The core tells whose it is and injects the
    /// guest's. The processor's DR6 is nobody's and cleared.
    virtual void intercept_exceptions(u32 vectors) = 0;
    /// MOV to CR3, which nobody else asks for, exits as ControlRegister before it has run. Not over reset().
    virtual void report_cr3_writes(bool wanted) = 0;
    /// Runs one instruction at the next run() and returns SingleStep, or the exit that the instruction made.
    /// HostEvent: it has not run, ask again. An exception that it raises is reported as SingleStep, is
    /// waiting then (waiting_event()) and RIP is still on it. An armed breakpoint that it meets is reported
    /// as Exception instead: data, and it has run; code, and it has not. A guest that has set TF itself finds
    /// its BS in there, or in an Exception of its own at the next run().
    ///
    /// Where steps_exactly() is false this is done by RFLAGS.TF, set behind the guest's back and out again at
    /// each exit. TF does not step everything, and some instructions would show it: those are hv/debug's to
    /// go around (step_plan.hpp), and this is not called for them, nor with an event waiting.
    virtual void step_once() = 0;
    /// Whether step_once() uses a monitor trap flag: exact for every instruction and for event delivery,
    /// after which it stops at the handler's first instruction.
    virtual bool steps_exactly() const = 0;
    /// Code breakpoints compare RIP without CS.base on this machine and must not be armed in code with one.
    /// (Software QEMU 7.2, bpt_helper.c: check_hw_breakpoints.)
    virtual bool breakpoints_ignore_cs_base() const = 0;

    /// State as after INIT/power-on reset (SDM vol 3A, "Processor State After Reset"): real mode, CS f000,
    /// RIP fff0.
    virtual void reset() = 0;

    /// All of the state for a crash report, bounded; any context.
    virtual void dump() = 0;
};

/// One per machine.
class VirtBackend {
  public:
    virtual ~VirtBackend() = default;
    virtual std::string_view name() const = 0; ///< "VMX/EPT" or "SVM/NPT", for the log and the operator
    /// Checks this CPU for all that is needed and switches virtualization on (VMXON / EFER.SVME). Once per
    /// physical CPU.
    virtual Result<void, VirtError> enable_cpu(u32 cpu_index, HostFrames&) = 0;
    /// The feature behind NotSupported, by its name in the manual.
    virtual std::string_view missing_feature() const = 0;

    /// An empty second-level table. Lives until destroy.
    virtual Result<NestedMap*, VirtError> create_nested_map(HostFrames&) = 0;
    /// @param frames the ones it was created with
    virtual void destroy(NestedMap*, HostFrames& frames) = 0;
    virtual Result<VirtVcpu*, VirtError> create_vcpu(VcpuSetup const&, HostFrames&) = 0;
    /// On the CPU where it is loaded, if it is. @param frames the ones it was created with
    virtual void destroy(VirtVcpu*, HostFrames& frames) = 0;
    /// "VMCALL" or "VMMCALL" for the hypercall page: 3 bytes.
    virtual void hypercall_instruction(u8 (&bytes)[3]) const = 0;
};
} // namespace hv
