// SPDX-License-Identifier: Apache-2.0
// Messages that wait for their SynIC slot: a bounded store shared by all virtual processors of a partition,
// chained into one first-in-first-out queue a SINT.
#pragma once
#include "hv/base/assert.hpp"
#include "hv/hyperv/hyperv_abi.hpp"
#include <algorithm>
#include <span>

namespace hv::hyperv {
struct SynicMessage {
    u32 type = 0;
    u8 payload_bytes = 0;
    u64 sender = 0;
    std::array<u8, kMessagePayloadBytes> payload{};

    SynicMessage() = default;
    /// @param bytes at most kMessagePayloadBytes
    SynicMessage(u32 message_type, u64 message_sender, std::span<u8 const> bytes)
        : type{message_type}, payload_bytes{static_cast<u8>(bytes.size())}, sender{message_sender} {
        HV_ASSERT(bytes.size() <= payload.size());
        std::copy(bytes.begin(), bytes.end(), payload.begin());
    }
};

/// One SINT's queue: indices into the pool.
struct MessageQueue {
    static constexpr u8 kNone = 0xff;
    u8 head = kNone, tail = kNone;
    constexpr bool empty() const { return head == kNone; }
};

class MessagePool {
  public:
    static constexpr usize kMessages = 64;

    constexpr MessagePool() {
        for (usize i = 0; i < kMessages; ++i) {
            next_[i] = i + 1 < kMessages ? static_cast<u8>(i + 1) : MessageQueue::kNone;
        }
    }
    /// How many more messages can wait.
    constexpr usize room() const { return room_; }

    /// Appends a copy. @return false when the pool is full
    bool push(MessageQueue& queue, SynicMessage const& message) {
        if (room_ == 0) return false;
        u8 const index = free_;
        free_ = next_[index];
        --room_;
        messages_[index] = message;
        next_[index] = MessageQueue::kNone;
        (queue.empty() ? queue.head : next_[queue.tail]) = index;
        queue.tail = index;
        return true;
    }
    /// The oldest message of a queue that is not empty.
    SynicMessage const& front(MessageQueue const& queue) const { return messages_[queue.head]; }
    /// Drops the oldest message of a queue that is not empty.
    void pop(MessageQueue& queue) {
        u8 const index = queue.head;
        queue.head = next_[index];
        if (queue.empty()) queue.tail = MessageQueue::kNone;
        next_[index] = free_;
        free_ = index;
        ++room_;
    }
    void clear(MessageQueue& queue) {
        while (!queue.empty())
            pop(queue);
    }

  private:
    std::array<SynicMessage, kMessages> messages_{};
    std::array<u8, kMessages> next_{};
    u8 free_ = 0;
    usize room_ = kMessages;
};
} // namespace hv::hyperv
