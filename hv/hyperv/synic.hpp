// SPDX-License-Identifier: Apache-2.0
// One virtual processor's synthetic interrupt controller: sixteen interrupt sources, each with a message slot
// and 2048 event flags in pages of the guest's memory.
//
//   post() ─► queue of the SINT ─► slot free? ─ yes ─► write payload, header, type last ─► interrupt
//                                     └─ no ─► set "message pending" in the slot; the guest's EOM (or the
//                                              next post, or a tick) brings us back
#pragma once
#include "hv/core/guest_access.hpp"
#include "hv/core/interrupt_sink.hpp"
#include "hv/hyperv/hyperv_counters.hpp"
#include "hv/hyperv/message_pool.hpp"

namespace hv::hyperv {
/// What the parts of the interface share; owned by HypervInterface.
struct HypervEnvironment {
    GuestAccess& memory;
    InterruptSink& interrupts;
    PartitionClock const& clock;
    MessagePool pool;
    HypervCounters counters;
};

enum class PostStatus : u8 { Ok, PoolFull };
enum class SignalStatus : u8 { Ok, Off }; ///< Off: the guest has not set up the SynIC, nothing was signalled

/// Registers and delivery of one SynIC. Serialised by the partition's lock; the guest's own accesses to the
/// two pages race with ours, hence the atomics.
/// Source: TLFS, "Inter-Partition Communication", SynIC.
class Synic {
  public:
    void bind(HypervEnvironment& environment, u32 vp_index);
    /// Power-on state; waiting messages are dropped.
    void reset();

    /// @return false for #GP. @p index is one of the SynIC's MSRs
    bool read_msr(u32 index, u64& value) const;
    bool write_msr(u32 index, u64 value);
    static bool owns_msr(u32 index);

    /// Queues a message and delivers it when its slot is free.
    PostStatus post(u32 sint, SynicMessage const& message);
    /// Writes @p message to its slot if that is free, past any queue; otherwise marks the slot so that the
    /// guest tells us when it is. @return whether it was delivered
    bool deliver_now(u32 sint, SynicMessage const& message);
    /// Sets event flag @p flag (below kEventFlagsPerSint) and interrupts the guest if it was clear.
    SignalStatus signal(u32 sint, u32 flag);

    /// Delivers what waits and can be delivered.
    void pump();
    /// Drops the messages waiting for @p sint.
    void discard(u32 sint);
    /// Whether a message waits; then a pump() may be worth while.
    bool waiting() const { return waiting_ != 0; }
    /// Whether some SINT delivers @p vector with automatic end of interrupt.
    bool auto_eoi(u8 vector) const { return auto_eoi_used_ && has_auto_eoi(vector); }

  private:
    bool enabled(u32 sint, u64 page_register) const;
    u8* slot(u32 sint, u64 page_register);
    void interrupt(u32 sint);
    void set_page(u64& page_register, u64 value);
    void pump(u32 sint);
    bool has_auto_eoi(u8 vector) const;

    HypervEnvironment* env_ = nullptr;
    u32 vp_ = 0;
    u64 scontrol_ = 0, siefp_ = 0, simp_ = 0;
    std::array<u64, kSintCount> sint_{};
    std::array<MessageQueue, kSintCount> queue_{};
    bool auto_eoi_used_ = false;
    u16 waiting_ = 0; ///< SINTs with a queue that is not empty
};
} // namespace hv::hyperv
