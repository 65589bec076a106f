// SPDX-License-Identifier: Apache-2.0
// All that a partition is while it is powered on: memory, virtual processor, devices, Hyper-V interface,
// VMBus and its services. Made at start, gone at stop with every frame it held; a reset keeps it and starts
// its parts over.
#pragma once
#include "hv/base/log.hpp"
#include "hv/dm/dm_service.hpp"
#include "hv/hyperv/hyperv_interface.hpp"
#include "hv/mm/guest_memory.hpp"
#include "hv/mm/owned_frames.hpp"
#include "hv/partition/config.hpp"
#include "hv/partition/debugger/debugger_host.hpp"
#include "hv/partition/devices.hpp"
#include "hv/partition/image_store.hpp"
#include "hv/partition/memory_adapter.hpp"
#include "hv/partition/memory_work.hpp"
#include "hv/partition/partition_time.hpp"
#include "hv/partition/virtual_processor.hpp"
#include "hv/platform/mmio_map.hpp"
#include "hv/vmbus/heartbeat.hpp"
#include "hv/vmbus/shutdown.hpp"
#include "hv/vmbus/time_sync.hpp"
#include "hv/vmbus/vmbus_server.hpp"

namespace hv::partition {
/// What partitions need of the host; one for all of them, outlives them.
struct HostParts {
    HostServices& host;
    VirtBackend& backend;
    mm::FrameAllocator& frames;
    ImageStore const& images;
    LineSink& console;
    HostCpuid host_cpuid;
    u32 guest_physical_bits; ///< what second-level tables and the processor can translate
    bool numa_spanning;
    DebuggerHost* debugger = nullptr; ///< null: the configuration names no port for one
};

/// What a guest's doings mean for the partition's life. Called during an exit: note it, act when work()
/// comes.
class GuestEvents {
  public:
    virtual ~GuestEvents() = default;
    virtual void guest_powered_off() = 0;
    virtual void guest_reset() = 0;
    /// The guest cannot go on. @p why lives for ever
    virtual void guest_failed(char const* why) = 0;
    /// The guest reports a panic of its own; it may still reset itself.
    virtual void guest_panicked() = 0;
};

class Guest final : public platform::ProcessorEvents, public platform::PowerEvents, public hyperv::CrashSink {
  public:
    /// The parts that come from elsewhere; put together by create().
    struct Parts {
        mm::KernelHeap& heap;
        mm::OwnedFrames& frames;
        mm::GuestMemory& memory;
        NestedMap& nested;
        VirtVcpu& hardware;
        std::span<u8> fpu_area;
    };
    /// Takes the startup memory and builds everything. @param heap and @param frames belong to the
    /// partition's owner. @param near_node  its processor's: the memory comes from there if there is room
    static Result<Guest*, mm::GuestMemoryRefusal> create(PartitionConfig const&, HostParts&, GuestEvents&,
                                                         mm::KernelHeap& heap, mm::OwnedFrames& frames,
                                                         mm::Owner owner, u16 tag, u32 near_node);
    static void destroy(Guest*, HostParts&);

    Guest(PartitionConfig const&, HostParts&, GuestEvents&, Parts const&);
    Guest(Guest const&) = delete;
    Guest& operator=(Guest const&) = delete;

    /// Power-on state, kernel loaded, boot processor at its entry. Memory is fresh. @return nullptr or why
    /// not (lives for ever)
    char const* boot();
    /// After the guest's memory was reset: drops all that the guest had set up.
    void reset_devices();

    std::string_view name() const { return config_.name; }
    mm::GuestMemory& memory() { return parts_.memory; }
    NestedMap& nested() { return parts_.nested; }
    VirtualProcessor& vp() { return vp_; }
    Devices& devices() { return devices_; }
    PartitionTime& time() { return time_; }
    hyperv::HypervInterface& hyperv() { return hyperv_; }
    vmbus::VmbusServer& vmbus() { return vmbus_; }
    vmbus::Heartbeat& heartbeat() { return heartbeat_; }
    vmbus::ShutdownService& shutdown() { return shutdown_; }
    dm::DmService& dm() { return dm_; }
    MemoryAdapter& memory_adapter() { return memory_adapter_; }
    MemoryWork& memory_work() { return memory_work_; }

    // For the exit handlers.
    void hypercall(bool long_mode);
    bool read_synthetic_msr(u32 vp, u32 index, u64& value);
    bool write_synthetic_msr(u32 vp, u32 index, u64 value);
    void fire_timers(u32 vp, u64 now_tsc);
    u64 next_timer_tsc(u32 vp) const;
    void tsc_written(u64 offset);
    void fail(char const* why) { events_.guest_failed(why); }
    /// What the processor meets outside RAM: its APICs, and an open bus.
    platform::MmioMap& mmio() { return mmio_; }

    // platform::ProcessorEvents
    void interrupt_pending(u32 vp_index) override;
    void nmi(u32 vp_index) override;
    void init(u32 vp_index) override;
    void start_up(u32 vp_index, u8 vector) override;
    // platform::PowerEvents
    void reset(platform::ResetCause) override { events_.guest_reset(); }
    void power_off() override { events_.guest_powered_off(); }
    // hyperv::CrashSink
    void guest_crashed(hyperv::CrashReport const&) override;

  private:
    u32 build_memory_map(std::span<MemoryMapEntry> map) const;
    bool write_acpi_tables(Gpa& rsdp);

    PartitionConfig const& config_;
    HostParts& host_;
    GuestEvents& events_;
    Parts parts_;
    PartitionTime time_;
    Devices devices_;
    VirtualProcessor vp_;
    platform::MmioMap mmio_;
    hyperv::HypervVp hyperv_vp_;
    hyperv::HypervInterface hyperv_;
    vmbus::VmbusServer vmbus_;
    vmbus::Heartbeat heartbeat_;
    vmbus::ShutdownService shutdown_;
    vmbus::TimeSync time_sync_;
    MemoryAdapter memory_adapter_;
    dm::DmService dm_;
    MemoryWork memory_work_;
    RateLimit crash_lines_{8};
};
} // namespace hv::partition
