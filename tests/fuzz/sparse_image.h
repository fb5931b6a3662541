#ifndef VMATTEST_TESTS_FUZZ_SPARSE_IMAGE_H_
#define VMATTEST_TESTS_FUZZ_SPARSE_IMAGE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace vmattest::fuzz {

// A disk image as a short fuzz input: one byte, the image's size in units of
// 64 KiB, then records of offset (uint32), length (uint16), both little-endian,
// and that many bytes; everything else is zero. Offsets wrap around.
inline Bytes ExpandImage(ByteView input) {
  if (input.empty()) {
    return {};
  }
  Bytes image((size_t{input[0]} + 1) << 16);
  for (size_t at = 1; at + 6 <= input.size();) {
    const size_t offset = (input[at] | input[at + 1] << 8 |
                           input[at + 2] << 16 | size_t{input[at + 3]} << 24) %
                          image.size();
    const size_t length = input[at + 4] | size_t{input[at + 5]} << 8;
    at += 6;
    const size_t part =
        std::min({length, image.size() - offset, input.size() - at});
    std::copy_n(input.begin() + static_cast<ptrdiff_t>(at), part,
                image.begin() + static_cast<ptrdiff_t>(offset));
    at += part;
  }
  return image;
}

}  // namespace vmattest::fuzz

#endif  // VMATTEST_TESTS_FUZZ_SPARSE_IMAGE_H_
