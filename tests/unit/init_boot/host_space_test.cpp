// SPDX-License-Identifier: Apache-2.0
#include "hv/init/boot/host_space.hpp"
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <vector>

using namespace hv;
using namespace hv::init;
using namespace hv::paging;

namespace {
/// A small arena at a made-up physical address.
class Arena final : public HostFrames {
  public:
    static constexpr u64 kBase = 0x1000'0000;
    explicit Arena(usize frames)
        : bytes_{frames * kPageBytes}, memory_{static_cast<u8*>(std::aligned_alloc(kPageBytes, bytes_))} {}
    ~Arena() override { std::free(memory_); }
    void* allocate() override {
        if (used_ == bytes_) {
            return nullptr;
        }
        void* const p = memory_ + used_;
        used_ += kPageBytes;
        std::memset(p, 0, kPageBytes);
        return p;
    }
    void free(void*) override {}
    Hpa physical(void const* p) const override {
        return {kBase + static_cast<u64>(static_cast<u8 const*>(p) - memory_)};
    }
    void* pointer(Hpa at) const override { return memory_ + (at.raw - kBase); }
    usize frames() const { return used_ / kPageBytes; }

  private:
    usize bytes_;
    u8* memory_;
    usize used_ = 0;
};
u64 target(HostSpace::Leaf leaf, u64 virt) {
    u64 const offset = virt & (entry_bytes(leaf.level) - 1);
    return (leaf.entry & Address::mask & ~(entry_bytes(leaf.level) - 1)) + offset;
}
constexpr u64 kMap = 0xffff'8000'0000'0000;
} // namespace

TEST_CASE("the largest pages that alignment allows are taken, and every address lands where it should",
          "[host_space]") {
    Arena arena{64};
    HostSpace space{arena, true};
    u64 const phys = 0x3fc0'3000; // 4 KiB, then 2 MiB, then 1 GiB, then back down
    u64 const bytes = GiB + 4 * MiB + 5 * kPageBytes;
    REQUIRE(space.map(Hva{kMap + phys}, Hpa{phys}, bytes, Rights::ReadWrite).ok());
    unsigned seen[3] = {};
    for (u64 at = 0; at < bytes; at += kPageBytes) {
        auto const leaf = space.find(Hva{kMap + phys + at});
        REQUIRE(Present::get(leaf.entry) == 1);
        REQUIRE(target(leaf, kMap + phys + at) == phys + at);
        ++seen[leaf.level];
    }
    CHECK(seen[2] == kHugePageBytes / kPageBytes);
    CHECK(seen[1] != 0);
    CHECK(seen[0] != 0);
    CHECK(Present::get(space.find(Hva{kMap + phys - 1}).entry) == 0);
    CHECK(Present::get(space.find(Hva{kMap + phys + bytes}).entry) == 0);
}

TEST_CASE("without 1 GiB pages the same is made of 2 MiB ones", "[host_space]") {
    Arena arena{64};
    HostSpace space{arena, false};
    REQUIRE(space.map(Hva{kMap}, Hpa{0}, 2 * GiB, Rights::Read).ok());
    CHECK(space.find(Hva{kMap + GiB}).level == 1);
}

TEST_CASE("nothing is writable and executable, and data is never executable", "[host_space]") {
    Arena arena{64};
    HostSpace space{arena, true};
    struct Case {
        Rights rights;
        u64 write, no_execute;
    };
    for (Case c :
         {Case{Rights::Read, 0, 1}, Case{Rights::ReadWrite, 1, 1}, Case{Rights::ReadExecute, 0, 0}}) {
        Hva const at{0xffff'ffff'8000'0000 + static_cast<u64>(c.rights) * kPageBytes};
        REQUIRE(space.map(at, Hpa{0x5000}, kPageBytes, c.rights).ok());
        u64 const entry = space.find(at).entry;
        CHECK(Write::get(entry) == c.write);
        CHECK(NoExecute::get(entry) == c.no_execute);
        CHECK(User::get(entry) == 0);
    }
    Hva const device{kDeviceArea};
    REQUIRE(space.map(device, Hpa{0xfee0'0000}, kPageBytes, Rights::ReadWrite, Caching::Uncached).ok());
    CHECK((space.find(device).entry & (CacheDisable::mask | WriteThrough::mask)) ==
          (CacheDisable::mask | WriteThrough::mask));
}

TEST_CASE("mapping twice, across a large page, or off the grid is refused", "[host_space]") {
    Arena arena{64};
    HostSpace space{arena, true};
    REQUIRE(space.map(Hva{kMap}, Hpa{0}, 2 * MiB, Rights::ReadWrite).ok());
    CHECK(space.map(Hva{kMap + 0x1000}, Hpa{0}, kPageBytes, Rights::Read).error() ==
          SpaceError::AlreadyMapped);
    CHECK(space.map(Hva{kMap}, Hpa{0}, 2 * MiB, Rights::Read).error() == SpaceError::AlreadyMapped);
    CHECK(space.map(Hva{kMap + 1}, Hpa{0}, kPageBytes, Rights::Read).error() == SpaceError::Misaligned);
    CHECK(space.map(Hva{0x8000'0000'0000}, Hpa{0}, kPageBytes, Rights::Read).error() ==
          SpaceError::Misaligned);
    CHECK(space.map(Hva{0x7fff'ffff'f000}, Hpa{0}, 2 * kPageBytes, Rights::Read).error() ==
          SpaceError::Misaligned);
}

TEST_CASE("running out of frames is an error at whatever level it happens", "[host_space]") {
    for (usize frames = 0; frames < 4; ++frames) {
        Arena arena{frames};
        HostSpace space{arena, true};
        CHECK(space.map(Hva{kMap}, Hpa{0}, kPageBytes, Rights::Read).error() == SpaceError::OutOfFrames);
    }
    Arena arena{4};
    HostSpace space{arena, true};
    CHECK(space.map(Hva{kMap}, Hpa{0}, kPageBytes, Rights::Read).ok());
}

TEST_CASE("a space of the same upper half has an empty lower one", "[host_space]") {
    Arena arena{64};
    HostSpace space{arena, true};
    REQUIRE(space.map(Hva{kMap}, Hpa{0}, GiB, Rights::ReadWrite).ok());
    REQUIRE(space.map(Hva{0x40'0000}, Hpa{0}, kPageBytes, Rights::ReadWrite).ok());
    std::vector<u64> other(kEntries);
    space.copy_upper_half(other.data());
    CHECK(other[0] == 0);
    CHECK(other[256] != 0);
}
