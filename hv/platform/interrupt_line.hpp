// SPDX-License-Identifier: Apache-2.0
// A device's interrupt output.
#pragma once

namespace hv::platform {
/// Level semantics: devices say what their line is, the I/O APIC pin makes edges of it where it should.
class InterruptLine {
  public:
    virtual ~InterruptLine() = default;
    virtual void set(bool asserted) = 0;
};
} // namespace hv::platform
