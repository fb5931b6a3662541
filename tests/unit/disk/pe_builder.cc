#include "unit/disk/pe_builder.h"

#include <cstdint>

namespace vmattest::testing {
namespace {

constexpr size_t kCoff = 0x40;
constexpr size_t kOptional = kCoff + 24;
constexpr size_t kHeaders = 0x400;
constexpr size_t kSection = 0x200;

void Put(std::string& image, size_t at, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    image[at + i] = static_cast<char>(value >> (8 * i));
  }
}

}  // namespace

std::string MakePe(const PeOptions& options) {
  const size_t fixed = options.plus ? 112 : 96;
  const size_t optional_size = fixed + 8 * options.directories;
  const size_t count = options.sections.size();
  std::string image(kHeaders + kSection * count, '\0');
  image.replace(0, 2, "MZ");
  Put(image, 60, kCoff, 4);
  image.replace(kCoff, 2, "PE");
  Put(image, kCoff + 4, options.plus ? 0x8664 : 0x14C, 2);
  Put(image, kCoff + 6, count, 2);
  Put(image, kCoff + 20, optional_size, 2);
  Put(image, kCoff + 22, options.plus ? 0x22E : 0x30E, 2);
  Put(image, kOptional, options.plus ? 0x20B : 0x10B, 2);
  Put(image, kOptional + 16, 0x1000, 4);  // entry point
  Put(image, kOptional + 32, 0x1000, 4);  // section alignment
  Put(image, kOptional + 36, kSection, 4);
  Put(image, kOptional + 56, 0x1000 * (count + 1), 4);
  Put(image, kOptional + 60, kHeaders, 4);
  Put(image, kOptional + 64, 0x12345678, 4);  // checksum
  Put(image, kOptional + 68, 10, 2);          // EFI application
  Put(image, kOptional + fixed - 4, options.directories, 4);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = kOptional + optional_size + 40 * i;
    const size_t place = options.reversed ? count - 1 - i : i;
    const size_t data = kHeaders + kSection * place;
    image.replace(at, 5, ".text");
    Put(image, at + 8, kSection, 4);
    Put(image, at + 12, 0x1000 * (i + 1), 4);
    Put(image, at + 16, kSection, 4);
    Put(image, at + 20, data, 4);
    Put(image, at + 36, 0x60000020, 4);
    image.replace(data, options.sections[i].size(), options.sections[i]);
  }
  return image;
}

std::string HashedPart(const std::string& image) {
  const bool plus = image[kOptional + 1] == 2;
  const size_t entry = kOptional + (plus ? 112 : 96) + 32;
  return image.substr(0, kOptional + 64) +
         image.substr(kOptional + 68, entry - (kOptional + 68)) +
         image.substr(entry + 8);
}

}  // namespace vmattest::testing
