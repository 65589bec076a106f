// SPDX-License-Identifier: Apache-2.0
// What a guest learns from CPUID: built once per virtual processor from the host's leaves, then answered from
// a table, because CPUID is the exit everybody measures. Nothing of the host that a guest must not use (VMX,
// SVM, performance counters, state that the world switch does not carry) is shown.
#pragma once
#include "hv/base/types.hpp"

namespace hv {
struct CpuidRegs {
    u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
    constexpr bool operator==(CpuidRegs const&) const = default;
};

/// Reads the host's CPUID: the instruction on the machine, captured values in tests.
using HostCpuid = CpuidRegs (*)(void* context, u32 leaf, u32 subleaf);

/// What the policy needs to know besides the host's leaves.
struct CpuidSetup {
    u32 apic_id = 0;
    u32 vp_count = 1;
    u32 guest_physical_bits = 40; ///< width of guest-physical addresses, 36 … 52
    HostCpuid host = nullptr;
    void* host_context = nullptr;
};

/// XCR0 bits a guest may have: x87, SSE, AVX. What the core's FPU switch saves and nothing else.
inline constexpr u64 kGuestXcr0 = 0x7;

class CpuidPolicy {
  public:
    static constexpr u32 kBasicLeaves = 0x17;
    static constexpr u32 kHypervisorLeaves = 0xc;
    static constexpr u32 kExtendedLeaves = 0x20;

    explicit CpuidPolicy(CpuidSetup const&);

    /// The guest's answer. Leaves beyond the highest one give that of the highest basic leaf on processors
    /// that do so; here always 0.
    CpuidRegs const& query(u32 leaf, u32 subleaf) const {
        if (plain(leaf)) {
            return basic_[leaf];
        }
        return query_other(leaf, subleaf);
    }
    /// Whether @p leaf is a basic leaf whose answer is the same for every subleaf: the shortest way through
    /// query().
    static constexpr bool plain(u32 leaf) {
        constexpr u32 kPlain = ((1u << kBasicLeaves) - 1) & ~(1u << 4 | 1u << 7 | 1u << 0xb | 1u << 0xd);
        return leaf < kBasicLeaves && (kPlain >> leaf & 1) != 0;
    }

    /// Sets a hypervisor leaf (0x4000'0000 + n). @param n below kHypervisorLeaves
    void set_hypervisor_leaf(u32 n, CpuidRegs const& regs);

    /// Leaf 1 ECX.OSXSAVE mirrors CR4.OSXSAVE (SDM vol 2A, CPUID).
    void set_osxsave(bool on);
    /// Leaf 0Dh EBX tells the area size for the features enabled in XCR0.
    void set_xcr0(u64 xcr0);
    /// Leaf 1 EDX.APIC mirrors IA32_APIC_BASE.EN.
    void set_apic_enabled(bool on);

    bool has_xsave() const { return has_xsave_; }
    /// Bits the guest may set in CR4 (others #GP).
    u64 allowed_cr4() const;
    /// Bits the guest may set in IA32_EFER.
    u64 allowed_efer() const;
    u64 allowed_xcr0() const { return xcr0_mask_; }
    u32 physical_bits() const { return setup_.guest_physical_bits; }

  private:
    CpuidRegs const& query_other(u32 leaf, u32 subleaf) const;
    CpuidRegs host(u32 leaf, u32 subleaf = 0) const {
        return setup_.host(setup_.host_context, leaf, subleaf);
    }
    void build_features();
    void build_caches_and_topology();
    void build_xsave();
    void build_extended();

    CpuidSetup setup_;
    CpuidRegs zero_{};
    CpuidRegs basic_[kBasicLeaves] = {};
    CpuidRegs hypervisor_[kHypervisorLeaves] = {};
    CpuidRegs extended_[kExtendedLeaves] = {};
    CpuidRegs caches_[5] = {};
    CpuidRegs topology_[2] = {};
    CpuidRegs xsave_[3] = {};
    u64 xcr0_mask_ = 0;
    bool has_xsave_ = false;
};
} // namespace hv
