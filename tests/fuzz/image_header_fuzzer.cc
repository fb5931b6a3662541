// Disk image headers: the first bytes of whatever a guest or a tenant wrote.

#include <cstdlib>

#include "image/image_chain.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmattest::image::ImageHeader;
  for (const char* format : {"", "qcow2", "raw"}) {
    const absl::StatusOr<ImageHeader> header =
        vmattest::image::ParseImageHeader({data, size}, format);
    if (!header.ok()) {
      continue;
    }
    const bool qcow2 = header->format == "qcow2";
    const std::string backing = header->backing_file.value_or("x");
    const std::string data_file = header->data_file.value_or("x");
    if (header->format.empty() || backing.empty() || data_file.empty() ||
        backing.size() > 1023 || data_file.size() > 1023 ||
        backing.find('\0') != std::string::npos ||
        (!qcow2 && (header->backing_file || header->data_file)) ||
        (header->backing_format && !header->backing_file)) {
      std::abort();
    }
  }
  return 0;
}
