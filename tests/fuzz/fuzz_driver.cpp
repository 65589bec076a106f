// SPDX-License-Identifier: Apache-2.0
// Stands in for libFuzzer: fuzz_NAME [RUNS [FIRST-SEED]]. Seeds are consecutive, so a run can be repeated.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <unistd.h>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {
char message[64];
int message_length = 0;
void on_abort(int) {
    (void)!write(2, message, static_cast<std::size_t>(message_length));
    std::_Exit(1);
}
} // namespace

int main(int argc, char** argv) {
    std::uint64_t const runs = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 20000;
    std::uint64_t const first = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 1;
    std::signal(SIGABRT, on_abort);
    for (std::uint64_t seed = first; seed < first + runs; ++seed) {
        message_length = std::snprintf(message, sizeof message, "failed with seed %llu\n",
                                       static_cast<unsigned long long>(seed));
        std::mt19937_64 random{seed};
        std::vector<std::uint8_t> bytes(random() % 512);
        for (auto& b : bytes) {
            // Half of all bytes are small or all ones: that is where the interesting values are.
            auto const r = random();
            b = static_cast<std::uint8_t>((r & 0x300) == 0 ? 0 : (r & 0x300) == 0x100 ? 0xff : r);
        }
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("%llu inputs\n", static_cast<unsigned long long>(runs));
    return 0;
}
