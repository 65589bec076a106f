// SPDX-License-Identifier: Apache-2.0
// The images that the loader read from the ESP, by the name the configuration uses. Shared by all partitions,
// read only.
#pragma once
#include "hv/base/types.hpp"
#include <span>
#include <string_view>

namespace hv::partition {
struct NamedImage {
    std::string_view name;
    std::span<u8 const> bytes;
};

class ImageStore {
  public:
    explicit ImageStore(std::span<NamedImage const> images) : images_{images} {}
    /// The image, or an empty span.
    std::span<u8 const> find(std::string_view name) const {
        for (NamedImage const& image : images_) {
            if (image.name == name) {
                return image.bytes;
            }
        }
        return {};
    }

  private:
    std::span<NamedImage const> images_;
};
} // namespace hv::partition
