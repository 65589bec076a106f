// SPDX-License-Identifier: Apache-2.0
// Slabs: one frame each, its head in the first object's place.
#include "hv/mm/kernel_heap.hpp"
#include <algorithm>
#include <bit>

namespace hv::mm {
/// Head of a slab frame. Objects lie at multiples of their size, so they are aligned to it.
struct KernelHeap::Slab {
    static constexpr u64 kMagic = 0x62616c'736c6162;
    u64 magic;
    Slab* next;
    Slab* prev;
    FreeObject* free;
    u32 used;
    u32 size_class;
};

namespace {
constexpr u64 class_bytes(unsigned size_class) {
    return 16ull << size_class;
}
} // namespace

KernelHeap::~KernelHeap() {
    HV_ASSERT(pages_ == 0);
}

/// kClasses for what takes whole frames.
unsigned KernelHeap::class_of(u64 bytes, u64 align) {
    HV_ASSERT(bytes != 0 && align != 0 && (align & (align - 1)) == 0 && align <= kPageBytes);
    u64 const need = std::max({bytes, align, u64{16}});
    unsigned const size_class = static_cast<unsigned>(std::bit_width(need - 1)) - 4;
    return std::min(size_class, kClasses);
}

KernelHeap::Slab* KernelHeap::grow(unsigned size_class) {
    auto const frame = frames_.allocate(0, node_, owner_, FrameKind::Data);
    if (!frame.ok()) {
        return nullptr;
    }
    ++pages_;
    auto* const page = frames_.map().pointer<u8>(frame.value());
    auto* const slab = new (page) Slab{Slab::kMagic, nullptr, nullptr, nullptr, 0, size_class};
    u64 const bytes = class_bytes(size_class);
    for (u64 at = kPageBytes - bytes; at >= align_up(sizeof(Slab), bytes); at -= bytes) {
        slab->free = new (page + at) FreeObject{slab->free};
    }
    usable_[size_class] = slab;
    return slab;
}

void KernelHeap::unlink(Slab* slab, unsigned size_class) {
    (slab->prev != nullptr ? slab->prev->next : usable_[size_class]) = slab->next;
    if (slab->next != nullptr) {
        slab->next->prev = slab->prev;
    }
    slab->next = slab->prev = nullptr;
}

void* KernelHeap::allocate_pages(u64 bytes) {
    if (bytes > kHugePageBytes) {
        return nullptr;
    }
    u64 const pages = align_up(bytes, kPageBytes) / kPageBytes;
    unsigned const order = static_cast<unsigned>(std::bit_width(pages - 1));
    auto const frame = frames_.allocate(order, node_, owner_, FrameKind::Data);
    if (!frame.ok()) {
        return nullptr;
    }
    frames_.free_pages(frame.value() + pages * kPageBytes, (1ull << order) - pages, owner_);
    pages_ += pages;
    return frames_.map().pointer(frame.value());
}

void* KernelHeap::allocate(u64 bytes, u64 align) {
    unsigned const size_class = class_of(bytes, align);
    LockGuard guard{lock_};
    if (size_class == kClasses) {
        return allocate_pages(bytes);
    }
    Slab* slab = usable_[size_class];
    if (slab == nullptr && (slab = grow(size_class)) == nullptr) {
        return nullptr;
    }
    FreeObject* const object = slab->free;
    slab->free = object->next;
    ++slab->used;
    if (slab->free == nullptr) {
        unlink(slab, size_class);
    }
    return object;
}

void KernelHeap::free(void* object, u64 bytes, u64 align) {
    unsigned const size_class = class_of(bytes, align);
    LockGuard guard{lock_};
    if (size_class == kClasses) {
        u64 const pages = align_up(bytes, kPageBytes) / kPageBytes;
        frames_.free_pages(frames_.map().physical(object), pages, owner_);
        pages_ -= pages;
        return;
    }
    auto* const slab = reinterpret_cast<Slab*>(align_down(reinterpret_cast<u64>(object), kPageBytes));
    HV_ASSERT(slab->magic == Slab::kMagic && slab->size_class == size_class && slab->used != 0);
    if (slab->free == nullptr) {
        slab->next = usable_[size_class];
        if (slab->next != nullptr) {
            slab->next->prev = slab;
        }
        usable_[size_class] = slab;
    }
    slab->free = new (object) FreeObject{slab->free};
    if (--slab->used == 0) {
        unlink(slab, size_class);
        slab->magic = 0;
        frames_.free(frames_.map().physical(slab), 0, owner_);
        --pages_;
    }
}
} // namespace hv::mm
