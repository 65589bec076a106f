// SPDX-License-Identifier: Apache-2.0
// What crosses between a partition's own CPU and everybody else: requests and memory orders in, a snapshot
// out. Nothing else of a partition is touched from another CPU.
#pragma once
#include "hv/base/spin_lock.hpp"
#include "hv/dm/balancer.hpp"
#include "hv/mgmt/operator.hpp"
#include <optional>

namespace hv::partition {
/// Published by the partition's CPU about four times a second, and at each change of state.
struct Snapshot {
    mgmt::RunState state = mgmt::RunState::Off;
    char const* detail = "";
    dm::PartitionView memory;  ///< configuration values are filled by the reader
    u64 waiting_for_pages = 0; ///< startup memory that is not there yet
    u64 hot_added = 0;
    u64 ballooned = 0; ///< also what no driver can take back any more
    u64 large_percent = 0;
    char const* heartbeat = "none";
    char const* driver = "none";
    bool can_shut_down = false; ///< the guest's shutdown service listens
    u64 started_tsc = 0;
    bool waits_for_debugger = false; ///< started with debug-wait, and not continued yet
    bool kept = false;               ///< crashed, and its state is there to look at
    u64 restarts = 0;
    u64 ends = 0;   ///< counts power-offs, crashes and failed starts
    u64 starts = 0; ///< counts power-ons, so that a reader notices a new life
};

class Mailbox {
  public:
    // Any CPU.
    void post(mgmt::Request request) {
        __atomic_fetch_or(&requests_, 1u << static_cast<u32>(request), __ATOMIC_RELEASE);
    }
    void post(dm::Order const& order) {
        LockGuard guard{lock_};
        order_ = order;
        __atomic_store_n(&has_order_, true, __ATOMIC_RELEASE);
    }
    Snapshot snapshot() {
        LockGuard guard{lock_};
        return snapshot_;
    }

    // The partition's CPU.
    bool has_requests() const { return __atomic_load_n(&requests_, __ATOMIC_ACQUIRE) != 0; }
    bool has_order() const { return __atomic_load_n(&has_order_, __ATOMIC_ACQUIRE); }
    /// Takes one request; turning off comes before everything else, starting after it.
    std::optional<mgmt::Request> take_request() {
        for (mgmt::Request r : {mgmt::Request::TurnOff, mgmt::Request::Shutdown, mgmt::Request::Restart,
                                mgmt::Request::Start}) {
            u32 const bit = 1u << static_cast<u32>(r);
            if ((__atomic_fetch_and(&requests_, ~bit, __ATOMIC_ACQ_REL) & bit) != 0) {
                return r;
            }
        }
        return {};
    }
    std::optional<dm::Order> take_order() {
        LockGuard guard{lock_};
        if (!has_order_) {
            return {};
        }
        has_order_ = false;
        return order_;
    }
    void publish(Snapshot const& snapshot) {
        LockGuard guard{lock_};
        snapshot_ = snapshot;
    }

  private:
    u32 requests_ = 0;
    bool has_order_ = false;
    SpinLock lock_; ///< guards the two below
    dm::Order order_;
    Snapshot snapshot_;
};
} // namespace hv::partition
