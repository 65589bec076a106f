// SPDX-License-Identifier: Apache-2.0
#include "hv/init/guests/guests.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/base/log.hpp"
#include "hv/core/cpu_choice.hpp"
#include "hv/init/cpu/machine_end.hpp"
#include "hv/init/cpu/provoke.hpp"
#include "hv/init/cpu/serial_console.hpp"
#include "hv/init/guests/debugger_line.hpp"
#include "hv/mgmt/console_commands.hpp"
#include "hv/mm/memory_check.hpp"
#include "hv/svm/svm_backend.hpp"
#include "hv/vmx/backend.hpp"

namespace hv::init {
namespace {
using partition::Partition;

constexpr u32 kMaxPhysicalCpus = ballast::handoff::kMaxCpus;

CpuidRegs host_cpuid(void*, u32 leaf, u32 subleaf) {
    auto const r = arch::RealCpu{}.cpuid(leaf, subleaf);
    return {r.eax, r.ebx, r.ecx, r.edx};
}

bool has_svm() {
    return host_cpuid(nullptr, 0x8000'0000, 0).eax >= 0x8000'000a &&
           (host_cpuid(nullptr, 0x8000'0001, 0).ecx & (1u << 2)) != 0;
}

/// A guest's console lines on the host's console.
class GuestLines final : public partition::LineSink {
  public:
    void line(std::string_view name, std::string_view text) override {
        char space[48];
        TextBuffer prefix{space};
        format(prefix, "[{}] ", name);
        console().write_line(prefix.text(), text);
    }
};

/// Answers to the operator's commands: never lost.
class ConsoleAnswer final : public mgmt::Answer {
  public:
    void line(std::string_view text) override { console().write_line_waiting("ballast: ", text); }
};

class Proof final : public partition::MemoryProof {
  public:
    Proof(mm::FrameAllocator& frames, Rendezvous& rendezvous) : frames_{frames}, rendezvous_{rendezvous} {}
    void watch(partition::PartitionSet& set) { set_ = &set; }
    bool check(TextBuffer& verdict) override {
        bool good = false;
        rendezvous_.alone([&] {
            mm::GuestMemory const* memories[partition::kMaxPartitions];
            usize count = 0;
            for (Partition* p : set_->partitions()) {
                if (p->guest() != nullptr) {
                    memories[count++] = &p->guest()->memory();
                }
            }
            mm::MemoryReport const report = mm::check_memory(frames_, {memories, count});
            mm::print(verdict, report);
            good = report.ok();
        });
        return good;
    }

  private:
    mm::FrameAllocator& frames_;
    Rendezvous& rendezvous_;
    partition::PartitionSet* set_ = nullptr;
};

/// All of it, made once at start-up on the hypervisor's heap.
struct GuestHost {
    explicit GuestHost(Machine& m)
        : machine{m},
          heap{m.frames, mm::Owner::Hypervisor},
          cpu_frames{m.frames, mm::Owner::Hypervisor, mm::FrameKind::Data},
          rendezvous{m.services},
          proof{m.frames, rendezvous} {}

    Machine& machine;
    mm::KernelHeap heap;
    mm::OwnedFrames cpu_frames;
    Rendezvous rendezvous;
    Proof proof;
    GuestLines lines;
    partition::Config config;
    partition::NamedImage images[ballast::handoff::kMaxImages];
    std::optional<partition::ImageStore> store;
    std::optional<partition::HostParts> parts;
    std::optional<partition::PartitionSet> set;
    std::optional<DebuggerLine> debugger;
    Scheduler* schedulers[kMaxPhysicalCpus] = {};
    /// Startup memory of the partitions that are placed on each node's CPUs.
    u64 promised_pages[mm::FrameTable::kMaxNodes] = {};
    bool ended_told = false;
};

alignas(svm::SvmBackend) u8 svm_space[sizeof(svm::SvmBackend)];
alignas(vmx::VmxBackend) u8 vmx_space[sizeof(vmx::VmxBackend)];
VirtBackend* backend = nullptr;
GuestHost* guest_host = nullptr;

[[noreturn]] void refuse_formatted(std::string_view pattern, FormatArgs args) {
    char space[240];
    TextBuffer text{space};
    format_to(text, pattern, args);
    refuse(text.text());
}
template <class... Args>
[[noreturn]] void refuse_because(std::string_view pattern, Args const&... args) {
    refuse_formatted(pattern, FormatPack{args...});
}

void load_images(GuestHost& host) {
    BootInfo const& info = host.machine.info;
    for (u32 i = 0; i < info.image_count; ++i) {
        auto const& image = info.images[i];
        host.images[i] = {std::string_view{image.name}, view(host.machine, {image.base, image.bytes})};
    }
    host.store.emplace(std::span<partition::NamedImage const>{host.images, info.image_count});
}

void need_image(GuestHost& host, std::string_view partition, std::string_view key, std::string_view name) {
    if (!name.empty() && host.store->find(name).empty()) {
        refuse_because(
            "ballast.dtb: node '{}', key '{}', value '{}': this file is not on the boot partition, or empty",
            partition, key, name);
    }
}

void read_configuration(GuestHost& host) {
    char space[240];
    TextBuffer why{space};
    // Debian's libfdt is built with the stack protector: it reads its canary at FS:28h. Nothing else here
    // uses FS.
    alignas(16) static u8 canary_area[64] = {};
    constexpr u32 kFsBase = 0xc000'0100;
    u64 const old = arch::rdmsr(kFsBase);
    arch::wrmsr(kFsBase, reinterpret_cast<u64>(canary_area));
    auto const read =
        partition::read_config(view(host.machine, host.machine.info.device_tree), host.config, why);
    arch::wrmsr(kFsBase, old);
    if (!read) {
        refuse_because("ballast.dtb: {}", why.text());
    }
    for (u32 i = 0; i < host.config.partition_count; ++i) {
        partition::PartitionConfig const& p = host.config.partitions[i];
        need_image(host, p.name, "kernel", p.kernel);
        need_image(host, p.name, "initrd", p.initrd);
        for (u32 m = 0; m < p.module_count; ++m) {
            need_image(host, p.name, "modules", p.modules[m]);
        }
    }
    u64 const free_mib = host.machine.frames.free_pages() / (MiB / kPageBytes);
    if (!partition::check_fits(host.config, free_mib, why)) {
        refuse_because("ballast.dtb: {}", why.text());
    }
    host.machine.frames.set_reserve(host.config.host.reserve_mib * (MiB / kPageBytes));
}

/// The width that second-level tables and the processor's own paging can translate: 4-level tables reach 48
/// bits.
u32 guest_physical_bits() {
    u32 const bits = host_cpuid(nullptr, 0x8000'0008, 0).eax & 0xff;
    return bits < 36 ? 36 : bits > 46 ? 46 : bits;
}

/// What a CPU's node has left; those placed there before have not started yet. Some nodes have no memory.
u64 room_pages(GuestHost const& host, u32 node) {
    if (node >= host.machine.frames.node_count()) {
        return 0;
    }
    u64 const free = host.machine.frames.free_pages(node), promised = host.promised_pages[node];
    return free > promised ? free - promised : 0;
}

/// Chooses the CPU for a partition with so much startup memory, which comes from that CPU's node if it can.
u32 place(GuestHost& host, u64 startup_pages) {
    auto const cpus = host.machine.services.cpus();
    auto const offer = [&](u32 i) {
        return CpuOffer{host.schedulers[i]->load(), room_pages(host, cpus[i]->node)};
    };
    u32 best = 0;
    for (u32 i = 1; i < cpus.size(); ++i) {
        best = is_better(offer(i), offer(best)) ? i : best;
    }
    if (u32 const node = cpus[best]->node; node < host.machine.frames.node_count()) {
        host.promised_pages[node] += startup_pages;
    }
    return best;
}

/// The port is there before the first partition starts, because that one may have to wait for the debugger.
void open_debugger(GuestHost& host) {
    std::string_view const port = host.config.host.debugger;
    if (port.empty()) {
        return;
    }
    host.debugger.emplace(host.machine.boot_cpu.cpu, host.machine.services, host.machine.housekeeping,
                          serial_port(port));
    if (!host.debugger->open()) {
        refuse_because("ballast.dtb: node 'host', key 'debugger', value '{}': no serial port answers there",
                       port);
    }
}

void make_schedulers(GuestHost& host) {
    for (Cpu* cpu : host.machine.services.cpus()) {
        auto* const scheduler = mm::make<Scheduler>(host.heap, *cpu, host.machine.services);
        if (scheduler == nullptr) {
            refuse("too little memory for the schedulers");
        }
        host.schedulers[cpu->index] = scheduler;
        cpu->scheduler = scheduler;
        if (cpu->index != 0) {
            scheduler->set_rendezvous(host.rendezvous);
        }
    }
    host.schedulers[0]->set_housekeeping(host.machine.housekeeping);
}

void make_partitions(GuestHost& host) {
    for (u32 i = 0; i < host.config.partition_count; ++i) {
        u32 const cpu = place(host, host.config.partitions[i].memory.startup_mib * (MiB / kPageBytes));
        auto* const p =
            mm::make<Partition>(host.heap, host.config.partitions[i], *host.parts, static_cast<u16>(i), cpu);
        if (p == nullptr || !host.schedulers[cpu]->add(*p)) {
            refuse("too little memory for the partitions");
        }
        host.set->add(*p);
        if (p->config().auto_start) {
            p->mailbox().post(mgmt::Request::Start);
        }
    }
}

u64 balance_job(void* context, u64 now_tsc) {
    auto& host = *static_cast<GuestHost*>(context);
    host.set->balance(now_tsc);
    if (!host.ended_told && host.set->all_ended()) {
        host.ended_told = true;
        std::string_view const crashed = host.set->crashed();
        if (crashed.empty()) {
            log_info("all partitions ended: off");
        } else {
            log_info("all partitions ended: crashed {}", crashed);
        }
        machine_end(crashed.empty() ? 0 : 1);
    }
    return 0;
}

/// A stopped look at a partition's processor: registers, and what lies on its stack.
void dump_partition(GuestHost& host, std::string_view name) {
    u64 at = 0;
    if (usize const space = name.find(' '); space != std::string_view::npos) {
        for (char c : name.substr(space + 1)) {
            at = at << 4 | static_cast<u64>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        }
        name = name.substr(0, space);
    }
    for (Partition* p : host.set->partitions()) {
        if (p->name() != name) {
            continue;
        }
        // Where it is loaded: its state is in that processor.
        host.schedulers[p->cpu_index()]->call(*host.machine.services.cpus()[0], [&](Cpu& cpu) {
            if (p->guest() == nullptr) {
                return;
            }
            static_cast<Scheduler*>(cpu.scheduler)->make_room_for(*p);
            p->guest()->vp().load(cpu);
            VirtVcpu& hw = p->guest()->vp().hardware();
            hw.dump();
            VcpuView view{hw};
            u64 const rsp = at != 0 ? at : hw.read(Reg::Rsp);
            for (u64 line = 0; line < 64; ++line) {
                u64 words[4] = {};
                std::optional<WalkFault> later;
                auto const got =
                    read_linear(p->guest()->memory(), paging_state(view), rsp + line * sizeof words,
                                {reinterpret_cast<u8*>(words), sizeof words},
                                {.set_accessed_dirty = false, .check_permissions = false}, later);
                if (!got || got.value() != sizeof words) {
                    break;
                }
                log_info("  {:016x}: {:016x} {:016x} {:016x} {:016x}", rsp + line * sizeof words, words[0],
                         words[1], words[2], words[3]);
            }
        });
    }
}

void take_command(void* context, std::string_view line) {
    auto& host = *static_cast<GuestHost*>(context);
    ConsoleAnswer answer;
    if (line == "off") {
        log_info("switching off");
        machine_end(0);
    }
    if (line.substr(0, 6) == "crash ") {
        // For tests of the trace: only whoever has the machine's console can do this.
        provoke(line.substr(6));
        log_info("crash how? {}", kCrashKinds);
        return;
    }
    if (line.substr(0, 5) == "dump ") {
        dump_partition(host, line.substr(5));
        return;
    }
    mgmt::run_command(line, *host.set, answer);
}
} // namespace

void enable_virtualization(Machine& machine, u32 cpu_index) {
    static mm::OwnedFrames* frames = nullptr;
    if (backend == nullptr) {
        if (has_svm()) {
            backend = new (svm_space) svm::SvmBackend;
        } else {
            backend = new (vmx_space) vmx::VmxBackend;
        }
        alignas(mm::OwnedFrames) static u8 space[sizeof(mm::OwnedFrames)];
        frames = new (space) mm::OwnedFrames{machine.frames, mm::Owner::Hypervisor, mm::FrameKind::Data};
    }
    auto const enabled = backend->enable_cpu(cpu_index, *frames);
    if (enabled) {
        return;
    }
    switch (enabled.error()) {
    case VirtError::NotSupported:
        refuse_because("processor {} lacks {}, which {} needs", cpu_index, backend->missing_feature(),
                       backend->name());
    case VirtError::DisabledByFirmware:
        refuse_because(
            "the firmware has locked virtualization ({}) off: switch it on in the firmware's set-up",
            backend->name());
    case VirtError::OutOfMemory: refuse("too little memory to switch virtualization on");
    case VirtError::HardwareRefused:
        refuse_because("processor {} refused to switch {} on", cpu_index, backend->name());
    }
}

void prepare_guests(Machine& machine) {
    alignas(GuestHost) static u8 space[sizeof(GuestHost)];
    guest_host = new (space) GuestHost{machine};
    GuestHost& host = *guest_host;
    load_images(host);
    read_configuration(host);
    open_debugger(host);
    host.parts.emplace(partition::HostParts{
        .host = machine.services,
        .backend = *backend,
        .frames = machine.frames,
        .images = *host.store,
        .console = host.lines,
        .host_cpuid = host_cpuid,
        .guest_physical_bits = guest_physical_bits(),
        .numa_spanning = host.config.host.numa_spanning || machine.frames.node_count() == 1,
        .debugger = host.debugger ? &host.debugger->host_side() : nullptr});
    host.set.emplace(host.config.host, machine.services, machine.frames, backend->name());
    host.proof.watch(*host.set);
    host.set->set_proof(host.proof);
    make_schedulers(host);
    make_partitions(host);
    if (host.debugger) {
        host.debugger->start(*host.set, host.schedulers);
        log_info("debugger: gdb's remote protocol on {}", host.config.host.debugger);
    }
    u64 const hz = machine.services.tsc_hz();
    machine.housekeeping.add(balance_job, &host, hz, arch::rdtsc());
    console().on_line(take_command, &host);
    log_info("{}: {} partition(s), reserve {} MiB", backend->name(), host.config.partition_count,
             host.config.host.reserve_mib);
}

[[noreturn]] void run_guests(Cpu& cpu) {
    if (cpu.index != 0) {
        static SpinLock lock; // one processor at a time
        LockGuard guard{lock};
        enable_virtualization(guest_host->machine, cpu.index);
    }
    static_cast<Scheduler*>(cpu.scheduler)->loop();
}
} // namespace hv::init
