#ifndef VMATTEST_TESTS_SUPPORT_SWTPM_H_
#define VMATTEST_TESTS_SUPPORT_SWTPM_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/handles.h"
#include "support/temp_dir.h"

namespace vmattest::testing {

// Sends one TPM command to a Unix socket and returns the answer. Throws if
// nobody answers.
Bytes TransactTpm(const std::filesystem::path& socket, ByteView command);

// A private software TPM behind Unix sockets in a folder of its own. Starts
// running, its PCRs 0 to 7 extended with separators in the SHA-256 and SHA-384
// banks, as firmware leaves them. Ends with the object. Not thread-safe.
class Swtpm {
 public:
  enum class Setup {
    kPlain,          // empty state, no certificates: quick
    kEkCertificate,  // through swtpm_setup with a CA of its own: about 1 s
  };
  explicit Swtpm(Setup setup = Setup::kPlain);
  Swtpm(const Swtpm&) = delete;
  Swtpm& operator=(const Swtpm&) = delete;
  ~Swtpm();

  // "swtpm:path=...": the TCTI string of tpm2-tss.
  [[nodiscard]] std::string tcti() const;
  [[nodiscard]] const std::filesystem::path& socket() const { return socket_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Of kEkCertificate: certificates of its authority, root and issuer.
  [[nodiscard]] std::filesystem::path ca_folder() const {
    return dir_.path() / "ca";
  }

  // The TPM is gone: connections to it fail.
  void Kill();
  // After Kill(): boots it again (Startup CLEAR: resetCount grows), with the
  // separators unless `measure` is false.
  void Start(bool measure = true);
  // Power cycle with other contents: a TPM that nobody knows.
  void ReplaceWithFreshOne();
  // Extends the SHA-256 bank's PCR.
  void ExtendPcr(uint32_t index, ByteView digest);

  // Handles in use in the range that begins at `first`: 0x80000000 transient
  // objects, 0x81000000 persistent ones, 0x02000000 loaded sessions.
  [[nodiscard]] std::vector<uint32_t> Handles(uint32_t first) const;
  // Leaves an object loaded, as a crashed program does: a restricted ECDSA key
  // with the authorisation "right", under dictionary attack protection.
  uint32_t LeaveObject();
  // Leaves an HMAC session loaded.
  uint32_t LeaveSession();
  // Makes a left object persistent.
  void Persist(uint32_t object, uint32_t handle);
  // The response code of a quote by `key` with the authorisation `password`.
  uint32_t TryQuote(uint32_t key, std::string_view password);

 private:
  void Launch();
  // Sends a command with this body; throws unless it succeeds.
  Bytes Command(uint32_t code, bool with_session, const Bytes& body) const;
  void ExtendBank(uint32_t index, uint16_t bank, ByteView digest);

  TempDir dir_;
  std::filesystem::path socket_;
  std::atomic<pid_t> pid_ = -1;  // a proxy's thread may kill it
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_SWTPM_H_
