// Hostile firmware event logs: parsed, replayed in every bank, shown.

#include <cstdlib>

#include "crypto/tpm_digest.h"
#include "eventlog/boot_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmattest;
  const absl::StatusOr<eventlog::BootLog> log =
      eventlog::ParseBootLog({data, size});
  if (!log.ok()) {
    return 0;
  }
  for (const eventlog::BootEvent& event : log->events) {
    if (event.offset >= size || event.data.size() > size) {
      std::abort();
    }
    (void)eventlog::BootEventTypeName(event.type);
  }
  for (const uint16_t bank : log->banks) {
    const auto registers = eventlog::ReplayBootLog(*log, bank);
    if (registers.ok() != (TpmDigestSize(bank) != 0)) {
      std::abort();
    }
    for (uint32_t index = 0; index < 8; ++index) {
      if (eventlog::HasSeparator(*log, bank, index) &&
          !registers->contains(index)) {
        std::abort();  // a separator that was not extended
      }
    }
  }
  return 0;
}
