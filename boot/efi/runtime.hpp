// SPDX-License-Identifier: Apache-2.0
// The little C library under the loader (runtime.cpp).
#pragma once

namespace ballast::loader {
/// Must run before libfdt is called.
void prepare_runtime();
} // namespace ballast::loader
