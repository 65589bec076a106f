// SPDX-License-Identifier: Apache-2.0
// memload: a memory load in phases, to run inside a guest. Holds as much touched private memory as each phase
// asks for, growing as the guest's free memory allows and never into its last reserve, so a guest whose host
// gives memory slowly waits instead of being killed. Every page carries a pattern that is checked before the
// page is given up: a host that loses or mixes up pages is found out.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/mman.h>
#include <vector>

namespace {
constexpr std::size_t kChunkMib = 4;
constexpr std::size_t kChunkBytes = kChunkMib << 20;
constexpr std::size_t kPageBytes = 4096;

struct Phase {
    std::size_t mib;
    double seconds;
};

struct Options {
    std::size_t reserve_mib = 40;   ///< memory (MemAvailable) that growing leaves to the rest of the guest
    std::size_t mib_per_second = 0; ///< pace of growing and shrinking; 0: as fast as it goes
    double patience_seconds = 120;  ///< how long to wait for memory before a phase counts as not reached
};

double now_seconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void sleep_seconds(double seconds) {
    if (seconds <= 0) {
        return;
    }
    auto const whole = static_cast<time_t>(seconds);
    timespec const span{whole, static_cast<long>((seconds - static_cast<double>(whole)) * 1e9)};
    nanosleep(&span, nullptr);
}

/// MemAvailable of /proc/meminfo, MiB.
std::size_t available_mib() {
    std::FILE* file = std::fopen("/proc/meminfo", "re");
    if (file == nullptr) {
        std::perror("memload: /proc/meminfo");
        std::exit(2);
    }
    char line[128];
    unsigned long kib = 0;
    while (std::fgets(line, sizeof line, file) != nullptr &&
           std::sscanf(line, "MemAvailable: %lu", &kib) != 1) {
    }
    std::fclose(file);
    return kib >> 10;
}

class Load {
  public:
    explicit Load(Options const& options) : options_{options} {}

    std::size_t held_mib() const { return chunks_.size() * kChunkMib; }

    /// Grows or shrinks to `mib`. False when memory did not come within the patience.
    bool reach(std::size_t mib) {
        double waited_from = 0;
        while (held_mib() + kChunkMib <= mib) {
            if (available_mib() >= options_.reserve_mib + kChunkMib && add_chunk()) {
                waited_from = 0;
                pace();
                continue;
            }
            double const now = now_seconds();
            if (waited_from == 0) {
                waited_from = now;
                std::printf("memload: waiting for memory at %zu MiB\n", held_mib());
            }
            if (now - waited_from > options_.patience_seconds) {
                return false;
            }
            sleep_seconds(0.25);
        }
        while (held_mib() > mib) {
            drop_chunk();
            pace();
        }
        return true;
    }

  private:
    static std::uint64_t pattern(std::uint64_t const* word) {
        return reinterpret_cast<std::uintptr_t>(word) * 0x9e3779b97f4a7c15 | 1;
    }

    bool add_chunk() {
        void* place = mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (place == MAP_FAILED) {
            return false;
        }
        auto* const bytes = static_cast<char*>(place);
        for (std::size_t at = 0; at < kChunkBytes; at += kPageBytes) {
            auto* const word = reinterpret_cast<std::uint64_t*>(bytes + at);
            *word = pattern(word);
        }
        chunks_.push_back(bytes);
        return true;
    }

    void drop_chunk() {
        char* const bytes = chunks_.back();
        for (std::size_t at = 0; at < kChunkBytes; at += kPageBytes) {
            auto const* const word = reinterpret_cast<std::uint64_t const*>(bytes + at);
            if (*word != pattern(word)) {
                std::printf("memload: CORRUPT page at %p: %016llx\n", static_cast<void const*>(word),
                            static_cast<unsigned long long>(*word));
                std::exit(1);
            }
        }
        munmap(bytes, kChunkBytes);
        chunks_.pop_back();
    }

    void pace() const {
        if (options_.mib_per_second != 0) {
            sleep_seconds(static_cast<double>(kChunkMib) / static_cast<double>(options_.mib_per_second));
        }
    }

    Options options_;
    std::vector<char*> chunks_;
};

int usage() {
    std::fputs("usage: memload [--reserve MIB] [--pace MIB-PER-SECOND] [--patience SECONDS] MIB:SECONDS...\n",
               stderr);
    return 2;
}
} // namespace

int main(int argc, char** argv) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    Options options;
    std::vector<Phase> phases;
    for (int index = 1; index < argc; ++index) {
        char const* const word = argv[index];
        Phase phase{};
        bool const has_value = index + 1 < argc;
        if (std::strcmp(word, "--reserve") == 0 && has_value) {
            options.reserve_mib = std::strtoul(argv[++index], nullptr, 10);
        } else if (std::strcmp(word, "--pace") == 0 && has_value) {
            options.mib_per_second = std::strtoul(argv[++index], nullptr, 10);
        } else if (std::strcmp(word, "--patience") == 0 && has_value) {
            options.patience_seconds = std::strtod(argv[++index], nullptr);
        } else if (std::sscanf(word, "%zu:%lf", &phase.mib, &phase.seconds) == 2) {
            phases.push_back(phase);
        } else {
            return usage();
        }
    }
    if (phases.empty()) {
        return usage();
    }

    Load load{options};
    bool all_reached = true;
    for (std::size_t number = 0; number < phases.size(); ++number) {
        Phase const& phase = phases[number];
        std::printf("memload: phase %zu/%zu: %zu MiB for %g s\n", number + 1, phases.size(), phase.mib,
                    phase.seconds);
        double const begin = now_seconds();
        bool const reached = load.reach(phase.mib);
        all_reached = all_reached && reached;
        std::printf("memload: phase %zu/%zu: %s %zu MiB after %.1f s\n", number + 1, phases.size(),
                    reached ? "reached" : "stuck at", load.held_mib(), now_seconds() - begin);
        sleep_seconds(phase.seconds);
    }
    load.reach(0);
    std::puts(all_reached ? "memload: done, every page as written" : "memload: done, but memory ran short");
    return all_reached ? 0 : 3;
}
