// SPDX-License-Identifier: Apache-2.0
// Why a virtual processor stopped running, in neutral form. Backends fill it; nothing here knows a vendor's
// number.
#pragma once
#include "hv/base/addr.hpp"
#include "hv/core/access.hpp"
#include "hv/core/registers.hpp"

namespace hv {
enum class ExitKind : u8 {
    HostEvent,   ///< host interrupt, NMI, the slice's deadline, or an exception that goes back to the guest
                 ///< at the next run(): nothing to do for the guest
    Cpuid,       ///<
    Hypercall,   ///< VMCALL / VMMCALL; the handler checks CPL
    Io,          ///< IN, OUT, INS, OUTS: `io`
    MsrRead,     ///< RDMSR: index in ECX
    MsrWrite,    ///< WRMSR
    NestedFault, ///< EPT violation / #NPF: `fault`
    Halt,        ///< HLT
    InterruptWindow, ///< the window asked for by request_interrupt_window() is open
    ControlRegister, ///< MOV to/from CR0/CR4/CR8, CLTS, LMSW, SMSW that the backend could not finish itself:
                     ///< `control`
    DebugRegister,   ///< MOV DRn: `debug`
    Xsetbv,          ///< ECX, EDX:EAX; the handler checks CPL
    CacheControl,    ///< WBINVD, INVD: no effect on write-back RAM, skip
    InvalidOpcode,   ///< an instruction this guest does not have (VMX, SVM, MONITOR…): inject #UD
    Exception,       ///< an exception the core asked to see: `exception`
    SingleStep,      ///< one instruction done after step_once()
    TripleFault,     ///< shutdown state
    EntryFailed, ///< the CPU refused the guest state; `unknown.code` for the log. The partition is at fault:
                 ///< stop it
    Unknown,     ///< `unknown.code` is the vendor's number, for the log only
};

struct NestedFaultExit {
    Gpa gpa;              ///< byte address
    Access access;        ///< what was tried: one of R, W, X
    bool present;         ///< a translation existed but denied the access
    bool during_walk;     ///< the access was the processor's own walk of the guest's page tables
    bool during_delivery; ///< it was made for an event, which waits again: tables or stack, not the
                          ///< instruction
};
struct IoExit {
    u16 port;
    u8 size_bytes; ///< 1, 2 or 4
    bool in;
    bool string; ///< INS/OUTS: the instruction must be decoded for segment and address size
    bool repeat;
};
struct ControlRegisterExit {
    bool decoded; ///< false: the fields below are unknown, decode the instruction at RIP
    u8 control;   ///< 0, 2, 3, 4, 8
    enum class Kind : u8 { MovTo, MovFrom, Clts, Lmsw } kind;
    u8 gpr;          ///< Reg of MovTo/MovFrom
    u16 lmsw_source; ///< the operand of LMSW
};
struct DebugRegisterExit {
    bool decoded;
    u8 number; ///< 0..7
    bool write;
    u8 gpr;
};
struct ExceptionExit {
    u8 vector;
    bool has_error_code;
    u32 error_code;
    u64 address; ///< #PF: linear address; #DB: DR6 bits that would be set
};
struct UnknownExit {
    u64 code;
    u64 info;
};

struct Exit {
    ExitKind kind = ExitKind::HostEvent;
    /// Length of the instruction that exited, 0 where the hardware does not tell (then LengthDecoder).
    u8 instruction_bytes = 0;
    union {
        NestedFaultExit fault;
        IoExit io;
        ControlRegisterExit control;
        DebugRegisterExit debug;
        ExceptionExit exception;
        UnknownExit unknown;
    };
    constexpr Exit() : unknown{} {}
};

/// An event to deliver through the guest's IDT at the next entry.
struct Event {
    enum class Type : u8 { External, Nmi, Exception } type = Type::External;
    u8 vector = 0;
    bool has_error_code = false;
    u32 error_code = 0;
};
} // namespace hv
