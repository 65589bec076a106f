// SPDX-License-Identifier: Apache-2.0
// Turns of one physical CPU, with runnables that say what they were told.
#include "hv/core/scheduler.hpp"
#include "tests/fakes/manual_host.hpp"
#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>

using namespace hv;
using hv::test::ManualHost;

namespace {
/// Ready from a moment on; a run uses up time.
class Worker final : public Runnable {
  public:
    Worker(std::string worker_name, ManualHost& host, std::string& log)
        : name{std::move(worker_name)}, host_{host}, log_{log} {}
    bool ready(u64 now_tsc) override { return now_tsc >= ready_at; }
    u64 wake_tsc() const override { return ready_at; }
    void run(Cpu&, u64 until_tsc) override {
        log_ += name;
        last_until = until_tsc;
        u64 const wanted = host_.tsc + work;
        host_.tsc = until_tsc < wanted ? until_tsc : wanted;
        if (sleeps_after) {
            ready_at = kNever;
        }
    }
    void leave(Cpu&) override { log_ += "-" + name + " "; }

    std::string name;
    u64 ready_at = 0;
    u64 work = kNever / 2; ///< works to the end of its slice
    bool sleeps_after = false;
    u64 last_until = 0;

  private:
    ManualHost& host_;
    std::string& log_;
};

struct Bed {
    ManualHost host;
    std::string log;
    Scheduler scheduler{host.cpu(), host};
    Worker a{"a", host, log}, b{"b", host, log}, c{"c", host, log};
    u64 const slice = host.hz / 100;
    void turns(u32 count) {
        for (u32 i = 0; i < count; ++i) {
            scheduler.turn();
        }
    }
};
} // namespace

TEST_CASE("the ready ones take turns, and each leaves before the next runs", "[scheduler]") {
    Bed bed;
    CHECK(bed.scheduler.add(bed.a));
    CHECK(bed.scheduler.add(bed.b));
    CHECK(bed.scheduler.add(bed.c));
    CHECK(bed.scheduler.load() == 3);
    bed.turns(5);
    CHECK(bed.log == "a-a b-b c-c a-a b");
}

TEST_CASE("a turn is at most ten milliseconds", "[scheduler]") {
    Bed bed;
    bed.scheduler.add(bed.a);
    u64 const before = bed.host.tsc;
    bed.turns(1);
    CHECK(bed.a.last_until == before + bed.slice);
    CHECK(bed.host.tsc == before + bed.slice);
}

TEST_CASE("one that runs alone never leaves", "[scheduler]") {
    Bed bed;
    bed.scheduler.add(bed.a);
    bed.scheduler.add(bed.b);
    bed.b.ready_at = kNever;
    bed.turns(3);
    CHECK(bed.log == "aaa");
}

TEST_CASE("state stays loaded over an idle time", "[scheduler]") {
    Bed bed;
    bed.scheduler.add(bed.a);
    bed.a.sleeps_after = true;
    bed.turns(1);
    bed.a.ready_at = bed.host.tsc + 1000;
    bed.turns(2); // waits, runs
    CHECK(bed.log == "aa");
    CHECK(bed.host.waits == 1);
}

TEST_CASE("the one that waited longest is next, however the others come and go", "[scheduler]") {
    Bed bed;
    bed.scheduler.add(bed.a);
    bed.scheduler.add(bed.b);
    bed.scheduler.add(bed.c);
    bed.b.ready_at = kNever;
    bed.turns(2);
    CHECK(bed.log == "a-a c");
    bed.b.ready_at = 0;
    bed.turns(3);
    CHECK(bed.log == "a-a c-c a-a b-b c");
}

TEST_CASE("with nothing ready the CPU halts until the earliest wish", "[scheduler]") {
    Bed bed;
    bed.scheduler.add(bed.a);
    bed.scheduler.add(bed.b);
    u64 const start = bed.host.tsc;
    bed.a.ready_at = start + 7000;
    bed.b.ready_at = start + 3000;
    bed.turns(1);
    CHECK(bed.host.armed == std::vector<u64>{start + 3000});
    CHECK(bed.host.tsc == start + 3000);
    bed.turns(1);
    CHECK(bed.log == "b");
}

TEST_CASE("nobody with a wish, nothing to keep house: the CPU halts without a timer", "[scheduler]") {
    Bed bed;
    bed.turns(1);
    CHECK(bed.host.waits == 1);
    CHECK(bed.host.armed.empty());
    bed.scheduler.add(bed.a);
    bed.a.ready_at = kNever;
    bed.turns(1);
    CHECK(bed.host.waits == 2);
    CHECK(bed.host.armed.empty());
}

TEST_CASE("a kick before the turn is looked at, not slept over", "[scheduler]") {
    Bed bed;
    bed.scheduler.add(bed.a);
    bed.a.ready_at = kNever;
    bed.host.kick(0);
    bed.a.ready_at = 0; // what the kick announced
    bed.turns(1);
    CHECK(bed.log == "a");
    CHECK(bed.host.cpu().kicked == 0);
}

TEST_CASE("one added while others run takes its turn", "[scheduler]") {
    Bed bed;
    bed.scheduler.add(bed.a);
    bed.turns(2);
    bed.scheduler.add(bed.b);
    bed.turns(3);
    CHECK(bed.log == "aa-a b-b a-a b");
}

TEST_CASE("the queue refuses more than it holds", "[scheduler]") {
    Bed bed;
    for (u32 i = 0; i < Scheduler::kMaxRunnables; ++i) {
        REQUIRE(bed.scheduler.add(bed.a));
    }
    CHECK_FALSE(bed.scheduler.add(bed.b));
    CHECK(bed.scheduler.load() == Scheduler::kMaxRunnables);
}

namespace {
struct Job {
    ManualHost& host;
    u32 runs = 0;
    u64 asks_for = 0; ///< ticks to its next time, 0 its period
    static u64 run(void* self, u64) {
        auto& job = *static_cast<Job*>(self);
        ++job.runs;
        return job.asks_for;
    }
};
} // namespace

TEST_CASE("housekeeping is done when it is due, not before, and shortens slices and sleep", "[scheduler]") {
    Bed bed;
    Housekeeping keeping;
    Job job{bed.host};
    keeping.add(Job::run, &job, 5000, bed.host.tsc);
    bed.scheduler.set_housekeeping(keeping);
    bed.scheduler.add(bed.a);
    u64 const start = bed.host.tsc;
    bed.turns(1);
    CHECK(job.runs == 0);
    CHECK(bed.a.last_until == start + 5000);
    bed.turns(1); // due now: first the house, then the guest
    CHECK(job.runs == 1);
    CHECK(bed.log == "aa");
    bed.a.ready_at = kNever;
    bed.turns(1);
    CHECK(job.runs == 2);
    CHECK(bed.host.armed.back() == start + 15'000);
    CHECK(bed.host.tsc == start + 15'000);
}

TEST_CASE("a call from this CPU's own housekeeping runs at once", "[scheduler]") {
    Bed bed;
    bool called = false;
    bed.scheduler.call(bed.host.cpu(), [&](Cpu& cpu) { called = &cpu == &bed.scheduler.cpu(); });
    CHECK(called);
}

TEST_CASE("a call from another CPU runs in the next turn, and the caller waits for it", "[scheduler]") {
    Bed bed;
    Cpu other;
    other.index = 1;
    std::atomic<bool> called = false;
    std::thread caller{[&] { bed.scheduler.call(other, [&](Cpu&) { called = true; }); }};
    while (!called) {
        bed.scheduler.turn();
    }
    caller.join();
    CHECK(called);
}

TEST_CASE("who makes room on the CPU takes the last one's state off it", "[scheduler]") {
    Bed bed;
    CHECK(bed.scheduler.add(bed.a));
    CHECK(bed.scheduler.add(bed.b));
    bed.turns(1);
    bed.log.clear();
    bed.scheduler.make_room_for(bed.b);
    CHECK(bed.log == "-a ");
    bed.scheduler.make_room_for(bed.b);
    CHECK(bed.log == "-a ");
}
