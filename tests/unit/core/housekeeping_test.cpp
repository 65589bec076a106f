// SPDX-License-Identifier: Apache-2.0
#include "hv/core/housekeeping.hpp"
#include <catch2/catch.hpp>
#include <vector>

using namespace hv;

namespace {
struct Job {
    std::vector<u64> ran;
    u64 next = 0;
    static u64 run(void* context, u64 now) {
        auto* job = static_cast<Job*>(context);
        job->ran.push_back(now);
        return job->next;
    }
};
} // namespace

TEST_CASE("jobs run at their periods and the earliest is announced", "[housekeeping]") {
    Housekeeping jobs;
    CHECK(jobs.due_tsc() == kNever);
    Job often, seldom;
    jobs.add(Job::run, &often, 10, 100);
    jobs.add(Job::run, &seldom, 35, 100);
    CHECK(jobs.due_tsc() == 110);
    for (u64 now = 100; now <= 170; ++now) {
        if (now >= jobs.due_tsc()) {
            jobs.run(now);
        }
    }
    CHECK(often.ran == std::vector<u64>{110, 120, 130, 140, 150, 160, 170});
    CHECK(seldom.ran == std::vector<u64>{135, 170});
}

TEST_CASE("a job that ran late runs once, and one in a hurry says so", "[housekeeping]") {
    Housekeeping jobs;
    Job job;
    jobs.add(Job::run, &job, 10, 0);
    jobs.run(95);
    CHECK(job.ran.size() == 1);
    CHECK(jobs.due_tsc() == 105);
    job.next = 2;
    jobs.run(105);
    CHECK(jobs.due_tsc() == 107);
    jobs.run(106);
    CHECK(job.ran.size() == 2);
}

TEST_CASE("a job that somebody hurries runs at the next look, and the others keep their times",
          "[housekeeping]") {
    Housekeeping jobs;
    Job first, second;
    jobs.add(Job::run, &first, 10, 0);
    unsigned const number = jobs.add(Job::run, &second, 50, 0);
    jobs.hurry(number);
    CHECK(jobs.due_tsc() == 0);
    jobs.run(5);
    CHECK(first.ran.empty());
    CHECK(second.ran == std::vector<u64>{5});
    CHECK(jobs.due_tsc() == 10);
}

TEST_CASE("hurrying whoever is due first costs a look in vain and nobody's turn", "[housekeeping]") {
    Housekeeping jobs;
    Job first, second;
    unsigned const number = jobs.add(Job::run, &first, 10, 0);
    jobs.add(Job::run, &second, 20, 0);
    jobs.hurry(number);
    jobs.run(5);
    CHECK(first.ran == std::vector<u64>{5});
    jobs.run(10);
    CHECK(first.ran.size() == 1);
    CHECK(second.ran.empty());
    CHECK(jobs.due_tsc() == 15);
    jobs.hurry(number); // late as well: once
    jobs.run(21);
    CHECK(first.ran == std::vector<u64>{5, 21});
    CHECK(second.ran == std::vector<u64>{21});
}
