// SPDX-License-Identifier: Apache-2.0
// What it costs the host to move a guest's memory: the time of everything that a balloon message brings
// about, from the guest's signal or the balancer's order on, messages included. scripts/bench compares it
// with its budget.
#pragma once
#include "hv/core/host_services.hpp"
#include "hv/dm/dm_service.hpp"

namespace hv::partition {
class MemoryWork {
  public:
    /// @param moved of the partition's Dynamic Memory service
    MemoryWork(HostServices const& host, dm::DmCounters const& moved) : host_{host}, moved_{moved} {}

    /// Host TSC ticks since the partition was powered on.
    u64 ballooning_ticks() const { return ballooning_ticks_; }
    u64 giving_back_ticks() const { return giving_back_ticks_; }

    /// Accounts the time of its life to the way in which memory was moved in it, if any was. Not nested.
    class Account {
      public:
        explicit Account(MemoryWork& to)
            : to_{to},
              ballooned_{to.moved_.ballooned_pages},
              given_back_{to.moved_.given_back_pages},
              begin_tsc_{to.host_.now_tsc()} {}
        Account(Account const&) = delete;
        Account& operator=(Account const&) = delete;
        ~Account() {
            if (to_.moved_.ballooned_pages != ballooned_) {
                to_.ballooning_ticks_ += to_.host_.now_tsc() - begin_tsc_;
            } else if (to_.moved_.given_back_pages != given_back_) {
                to_.giving_back_ticks_ += to_.host_.now_tsc() - begin_tsc_;
            }
        }

      private:
        MemoryWork& to_;
        u64 ballooned_, given_back_, begin_tsc_;
    };

  private:
    HostServices const& host_;
    dm::DmCounters const& moved_;
    u64 ballooning_ticks_ = 0, giving_back_ticks_ = 0;
};
} // namespace hv::partition
