#ifndef VMATTEST_TPM_ESYS_TCTI_H_
#define VMATTEST_TPM_ESYS_TCTI_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/status.h"

namespace vmattest::tpm {

inline constexpr size_t kMaxTpmMessage = 4096;

// The way to a TPM: one command out, one response back, by a deadline. The
// seam where tests and fuzzers put a hostile TPM. One thread at a time.
class Tcti {
 public:
  virtual ~Tcti() = default;
  virtual absl::Status Transmit(ByteView command) = 0;
  // At most kMaxTpmMessage bytes. UNAVAILABLE: gone, or no answer in time.
  virtual absl::StatusOr<Bytes> Receive() = 0;
  // Whether a resource manager stands between, which keeps clients apart and
  // cleans up after them.
  [[nodiscard]] virtual bool managed() const { return false; }
};

using TctiOpener = std::function<absl::StatusOr<std::unique_ptr<Tcti>>()>;

// Opens by a TCTI string of tpm2-tss ("device:/dev/tpmrm0", "swtpm:path=...").
// `timeout` bounds each command. "swtpm:path=" is spoken here and not by
// tpm2-tss, whose module was not shown to keep deadlines.
// UNAVAILABLE: it is not there now. INVALID_ARGUMENT: an empty string.
absl::StatusOr<std::unique_ptr<Tcti>> OpenTcti(
    const std::string& configuration, std::chrono::milliseconds timeout);

}  // namespace vmattest::tpm

#endif  // VMATTEST_TPM_ESYS_TCTI_H_
