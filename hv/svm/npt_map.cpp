// SPDX-License-Identifier: Apache-2.0
#include "hv/svm/npt_map.hpp"

namespace hv::svm {
NestedMap* create_npt(HostFrames& frames) {
    return mm::create_nested_table<mm::NptFormat>(frames);
}
void destroy_npt(NestedMap* map, HostFrames& frames) {
    mm::destroy_nested_table<mm::NptFormat>(map, frames);
}
} // namespace hv::svm
