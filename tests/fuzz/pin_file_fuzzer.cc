#include <cstdlib>

#include "tpm/esys/pin_file.h"

// What parses must survive a round trip.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmattest::tpm::EncodePin;
  using vmattest::tpm::ParsePin;
  const auto pin = ParsePin(vmattest::ByteView(data, size));
  if (pin.ok()) {
    const std::string text = EncodePin(*pin);
    const auto again = ParsePin(vmattest::AsBytes(text));
    if (!again.ok() || EncodePin(*again) != text) {
      std::abort();
    }
  }
  return 0;
}
