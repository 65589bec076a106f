// SPDX-License-Identifier: Apache-2.0
// A stretch of address space that stands for the machine's RAM in hosted tests. Pages cost memory only once
// touched, so a test may pretend to have many GiB.
#pragma once
#include "hv/mm/direct_map.hpp"
#include <cstdlib>
#include <sys/mman.h>

namespace hv::test {
class ArenaRam {
  public:
    /// RAM at physical [first, first + bytes), both multiples of 4 KiB.
    ArenaRam(Hpa first, u64 bytes) : first_{first}, bytes_{bytes} {
        memory_ =
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory_ == MAP_FAILED) {
            std::abort();
        }
    }
    ~ArenaRam() { munmap(memory_, bytes_); }
    ArenaRam(ArenaRam const&) = delete;
    ArenaRam& operator=(ArenaRam const&) = delete;

    mm::DirectMap map() const { return mm::DirectMap::through(first_, memory_); }
    Hpa first() const { return first_; }
    u64 bytes() const { return bytes_; }

  private:
    Hpa first_;
    u64 bytes_;
    void* memory_;
};
} // namespace hv::test
