// SPDX-License-Identifier: Apache-2.0
// A virtual destructor's table names operator delete even where nothing ever deletes. Ours must not be
// called: objects are built with make() and ended with destroy().
#ifdef HV_FREESTANDING
#include "hv/base/assert.hpp"
#include <cstddef>
#include <new>

void operator delete(void*) noexcept {
    hv::panic("operator delete called");
}
void operator delete(void*, std::size_t) noexcept {
    hv::panic("operator delete called");
}
void operator delete(void*, std::size_t, std::align_val_t) noexcept {
    hv::panic("operator delete called");
}
#endif
