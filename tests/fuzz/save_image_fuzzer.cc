#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "gate/protocol/save_image_header.h"

// The beginning of a file that libvirt saved memory to, as the hook and the
// daemon read it. What is taken has a whole UUID.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto header = vmattest::gate::ParseSaveImageHeader({data, size});
  if (header && header->vm_uuid.size() != 36) {
    std::abort();
  }
  return 0;
}
