// SPDX-License-Identifier: Apache-2.0
// A breakpoint's condition in the byte code that GDB sends along: evaluated where the breakpoint is hit, so
// that a false one costs no round trip. The code comes off a wire: it can loop, overflow and divide as little
// as it can write.
#pragma once
#include "hv/base/result.hpp"
#include "hv/base/types.hpp"
#include <span>

namespace hv::debug {
/// What an expression may look at. Nothing in it changes the guest.
class AgentContext {
  public:
    virtual ~AgentContext() = default;
    /// @param number as in the target description that GDB has read (x86-64: 0 RAX, 1 RBX, 2 RCX, 3 RDX, 4
    /// RSI, 5 RDI, 6 RBP, 7 RSP, 8–15 R8–R15, 16 RIP, 17 EFLAGS, …). @return false where there is no such
    /// register, or not as an integer of at most 64 bits
    virtual bool read_register(u16 number, u64& value) = 0;
    /// @param linear by the guest's current page tables, permissions not asked, no accessed bits set
    /// @return false unless all bytes could be read
    virtual bool read_memory(u64 linear, std::span<u8> to) = 0;
};

enum class AgentError : u8 {
    TooLong,        ///< more than kMaxExpressionBytes
    UnknownOpcode,  ///< also those that trace, print, write variables or use floating point
    Truncated,      ///< an operand is cut off, or the code ends without `end`
    StackOverflow,  ///< more than kMaxAgentStack values
    StackUnderflow, ///< an operation, or `end`, without enough values
    BadJump,        ///< backwards, to itself, or past the end
    BadCount,       ///< ext or zero_ext of 0 or more than 64 bits
    DivideError,    ///< by zero, or the smallest number by -1
    NoRegister,
    NoMemory,     ///< the context could not read it
    TooManyReads, ///< more than kMaxAgentReads
};

inline constexpr usize kMaxExpressionBytes = 1024;
inline constexpr usize kMaxAgentStack = 100; // gdbserver's
inline constexpr unsigned kMaxAgentReads = 64;

/// Runs @p code up to `end`. Jumps go forwards only, so it takes at most as many steps as it has bytes.
/// Shifts by 64 and more give 0, or the sign. Does not allocate; some 900 bytes of stack; any context.
/// @return the value on top of the stack at `end`: the condition holds if it is not 0. After an error the
/// caller reports the hit: GDB evaluates every condition again. Source: GDB manual, "Agent Expressions:
/// Bytecode Descriptions".
Result<u64, AgentError> evaluate(std::span<u8 const> code, AgentContext&);
} // namespace hv::debug
