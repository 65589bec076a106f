// SPDX-License-Identifier: Apache-2.0
// A host with synthetic Linux guests around the balancer, stepped once a second. The guests behave as
// hv_balloon does (dynamic-memory-protocol: status report, balloon up, hot add): committed memory includes
// the balloon and the floor, a balloon request is cut to what is available above the floor, hot-added memory
// comes in units, one operation is in flight, reports start late and come every second or two.
//
// Each step checks the laws that hold whatever the policy does: no frame is lost or invented, nobody below
// minimum or above maximum, nothing given that is not free.
#pragma once
#include "hv/dm/balancer.hpp"
#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace hv::dm::test {
constexpr u64 mib(u64 n) {
    return n * (MiB / kPageBytes);
}

/// What Linux keeps for itself: hv_balloon.c, compute_balloon_floor().
constexpr u64 linux_floor_pages(u64 total_pages) {
    if (total_pages < mib(128)) {
        return mib(8) + total_pages / 2;
    }
    if (total_pages < mib(512)) {
        return mib(40) + total_pages / 4;
    }
    if (total_pages < mib(2048)) {
        return mib(104) + total_pages / 8;
    }
    if (total_pages < mib(8192)) {
        return mib(232) + total_pages / 16;
    }
    return mib(488) + total_pages / 32;
}
static_assert(linux_floor_pages(mib(128)) == mib(72) && linux_floor_pages(mib(1024)) == mib(232));
static_assert(linux_floor_pages(mib(8192)) == mib(744) && linux_floor_pages(mib(32768)) == mib(1512));

/// Pages that the guest's programs use at a second of its life.
using Load = std::function<u64(u64 second)>;
inline Load steady(u64 pages) {
    return [pages](u64) { return pages; };
}

struct GuestSetup {
    u64 minimum_mib = 256, startup_mib = 512, maximum_mib = 2048;
    u32 buffer_percent = 20, priority = 5000;
    Load load = steady(mib(100));
    bool driver = true;
    bool takes_hot_add = true;
    u64 resident_percent = 60;   ///< of the committed pages: those really in memory
    u64 hidden_mib = 0;          ///< used, but not in Committed_AS: kernel memory
    u64 first_report_second = 3; ///< after its start
    u64 operation_seconds = 1;   ///< how long it works on a request
    u64 unit_mib = 128;
    std::function<bool(u64 second)> silent = [](u64) { return false; }; ///< answers nothing while true
};

class Simulator;

class Guest {
  public:
    GuestSetup setup;
    u64 assigned = 0, ballooned = 0, hot_added = 0;
    bool running = false;
    u64 claim = 0; ///< waits to start
    u64 orders = 0, balloon_orders = 0, grow_orders = 0;
    Order last_order;
    PartitionMemory memory;

    u64 minimum() const { return mib(setup.minimum_mib); }
    u64 maximum() const { return mib(setup.maximum_mib); }
    u64 assigned_mib() const { return assigned / mib(1); }
    u64 used(u64 second) const { return setup.load(second); }
    u64 demand() const { return demand_; }
    u64 wanted() const { return wanted_pages(view()); }
    bool busy() const { return operation_.kind != Order::Kind::Hold; }
    PartitionView view() const {
        return {.assigned = assigned,
                .demand = demand_,
                .minimum = minimum(),
                .maximum = maximum(),
                .ballooned = ballooned,
                .hot_addable = hot_add_possible_ ? maximum() - mib(setup.startup_mib) - hot_added : 0,
                .hot_add_unit = mib(setup.unit_mib),
                .buffer_percent = setup.buffer_percent,
                .priority = setup.priority,
                .reporting = reporting_,
                .can_act = !busy(),
                .cooperative = waits_ < 5,
                .at_floor = at_floor_};
    }

  private:
    friend class Simulator;
    static constexpr u64 kBatch = mib(128), kRequest = mib(512);

    void power_on() {
        running = true, claim = 0;
        assigned = mib(setup.startup_mib);
        ballooned = hot_added = 0;
        second_ = 0, demand_ = 0, waits_ = 0;
        reporting_ = false, at_floor_ = false;
        hot_add_possible_ = setup.driver;
        operation_ = {}, memory = {};
    }
    void step(u64& free, std::mt19937_64& random) {
        ++second_;
        if (setup.silent(second_)) {
            waits_ += busy() ? 1 : 0;
            return;
        }
        work(free);
        bool const reports = setup.driver && second_ >= setup.first_report_second && random() % 3 != 0;
        if (reports) {
            reporting_ = true;
            demand_ = used(second_) + linux_floor_pages(assigned);
        }
    }
    void start(Order const& order, u64 free_now, u64& free) {
        REQUIRE_FALSE(busy());
        operation_ = order;
        since_ = second_;
        waits_ = 0;
        if (order.kind == Order::Kind::Balloon) {
            at_floor_ = false;
            operation_.pages = std::min(order.pages, kRequest);
        } else if (order.kind == Order::Kind::HotAdd) {
            operation_.pages = std::min({order.pages, kRequest, free_now});
            assigned += operation_.pages,
                hot_added += operation_.pages; // backed before the guest hears of it
            free -= operation_.pages;
        } else {
            at_floor_ = false;
            give_back(free);
        }
    }
    void give_back(u64& free) {
        u64 const batch = std::min({operation_.pages, kBatch, free, ballooned});
        assigned += batch, ballooned -= batch, free -= batch;
        operation_.pages = batch == 0 ? 0 : operation_.pages - batch;
    }
    void work(u64& free) {
        waits_ = 0;
        if (!busy() || second_ - since_ < setup.operation_seconds) {
            return;
        }
        switch (operation_.kind) {
        case Order::Kind::Balloon: {
            u64 const in_use =
                std::min(assigned, used(second_) * setup.resident_percent / 100 + mib(setup.hidden_mib));
            u64 const available = assigned - in_use, floor = linux_floor_pages(assigned);
            u64 const gives = std::min(operation_.pages, available > floor ? available - floor : 0);
            at_floor_ = gives < operation_.pages;
            assigned -= gives, ballooned += gives, free += gives;
            break;
        }
        case Order::Kind::GiveBack:
            while (operation_.pages != 0) {
                give_back(free);
            }
            break;
        case Order::Kind::HotAdd:
            if (!setup.takes_hot_add) {
                assigned -= operation_.pages, hot_added -= operation_.pages, free += operation_.pages;
                hot_add_possible_ = false;
            }
            break;
        case Order::Kind::Hold: break;
        }
        operation_ = {};
    }

    u64 second_ = 0, since_ = 0, waits_ = 0, demand_ = 0;
    bool reporting_ = false, at_floor_ = false, hot_add_possible_ = false;
    Order operation_;
};

class Simulator {
  public:
    Simulator(u64 total_mib, u64 idle_seconds, u64 seed = 1)
        : total_{mib(total_mib)}, free_{total_}, idle_seconds_{idle_seconds}, random_{seed} {}

    /// Adds a partition that starts at once if there is room, otherwise waits for its startup memory.
    /// @return its index for life
    usize start(GuestSetup setup) {
        guests_.push_back({});
        guests_.back().setup = std::move(setup);
        restart(guests_.size() - 1);
        return guests_.size() - 1;
    }
    void stop(usize index) {
        Guest& g = guests_[index];
        free_ += g.assigned;
        g.assigned = g.ballooned = 0;
        g.running = false, g.claim = 0;
    }
    void restart(usize index) {
        stop(index);
        guests_[index].claim = mib(guests_[index].setup.startup_mib);
        admit();
    }
    void run(u64 seconds) {
        for (u64 s = 0; s < seconds; ++s) {
            tick();
        }
    }
    void tick() {
        for (Guest& g : guests_) {
            if (g.running) {
                g.step(free_, random_);
            }
        }
        admit();
        balance();
        check_laws();
    }
    /// Forgets the counts of orders.
    void mark() {
        for (Guest& g : guests_) {
            g.orders = g.balloon_orders = g.grow_orders = 0;
        }
    }

    Guest& operator[](usize index) { return guests_[index]; }
    usize size() const { return guests_.size(); }
    u64 free() const { return free_; }
    u64 free_mib() const { return free_ / mib(1); }
    u64 total() const { return total_; }
    u64 claimed() const {
        u64 pages = 0;
        for (Guest const& g : guests_) {
            pages += g.claim;
        }
        return pages;
    }

  private:
    void admit() {
        for (Guest& g : guests_) {
            if (g.claim != 0 && free_ >= g.claim) {
                free_ -= g.claim;
                g.power_on();
            }
        }
    }
    void balance() {
        std::vector<Guest*> running;
        for (Guest& g : guests_) {
            if (g.running) {
                running.push_back(&g);
            }
        }
        std::stable_sort(running.begin(), running.end(),
                         [](Guest* a, Guest* b) { return a->setup.priority < b->setup.priority; });
        std::vector<PartitionView> views;
        std::vector<PartitionMemory> memory;
        std::vector<Order> orders(running.size());
        for (Guest* g : running) {
            views.push_back(g->view());
            memory.push_back(g->memory);
        }
        HostView const host{.free = free_, .claimed = claimed(), .idle_ticks = idle_seconds_};
        dm::balance(host, views, memory, orders);
        u64 left = free_ > host.claimed ? free_ - host.claimed : 0;
        for (usize i = 0; i < running.size(); ++i) {
            running[i]->memory = memory[i];
            running[i]->last_order = orders[i];
            check_order(orders[i], views[i], left);
        }
        for (usize i = 0; i < running.size(); ++i) {
            carry_out(*running[i], orders[i]);
        }
    }
    static void check_order(Order const& order, PartitionView const& v, u64& left) {
        if (order.kind == Order::Kind::Hold) {
            return;
        }
        REQUIRE(v.reporting);
        REQUIRE(v.cooperative);
        REQUIRE(v.can_act);
        REQUIRE(order.pages != 0);
        if (order.kind == Order::Kind::Balloon) {
            REQUIRE(v.assigned - v.minimum >= order.pages);
            return;
        }
        REQUIRE(order.pages <= v.maximum - v.assigned);
        REQUIRE(order.pages <= (order.kind == Order::Kind::GiveBack ? v.ballooned : v.hot_addable));
        REQUIRE(order.pages <= left); // free first, then give
        left -= order.pages;
    }
    void carry_out(Guest& g, Order const& order) {
        if (order.kind == Order::Kind::Hold) {
            return;
        }
        ++g.orders;
        ++(order.kind == Order::Kind::Balloon ? g.balloon_orders : g.grow_orders);
        if (order.kind == Order::Kind::HotAdd) {
            REQUIRE(g.ballooned == 0);
        } // back first, then new memory
        g.start(order, free_, free_);
    }
    void check_laws() const {
        u64 sum = free_;
        for (Guest const& g : guests_) {
            sum += g.assigned;
            if (g.running) {
                REQUIRE(g.assigned >= g.minimum());
                REQUIRE(g.assigned <= g.maximum());
                REQUIRE(g.assigned + g.ballooned == mib(g.setup.startup_mib) + g.hot_added);
            }
        }
        REQUIRE(sum == total_);
    }

    u64 total_, free_, idle_seconds_;
    std::mt19937_64 random_;
    std::vector<Guest> guests_;
};
} // namespace hv::dm::test
