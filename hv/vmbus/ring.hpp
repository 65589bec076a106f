// SPDX-License-Identifier: Apache-2.0
// The two rings of an open channel, in the guest's pages. The guest may write anything anywhere at any time:
// our own index lives with us, the guest's is loaded once and judged, packets are copied before they are
// looked at.
//
//   page 0: indices, mask │ pages 1…n: data, a packet may wrap at the end
//   0 ≤ read, write < data bytes, both multiples of 8; equal = empty; never filled completely
#pragma once
#include "hv/core/guest_access.hpp"
#include "hv/vmbus/channel_device.hpp"
#include "hv/vmbus/vmbus_wire.hpp"

namespace hv::vmbus {
enum class RingStatus : u8 {
    Ok,
    Empty,
    Full,
    Corrupt, ///< an index or a packet that no honest driver writes, or a page that is not the guest's memory
};

/// A ring's pages: a part of a GPADL. Page pointers are asked for anew in every call, because a device's
/// handler may take pages from the guest between two of them.
class RingPages {
  public:
    static constexpr usize kMinPages = 2;

    RingPages() = default;
    /// @param pfns  at least kMinPages; outlives this object
    RingPages(GuestAccess& memory, std::span<u32 const> pfns) : memory_{&memory}, pfns_{pfns} {}

    u32 data_bytes() const { return static_cast<u32>((pfns_.size() - 1) * kPageBytes); }
    /// nullptr when the page is not the guest's memory.
    RingHeader* header() const;
    /// Copies at a data offset, around the end if need be. @return false as header()
    bool copy_out(u32 offset, std::span<u8> to) const;
    bool copy_in(u32 offset, std::span<u8 const> from) const;

    bool valid(u32 index) const { return index < data_bytes() && index % 8 == 0; }
    u32 distance(u32 from, u32 to) const { return to >= from ? to - from : data_bytes() - from + to; }
    u32 advance(u32 index, u32 bytes) const { return (index + bytes) % data_bytes(); }

  private:
    template <class Bytes, class Copy>
    bool copy(u32 offset, std::span<Bytes> bytes, Copy one_piece) const;

    GuestAccess* memory_ = nullptr;
    std::span<u32 const> pfns_;
};

/// Guest → host.
class IncomingRing {
  public:
    /// Takes over the ring with the indices found in it. Corrupt: they are out of range.
    RingStatus attach(RingPages const& pages);
    /// Copies the next packet. @param buffer  for descriptor extras and payload; a longer packet is Corrupt.
    /// @param packet  its payload points into @p buffer
    RingStatus read(std::span<u8> buffer, PacketDescriptor& descriptor, std::span<u8 const>& payload);
    /// Tells the guest how far we have read. @return whether it waits for this room and must be signalled
    bool publish();
    /// Asks the guest not to signal while we drain (true), or to do so again. After false, look at empty()
    /// once more.
    void set_mask(bool masked);
    /// Whether nothing is left (a lying index counts as something left).
    bool empty() const;
    u32 data_bytes() const { return pages_.data_bytes(); }

  private:
    RingPages pages_;
    u32 read_ = 0, published_ = 0;
};

/// Host → guest.
class OutgoingRing {
  public:
    RingStatus attach(RingPages const& pages);
    /// Appends one packet. @param signal  set when the guest must be signalled. Full: remembered for
    /// room_again().
    RingStatus write(PacketType type, std::span<u8 const> payload, u64 transaction_id, bool& signal);
    bool blocked() const { return blocked_bytes_ != 0; }
    /// After Full: whether the packet that did not fit would now. Then blocked() ends.
    bool room_again();

  private:
    RingStatus room(RingHeader const& header, u32 bytes) const;

    RingPages pages_;
    u32 write_ = 0;
    u32 blocked_bytes_ = 0; ///< 0 = not blocked
};
} // namespace hv::vmbus
