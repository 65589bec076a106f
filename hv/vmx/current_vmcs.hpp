// SPDX-License-Identifier: Apache-2.0
// Typed access to the VMCS that is current on this CPU. Stateless: VmxVcpu::load() makes it current.
#pragma once
#include "hv/arch/ops/vmx_ops.hpp"
#include "hv/arch/vmcs.hpp"
#include "hv/base/assert.hpp"
#include <type_traits>

namespace hv::vmx {
class CurrentVmcs {
  public:
    /// A field the CPU does not have, or no current VMCS, is a bug of ours: panic.
    template <class T>
    [[gnu::always_inline]] T read(arch::VmcsField<T> field) const {
        u64 value;
        if (!arch::vmread(field.encoding, value)) [[unlikely]] {
            panic("VMREAD failed");
        }
        if constexpr (std::is_integral_v<T>) {
            return static_cast<T>(value);
        } else {
            return T{value};
        }
    }
    /// The same unchecked, for the path that every exit takes: only after another access to this VMCS
    /// succeeded, and for a field that every CPU has.
    template <class T>
    [[gnu::always_inline]] T read_known(arch::VmcsField<T> field) const {
        u64 value;
        (void)arch::vmread(field.encoding, value);
        if constexpr (std::is_integral_v<T>) {
            return static_cast<T>(value);
        } else {
            return T{value};
        }
    }
    template <class T>
    [[gnu::always_inline]] void write(arch::VmcsField<T> field, std::type_identity_t<T> value) const {
        u64 raw;
        if constexpr (std::is_integral_v<T>) {
            raw = value;
        } else {
            raw = value.raw;
        }
        if (!arch::vmwrite(field.encoding, raw)) [[unlikely]] {
            panic("VMWRITE failed");
        }
    }
};
} // namespace hv::vmx
