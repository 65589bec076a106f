// SPDX-License-Identifier: Apache-2.0
// The nested table that both backends use.
#include "hv/mm/nested_table_body.hpp"

namespace hv::mm {
template class NestedTable<>;

NestedMap* create_nested_table(NestedFormat const& format, HostFrames& frames) {
    static_assert(sizeof(NestedTable<>) <= kPageBytes);
    void* const home = frames.allocate();
    if (home == nullptr) {
        return nullptr;
    }
    auto* const table = new (home) NestedTable<>{format, frames};
    if (!table->valid()) {
        table->~NestedTable();
        frames.free(home);
        return nullptr;
    }
    return table;
}

void destroy_nested_table(NestedMap* map, HostFrames& frames) {
    if (map != nullptr) {
        auto* const table = static_cast<NestedTable<>*>(map);
        table->~NestedTable();
        frames.free(table);
    }
}
} // namespace hv::mm
