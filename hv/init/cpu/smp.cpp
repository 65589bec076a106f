// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/smp.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/base/log.hpp"
#include "hv/init/cpu/local_apic.hpp"
#include "hv/init/cpu/processor_state.hpp"
#include "hv/mm/owned_frames.hpp"
#include <algorithm>
#include <cstring>

extern "C" {
extern hv::u8 const ap_trampoline[], ap_trampoline_end[], ap_trampoline_code32[], ap_trampoline_code64[],
    ap_trampoline_gdt[], ap_trampoline_block[];
void hv_ap_entry();
void hv_ap_start(hv::init::CpuLocal*);
}

namespace hv::init {
namespace {
// SDM vol 3A, "Typical BSP Initialization Sequence": 10 ms after INIT, 200 µs after each SIPI.
constexpr u64 kAfterInitUs = 10'000, kAfterStartupUs = 200, kPatienceUs = 500'000;

/// The end of ap_trampoline.S.
struct ApBlock {
    u64 stack, cpu, root, entry;
    u32 low_root, cr0;
    u32 far32_offset;
    u16 far32_selector, pad0;
    u32 far64_offset;
    u16 far64_selector, pad1;
    u16 gdt_limit;
    u16 gdt_base_low, gdt_base_high, pad2; // unaligned 32 bits
};
static_assert(sizeof(ApBlock) == 64 && offsetof(ApBlock, gdt_limit) == 56);

constinit MachineServices* the_services = nullptr;
constinit ProcessorMain the_main = nullptr;
constinit u32 arrived = 0; ///< index of the CPU that came up last

u32 offset_of(u8 const* label) {
    return static_cast<u32>(label - ap_trampoline);
}

/// Tables that map the first 2 MiB one to one and our upper half. Their frames lie below 4 GiB.
class LowSpace {
  public:
    LowSpace(SmpSetup const& setup) : frames_{setup.frames} {
        for (Hpa& frame : pages_) {
            frame = allocate_low(setup.info);
            if (frame.raw == 0) {
                return;
            }
            mm::zero_words(table(frame), kPageBytes);
        }
        u64 const link = paging::Present::of(1) | paging::Write::of(1);
        std::copy_n(table(setup.space.root()) + paging::kEntries / 2, paging::kEntries / 2,
                    table(pages_[0]) + paging::kEntries / 2);
        table(pages_[0])[0] = pages_[1].raw | link;
        table(pages_[1])[0] = pages_[2].raw | link;
        table(pages_[2])[0] = link | paging::Large::of(1);
    }
    ~LowSpace() {
        for (Hpa frame : pages_) {
            if (frame.raw != 0) {
                frames_.free(frame, 0, mm::Owner::Hypervisor);
            }
        }
    }
    LowSpace(LowSpace const&) = delete;
    LowSpace& operator=(LowSpace const&) = delete;
    bool complete() const { return pages_[2].raw != 0; }
    u32 root() const { return static_cast<u32>(pages_[0].raw); }

  private:
    u64* table(Hpa frame) const { return frames_.map().pointer<u64>(frame); }
    Hpa allocate_low(BootInfo const& info) {
        for (u32 i = 0; i < info.memory_count; ++i) {
            ballast::handoff::MemoryRange const& range = info.memory[i];
            if (range.kind != ballast::handoff::MemoryKind::Usable) {
                continue;
            }
            u64 const end = std::min(range.base + range.bytes, 4 * GiB);
            for (u64 at = range.base; at < end; at += kPageBytes) {
                if (frames_.allocate_at(Hpa{at}, 0, mm::Owner::Hypervisor, mm::FrameKind::HostTable).ok()) {
                    return Hpa{at};
                }
            }
        }
        return Hpa{};
    }

    mm::FrameAllocator& frames_;
    Hpa pages_[3] = {};
};

/// Waits until CPU @p index has arrived.
bool wait_for(u32 index, u64 tsc_hz, u64 microseconds) {
    u64 const end = arch::rdtsc() + tsc_hz / 1'000'000 * microseconds;
    while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) != index) {
        if (arch::rdtsc() > end) {
            return false;
        }
        arch::pause();
    }
    return true;
}

bool start_one(SmpSetup const& setup, CpuLocal& local) {
    u64 const hz = setup.services.tsc_hz();
    u8 const page = static_cast<u8>(setup.info.ap_trampoline / kPageBytes);
    local_apic().send_init(local.cpu.apic_id);
    delay_us(hz, kAfterInitUs);
    local_apic().send_startup(local.cpu.apic_id, page);
    if (wait_for(local.cpu.index, hz, kAfterStartupUs)) {
        return true;
    }
    local_apic().send_startup(local.cpu.apic_id, page);
    if (wait_for(local.cpu.index, hz, kPatienceUs)) {
        return true;
    }
    local_apic().send_init(
        local.cpu.apic_id); // should it wake later, it must not run with the next one's stack
    return false;
}

CpuLocal* make_local(SmpSetup const& setup, u32 index, ballast::handoff::CpuRecord const& record) {
    static_assert(sizeof(CpuLocal) <= kPageBytes);
    mm::OwnedFrames pages{setup.frames, mm::Owner::Hypervisor, mm::FrameKind::Data, record.node};
    void* const page = pages.allocate();
    if (page == nullptr || !map_stacks(setup.space, setup.frames, index, record.node)) {
        return nullptr;
    }
    auto* const local = new (page) CpuLocal;
    local->cpu.index = index;
    local->cpu.apic_id = record.apic_id;
    local->cpu.node = record.node;
    return local;
}
} // namespace

bool map_stacks(mm::HostPageTable& space, mm::FrameAllocator& frames, u32 index, u32 node) {
    mm::OwnedFrames pages{frames, mm::Owner::Hypervisor, mm::FrameKind::Data, node};
    for (unsigned kind = 0; kind < kStackKinds; ++kind) {
        StackRange const range = stack_of(index, static_cast<StackKind>(kind));
        for (u64 at = range.bottom; at < range.top; at += kPageBytes) {
            if (space.lookup(Hva{at}).ok()) {
                continue; // left by a processor that did not start
            }
            void* const page = pages.allocate();
            if (page == nullptr ||
                !space.map(Hva{at}, pages.physical(page), kPageBytes, mm::HostAccess::ReadWrite).ok()) {
                return false;
            }
        }
    }
    return true;
}

void start_processors(SmpSetup const& setup) {
    the_services = &setup.services;
    if (setup.info.cpu_count == 1) {
        return;
    }
    LowSpace const low{setup};
    if (!low.complete() || setup.info.ap_trampoline == 0) {
        log_error("no memory below 4 GiB to start processors from: only one runs");
        return;
    }
    auto* const page = setup.frames.map().pointer<u8>(Hpa{setup.info.ap_trampoline});
    std::memcpy(page, ap_trampoline, static_cast<usize>(ap_trampoline_end - ap_trampoline));
    auto& block = *reinterpret_cast<ApBlock*>(page + offset_of(ap_trampoline_block));
    u32 const base = static_cast<u32>(setup.info.ap_trampoline);
    u32 const gdt = base + offset_of(ap_trampoline_gdt);
    block.root = setup.space.root().raw;
    block.entry = reinterpret_cast<u64>(&hv_ap_entry);
    block.low_root = low.root();
    block.cr0 = kHostCr0;
    block.far32_offset = base + offset_of(ap_trampoline_code32);
    block.far64_offset = base + offset_of(ap_trampoline_code64);
    block.gdt_base_low = static_cast<u16>(gdt);
    block.gdt_base_high = static_cast<u16>(gdt >> 16);

    u32 index = 1;
    for (u32 i = 1; i < setup.info.cpu_count; ++i) {
        CpuLocal* const local = make_local(setup, index, setup.info.cpus[i]);
        if (local == nullptr) {
            log_error("no memory for the processor with APIC id {}: left out", setup.info.cpus[i].apic_id);
            continue;
        }
        block.stack = stack_of(index, StackKind::Main).top;
        block.cpu = reinterpret_cast<u64>(local);
        if (!start_one(setup, *local)) {
            log_error("the processor with APIC id {} did not start: left out", local->cpu.apic_id);
            setup.frames.free(setup.frames.map().physical(local), 0, mm::Owner::Hypervisor);
            continue;
        }
        setup.services.add(local->cpu);
        ++index;
    }
}

void release_processors(MachineServices& services, ProcessorMain main) {
    __atomic_store_n(&the_main, main, __ATOMIC_RELEASE);
    for (u32 i = 1; i < services.cpus().size(); ++i) {
        services.kick(i);
    }
}
} // namespace hv::init

extern "C" void hv_ap_start(hv::init::CpuLocal* local) {
    using namespace hv;
    using namespace hv::init;
    prepare_processor(the_services->fpu_layout());
    install_descriptors(*local);
    local_apic().initialise();
    __atomic_store_n(&arrived, local->cpu.index, __ATOMIC_RELEASE);
    ProcessorMain main = nullptr;
    while ((main = __atomic_load_n(&the_main, __ATOMIC_ACQUIRE)) == nullptr) {
        the_services->wait(local->cpu);
    }
    main(local->cpu);
    panic("the main function of a processor returned");
}
