// SPDX-License-Identifier: Apache-2.0
// What the debugger's session needs of the machine: partitions as inferiors. Implemented once over the
// partitions (hv/init/debugger) and by fakes. All calls come from the session, on the boot processor, outside
// any exit; the implementation takes care of the partition's own processor. Nothing here waits for a guest.
#pragma once
#include "hv/base/result.hpp"
#include "hv/base/types.hpp"
#include <span>
#include <string_view>

namespace hv::gdb {
/// Registers by what they are; the session knows their numbers and sizes in each target description.
enum class RegisterId : u8 {
    // In x86 encoding order, 8 bytes each.
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    Rip,    ///< 8 bytes; without CS.base
    Rflags, ///< 4 bytes
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs, ///< selectors, 2 bytes
    EsBase,
    CsBase,
    SsBase,
    DsBase,
    FsBase,
    GsBase, ///< 8 bytes
    KernelGsBase,
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    Cr8,
    Efer, ///< 8 bytes
    St0,
    St1,
    St2,
    St3,
    St4,
    St5,
    St6,
    St7, ///< 10 bytes
    Fctrl,
    Fstat,
    Ftag,
    Fiseg,
    Fioff,
    Foseg,
    Fooff,
    Fop, ///< 4 bytes; Ftag as FSTENV gives it, 2 bits a register
    Xmm0,
    Xmm1,
    Xmm2,
    Xmm3,
    Xmm4,
    Xmm5,
    Xmm6,
    Xmm7,
    Xmm8,
    Xmm9,
    Xmm10,
    Xmm11,
    Xmm12,
    Xmm13,
    Xmm14,
    Xmm15, ///< 16 bytes
    Mxcsr, ///< 4 bytes
    /// Upper halves of YMM0 …, 16 bytes.
    Ymm0h,
    Ymm1h,
    Ymm2h,
    Ymm3h,
    Ymm4h,
    Ymm5h,
    Ymm6h,
    Ymm7h,
    Ymm8h,
    Ymm9h,
    Ymm10h,
    Ymm11h,
    Ymm12h,
    Ymm13h,
    Ymm14h,
    Ymm15h,
    Count
};

/// Why an inferior is not running.
struct Stop {
    enum class Reason : u8 {
        Halted,     ///< attached, interrupted, or waiting from its start (debug-wait)
        Stepped,    ///< a step, or the range of one, is done
        Breakpoint, ///< an execution point; `software` as it was inserted
        WriteWatch, ///< the access is done; `address` is the watchpoint's
        ReadWatch,
        AccessWatch,
        Crashed, ///< triple fault or a panic told through the crash MSRs; state is inspectable, it cannot go
                 ///< on
        Ended,   ///< powered off, turned off or restarted by someone else: nothing to inspect
    } reason = Reason::Halted;
    u32 vp = 0;
    u64 address = 0;
    bool software = false;

    /// What every stop reply tells along, so that nothing more has to be asked for it. Not filled: the
    /// session asks.
    struct Registers {
        bool filled = false;
        u32 code_bits = 64;
        u64 rip = 0, rsp = 0, rbp = 0, cs_base = 0, ss_base = 0;
    } registers{};
};

/// An execution point or watchpoint.
struct PointSpec {
    enum class Kind : u8 {
        SoftwareBreak,
        HardwareBreak,
        WriteWatch,
        ReadWatch,
        AccessWatch
    } kind;          ///< Z0 … Z4
    u64 address = 0; ///< linear
    u64 bytes = 1;   ///< watchpoints: any length ≥ 1
};

enum class PointError : u8 {
    Full,        ///< the table or the room for conditions is used up
    Unsupported, ///< this length or kind cannot be had
};

/// What continues and how. A thread that is not named stays as it is.
struct Resume {
    enum class Kind : u8 { Continue, Step, StepRange } kind = Kind::Continue;
    u64 range_first = 0, range_end = 0; ///< StepRange: goes on while first <= RIP (linear) < end
};

enum class AddressSpace : u8 {
    Virtual,  ///< the current page tables of the virtual processor; permissions are not asked, A/D bits not
              ///< set
    Physical, ///< guest-physical
};

struct MemoryRegion {
    enum class Kind : u8 { Ram, Ballooned, HotAdded, NotAdded, Device } kind;
    u64 first = 0, bytes = 0; ///< guest-physical
};

struct InferiorInfo {
    std::string_view name; ///< of the partition; lives for ever
    u32 vps = 0;           ///< threads
    bool on = false; ///< has state to look at: running, stopped, waiting from its start, or crashed and kept
    bool waits = false;   ///< it was started for the debugger (debug-wait) and nobody has continued it yet
    bool crashed = false; ///< kept for a post-mortem look
};

/// Where lines of a monitor command's answer go. Lines have no end of line.
class LineSink {
  public:
    virtual ~LineSink() = default;
    virtual void line(std::string_view text) = 0;
};

class Target {
  public:
    virtual ~Target() = default;
    virtual u32 inferior_count() = 0; ///< partitions in the configuration, on or off
    virtual InferiorInfo inferior(u32 index) = 0;

    /// Shall stop, and stays stopped. It has when take_stop() says so (at once, if it stood already; Crashed
    /// if it is kept for a post-mortem look). @return false when it is off
    virtual bool attach(u32 index) = 0;
    /// Removes all points and lets it go on; nothing of the debugger is left.
    virtual void detach(u32 index) = 0;
    /// Turns it off at once.
    virtual void kill(u32 index) = 0;
    /// Restarts or starts it, attached, without points, to stand before its first instruction; it does when
    /// take_stop() says so (Ended: that failed). @return false when it cannot be
    virtual bool restart(u32 index) = 0;
    /// Removes all its points; it stays attached, running or stopped.
    virtual void remove_points(u32 index) = 0;
    /// A running attached inferior shall stop (Halted). It has when take_stop() says so.
    virtual void interrupt(u32 index) = 0;
    /// One virtual processor that stands goes on; a call each for those that do, the stepping ones first, all
    /// before the next take_stop(). Those without a call stay as they are: in non-stop mode others of the
    /// inferior may be running, and the registers of those that stand can be read.
    virtual void resume(u32 index, u32 vp, Resume const& how) = 0;
    /// The stop of an inferior that attach(), restart() or resume() was called for, once: all its virtual
    /// processors stand. What another of them hit at the same time is found again after the next resume().
    /// @return good until the next call; nullptr: it has not stopped
    virtual Stop const* take_stop(u32 index) = 0;

    /// @param to / @param from exactly the register's bytes. @return false where it cannot be read or written
    virtual bool read_register(u32 index, u32 vp, RegisterId, std::span<u8> to) = 0;
    virtual bool write_register(u32 index, u32 vp, RegisterId, std::span<u8 const> from) = 0;
    /// Default width of the code at CS:RIP: 16, 32 or 64.
    virtual u32 code_bits(u32 index, u32 vp) = 0;
    /// @return how many bytes from the start could be read (0: none); ballooned, absent and device memory
    /// cannot
    virtual usize read_memory(u32 index, u32 vp, AddressSpace, u64 address, std::span<u8> to) = 0;
    /// All or nothing.
    virtual bool write_memory(u32 index, u32 vp, AddressSpace, u64 address, std::span<u8 const> from) = 0;
    /// The guest-physical map as it is now, ascending. @return how many there are (more than fit are left
    /// out)
    virtual u32 memory_map(u32 index, std::span<MemoryRegion> into) = 0;

    /// Inserts, or replaces the conditions of the same one. @param conditions agent expressions, each behind
    /// its length as 2 bytes big-endian; empty: unconditional; it is hit when any is true. They are copied.
    /// The operand of their `reg` is a RegisterId: gdb's numbers are the session's business.
    virtual Result<void, PointError> insert(u32 index, PointSpec const&, std::span<u8 const> conditions) = 0;
    /// @return false when there is no such point
    virtual bool remove(u32 index, PointSpec const&) = 0;

    /// A monitor command the session does not know itself: info, memory, msr, exits, regs, sstep, kaslr …
    /// @return false when nobody knows it
    virtual bool monitor(u32 index, u32 vp, std::string_view words, LineSink&) = 0;
    /// What this target adds to `monitor help`.
    virtual void monitor_help(LineSink&) = 0;
};
} // namespace hv::gdb
