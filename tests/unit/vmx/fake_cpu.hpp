// SPDX-License-Identifier: Apache-2.0
// A processor with VMX for tests. It runs no instructions: each VM entry plays the next scripted exit. What
// it does model is what the emulators do not: a VMCS that is another's or was not cleared, VM entry's checks
// of events and debug state, and what exits leave behind (pending debug exceptions, DR7, GS base).
#pragma once
#include "hv/arch/cpu_access.hpp"
#include "hv/arch/vmcs.hpp"
#include "hv/arch/vmx.hpp"
#include "hv/core/registers.hpp"
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace hv::test {
class FakeVmxCpu {
  public:
    using Effect = std::function<void(FakeVmxCpu&)>;
    using Reason = arch::vmx::ExitReason;
    struct Entry {
        std::map<u64, u64> fields;
        u64 dr[4];
        template <class T>
        u64 operator[](arch::VmcsField<T> field) const {
            auto const found = fields.find(field.encoding);
            return found == fields.end() ? 0 : found->second;
        }
    };
    struct Model {
        bool monitor_trap = true;
        bool saves_stale_step = false; ///< Bochs 2.7: each exit under TF leaves BS pending
    };

    explicit FakeVmxCpu(Model const&);
    /// The one that the calling "CPU" is.
    static FakeVmxCpu* current;
    void become_current() { current = this; }

    /// The next entry ends with this exit, nothing having run unless @p effect says so.
    void exit(Reason reason, u64 qualification = 0, u32 instruction_bytes = 0, Effect effect = {});
    /// The next entry ends with an exception's exit. @param information without the valid bit
    void exception(u32 information, u64 qualification = 0, u32 instruction_bytes = 0, u32 error_code = 0);
    /// Plays the instruction at RIP. A monitor trap or TF ends the guest behind it. @param hits B0 to B3 of
    /// data breakpoints that it hits
    void instruction(u8 bytes, u64 hits = 0, Effect effect = {});
    /// The event that the entry injects is delivered, and the monitor trap stops at @p handler.
    void delivery(u64 handler);

    u32 run(u64* gprs, bool launch);

    template <class T>
    u64 get(arch::VmcsField<T> field) {
        return current_fields()[field.encoding];
    }
    template <class T>
    void set(arch::VmcsField<T> field, u64 value) {
        current_fields()[field.encoding] = value;
    }
    Entry const& entry() const { return entries.back(); }

    struct Region {
        bool launched = false, cleared = false;
        std::map<u64, u64> fields;
    };
    Model model;
    std::map<u64, Region> regions; ///< by host-physical address
    u64 current_region = 0;        ///< 0: none
    std::map<u32, u64> msrs;
    std::map<u32, arch::CpuidResult> cpuid;
    u64 gdt[5] = {};
    u64 cr0 = 0x8000'0033, cr2 = 0, cr3 = 0x1000, cr4 = 0x620, dr[4] = {}, tsc = 1000;
    std::vector<Entry> entries;     ///< as each entry found it
    std::vector<std::string> wrong; ///< rules broken: must stay empty
    unsigned nmis_handled = 0, nested_flushes = 0, debug_register_writes = 0;

  private:
    std::map<u64, u64>& current_fields();
    void check_entry(Entry const&);
    void check_event(Entry const&);

    std::deque<std::function<u32()>> script_;
};
} // namespace hv::test
