// SPDX-License-Identifier: Apache-2.0
// The loop that all string instructions share. Private to this folder.
#pragma once
#include "hv/core/decode/memory_bus.hpp"
#include "hv/core/decode/operand.hpp"
#include "hv/core/decode/string_io.hpp"
#include <utility>

namespace hv::decode {
/// One string instruction's registers and segments, as decoded.
class StringLoop {
  public:
    StringLoop(CpuView& cpu, CodeMode mode, Decoded const& decoded, u8 element_bytes);

    /// Calls element() until RCX is used up, kElementsPerCall are done or one fails.
    /// source() and destination() give the current element.
    template <class F>
    Result<Emulated, EmulationFailure> run(F element) {
        u32 done = 0;
        while (!repeat_ || count() != 0) {
            if (done == kElementsPerCall) {
                return Emulated{0, done};
            }
            HV_TRY(element());
            ++done;
            advance();
            if (!repeat_) {
                break;
            }
        }
        return Emulated{length_, done};
    }
    Result<LinearOperand, EmulationFailure> source() const;
    Result<LinearOperand, EmulationFailure> destination() const;
    void uses_source() { moves_source_ = true; }
    void uses_destination() { moves_destination_ = true; }

  private:
    u64 count() const { return read_register(cpu_, sized(Reg::Rcx)); }
    void advance();
    RegisterOperand sized(Reg r) const { return {r, address_bytes_, false}; }

    CpuView& cpu_;
    CodeMode mode_;
    Seg source_segment_ = Seg::Ds;
    u8 address_bytes_;
    u8 element_bytes_;
    u8 length_;
    bool repeat_ = false;
    bool moves_source_ = false;
    bool moves_destination_ = false;
};
} // namespace hv::decode
