// Hostile IMA measurement lists in both forms.

#include <cstdlib>

#include "crypto/tpm_digest.h"
#include "eventlog/ima_log.h"

namespace vmattest::eventlog {
namespace {

void Use(const absl::StatusOr<ImaLog>& log) {
  if (!log.ok()) {
    return;
  }
  for (const ImaEntry& entry : log->entries) {
    if (entry.template_hash.size() != TpmDigestSize(log->bank) ||
        (entry.known_algorithm &&
         entry.digest.size() != TpmDigestSize(*entry.known_algorithm)) ||
        (entry.violation() && TemplateHashHolds(entry, log->bank))) {
      std::abort();
    }
    (void)TemplateHashHolds(entry, log->bank);
  }
  for (const auto& [pcr, value] : ReplayImaLog(*log)) {
    if (pcr > 31 || value.size() != TpmDigestSize(log->bank)) {
      std::abort();
    }
  }
}

}  // namespace
}  // namespace vmattest::eventlog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmattest;
  const ByteView input(data, size);
  eventlog::Use(eventlog::ParseImaAscii(AsText(input)));
  eventlog::Use(eventlog::ParseImaBinary(input));
  eventlog::Use(eventlog::ParseImaBinary(input, kTpmAlgIdSha256));
  return 0;
}
