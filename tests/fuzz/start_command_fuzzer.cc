// A domain's definition names things that stand in the command line which
// libvirt makes of it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "measurement/firmware.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view command(reinterpret_cast<const char*>(data), size);
  const auto firmware = vmattest::measurement::FirmwareOfCommand(command);
  if (firmware.ok() && firmware->loader.empty()) {
    std::abort();
  }
  return 0;
}
