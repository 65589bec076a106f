// SPDX-License-Identifier: Apache-2.0
// Stands in for hv/arch/ops/vmx_ops.hpp when hv/vmx is compiled for its unit tests: the same names, carried
// out by FakeVmxCpu.
#pragma once
#include "hv/base/addr.hpp"

namespace hv::arch {
bool vmxon(Hpa region);
bool vmclear(Hpa region);
bool vmptrld(Hpa region);
bool vmread(u64 field, u64& value);
bool vmwrite(u64 field, u64 value);
enum class Invept : u64 { SingleContext = 1, AllContexts = 2 };
enum class Invvpid : u64 { SingleContext = 1, AllContexts = 2 };
bool invept(Invept type, u64 eptp);
bool invvpid(Invvpid type, u16 vpid);
void call_nmi_handler();
} // namespace hv::arch
