#ifndef VMATTEST_ATTESTOR_STATEMENT_SEALER_H_
#define VMATTEST_ATTESTOR_STATEMENT_SEALER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "evidence/envelope.h"
#include "evidence/host_identity.h"
#include "evidence/statement.h"
#include "signing/signer.h"

namespace vmattest::attestor {

// An envelope, signed, and the keys that made its quote.
struct SealedStatement {
  evidence::Envelope envelope;
  std::vector<evidence::KeyCertification> keys;
};

// Fills in what every statement of this host says about host, time and
// signatures, and has it signed. Callable from any thread; never blocks.
class StatementSealer {
 public:
  struct Options {
    std::function<uint64_t()> unmanaged;  // may be empty
  };
  // Both must outlive what is under way.
  StatementSealer(signing::Signer& signer, const Clock& clock, Options options)
      : signer_(signer), clock_(clock), options_(std::move(options)) {}

  // What a statement would say of the host now; none if no log is kept.
  [[nodiscard]] std::optional<evidence::HostState> HostNow() const;

  // `header` has what is the caller's to say: VM, nonce, measured_at, and the
  // host's state if that must be from before. `encode`
  // makes the payload of the whole header; it may be called twice, since what
  // signs can change meanwhile. `done` is called once, from the caller's
  // thread or the signer's: hand over, return.
  //   UNAVAILABLE: no TPM yet. ABORTED: keys change all the time. Else as
  //   Signer::Seal.
  using Encode = std::function<Bytes(const evidence::StatementHeader&)>;
  using Done = std::function<void(absl::StatusOr<SealedStatement>)>;
  void Seal(std::string_view payload_type, evidence::StatementHeader header,
            Encode encode, MonotonicTime deadline, Done done);

 private:
  struct Work;
  [[nodiscard]] std::optional<evidence::HostState> HostOf(
      const signing::SignerState& state) const;
  void Try(const std::shared_ptr<Work>& work);
  void Signed(const std::shared_ptr<Work>& work,
              absl::StatusOr<std::vector<evidence::Signature>> signatures);
  absl::StatusOr<SealedStatement> Finish(
      Work& work, std::vector<evidence::Signature> signatures);

  signing::Signer& signer_;
  const Clock& clock_;
  const Options options_;
  std::atomic<uint64_t> sequence_ = 0;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_STATEMENT_SEALER_H_
