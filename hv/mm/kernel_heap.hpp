// SPDX-License-Identifier: Apache-2.0
// Objects of any size for set-up: partitions, tables, device state. Never used on the exit path.
#pragma once
#include "hv/mm/frame_allocator.hpp"
#include <new>
#include <utility>

namespace hv::mm {
/// Size classes of 16 … 1024 bytes in single frames; anything larger takes whole frames and returns what the
/// power of two left over. Each heap's frames belong to its owner, so a partition's objects count as its own
/// and can be seen to be gone. Any CPU; takes its own lock, then the allocator's.
class KernelHeap {
  public:
    KernelHeap(FrameAllocator& frames, Owner owner, u32 node = kAnyNode)
        : frames_{frames}, owner_{owner}, node_{node} {}
    KernelHeap(KernelHeap const&) = delete;
    KernelHeap& operator=(KernelHeap const&) = delete;
    /// Everything must have been freed.
    ~KernelHeap();

    /// @p bytes ≥ 1 at an address aligned to @p align (a power of two, up to 4096), not initialised; null
    /// when there is no memory.
    void* allocate(u64 bytes, u64 align = 16);
    /// Frees what allocate() gave for the same @p bytes and @p align.
    void free(void* object, u64 bytes, u64 align = 16);

    Owner owner() const { return owner_; }
    /// Frames held at the moment.
    u64 pages() const { return pages_; }

  private:
    static constexpr unsigned kClasses = 7; ///< 16 << 0 … 16 << 6
    struct Slab;
    struct FreeObject {
        FreeObject* next;
    };
    static unsigned class_of(u64 bytes, u64 align);
    Slab* grow(unsigned size_class);
    void* allocate_pages(u64 bytes);
    void unlink(Slab* slab, unsigned size_class);

    FrameAllocator& frames_;
    Owner owner_;
    u32 node_;
    SpinLock lock_;
    Slab* usable_[kClasses] = {}; ///< slabs with a free object
    u64 pages_ = 0;
};

/// Builds a T on the heap; null when there is no memory.
template <class T, class... Args>
T* make(KernelHeap& heap, Args&&... args) {
    void* const space = heap.allocate(sizeof(T), alignof(T));
    return space == nullptr ? nullptr : new (space) T(std::forward<Args>(args)...);
}
/// Ends and frees what make() built. Null is allowed. T must be the type it was built as.
template <class T>
void destroy(KernelHeap& heap, T* object) {
    if (object != nullptr) {
        object->~T();
        heap.free(object, sizeof(T), alignof(T));
    }
}
} // namespace hv::mm
