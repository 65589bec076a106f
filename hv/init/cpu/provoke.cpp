// SPDX-License-Identifier: Apache-2.0
#include "hv/init/cpu/provoke.hpp"
#include "boot/handoff/boot_info.hpp"
#include "hv/arch/ops/cpu_ops.hpp"
#include "hv/arch/paging.hpp"
#include "hv/base/assert.hpp"

namespace hv::init {
namespace {
constinit u64 volatile unmapped_address = 0x10; // volatile: the compiler may not know
constinit u8 some_data[16] = {0xc3};            // RET

[[gnu::noinline]] u64 descend(u64 depth) {
    u64 volatile local[64] = {depth};
    return depth == 0 ? 0 : descend(depth + 1) + local[depth % 64];
}
void write_to(u64 address) {
    *reinterpret_cast<u8 volatile*>(address) = 0;
}
/// Physical address of our own code, by its page tables.
u64 code_alias() {
    u64 const at = reinterpret_cast<u64>(&provoke);
    u64 table = arch::read_cr3() & paging::Address::mask;
    for (unsigned level = paging::kTopLevel;; --level) {
        u64 const entry = reinterpret_cast<u64 const*>(ballast::handoff::kDirectMapBase +
                                                       table)[paging::entry_index(at, level)];
        table = entry & paging::Address::mask;
        if (level == 0 || (level != paging::kTopLevel && paging::Large::get(entry) != 0)) {
            return ballast::handoff::kDirectMapBase + table;
        }
    }
}
} // namespace

void provoke(std::string_view kind) {
    if (kind == "assert") {
        HV_ASSERT(kind != "assert");
    } else if (kind == "fault") {
        write_to(unmapped_address);
    } else if (kind == "overflow") {
        descend(1);
    } else if (kind == "write-code") {
        write_to(reinterpret_cast<u64>(&provoke));
    } else if (kind == "write-code-alias") {
        write_to(code_alias());
    } else if (kind == "run-data") {
        reinterpret_cast<void (*)()>(some_data)();
    } else {
        return;
    }
    panic("the protection did not hold");
}
} // namespace hv::init
