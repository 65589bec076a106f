// SPDX-License-Identifier: Apache-2.0
// The two nested tables that the backends use.
#include "hv/mm/nested_table_body.hpp"

namespace hv::mm {
template class NestedTable<EptFormat>;
template class NestedTable<NptFormat>;
template NestedMap* create_nested_table<EptFormat>(HostFrames&);
template NestedMap* create_nested_table<NptFormat>(HostFrames&);
template void destroy_nested_table<EptFormat>(NestedMap*, HostFrames&);
template void destroy_nested_table<NptFormat>(NestedMap*, HostFrames&);
} // namespace hv::mm
