#ifndef VMATTEST_VERIFIERD_STACK_H_
#define VMATTEST_VERIFIERD_STACK_H_

#include <filesystem>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/executor.h"
#include "base/status.h"
#include "config/verifierd_config.h"
#include "rpc/verification_parts.h"
#include "verification/webhook.h"

namespace vmattest::verifierd {

// A verifier from its configuration: keys, store, use-cases, webhook. For
// vmattest-verifierd, and for a daemon that embeds one. Built and destroyed on
// the main thread; in between callable from any thread.
class VerificationStack {
 public:
  struct Options {
    std::filesystem::path folder;  // of state, ours alone
    config::VerificationSettings settings;
    std::optional<config::EtcdSettings> etcd;  // else a file in `folder`
    size_t max_watchers = 64;
    size_t watcher_lag = 1024;
    bool enrols = true;  // hosts come over the wire, with certificates of TPMs
  };
  // Errors name the file or key of the configuration.
  static absl::StatusOr<std::unique_ptr<VerificationStack>> Open(
      const Options& options, const Clock& clock);
  VerificationStack(const VerificationStack&) = delete;
  VerificationStack& operator=(const VerificationStack&) = delete;
  ~VerificationStack();

  // For rpc::VerificationServices. `watch` needs room for a task of each
  // watcher.
  [[nodiscard]] rpc::VerificationParts Parts(Executor& requests,
                                             Executor& watch) const;
  [[nodiscard]] verification::Appraiser& appraiser() const;
  [[nodiscard]] verification::HostRegistry& hosts() const;
  [[nodiscard]] verification::ReferenceBook& references() const;
  [[nodiscard]] verification::OrderBook& orders() const;
  [[nodiscard]] verification::SnapshotComparer& comparer() const;
  [[nodiscard]] verification::VerifierStore& store() const;
  [[nodiscard]] verification::ResultKeys& result_keys() const;
  // Of the Trust Authority's key.
  [[nodiscard]] const document::PublicKey& authority() const;
  [[nodiscard]] const document::PrivateKey& authority_key() const;

  // Reads the folders of approvers and of TPM manufacturers' certificates
  // again. What a key that is gone has signed before stays. An error names the
  // folder; then the old ones go on counting.
  absl::Status Reload();
  // Call every few seconds, one thread at a time: drops what is kept long
  // enough. OK: the store works. Blocks as long as that is away.
  absl::Status Tick();

  struct Counters {
    verification::DecisionLog::Counters decisions;
    size_t challenges = 0;
    verification::Webhook::Counters webhook;
  };
  [[nodiscard]] Counters counters() const;

 private:
  struct Owners;
  explicit VerificationStack(std::unique_ptr<Owners> owners);
  std::unique_ptr<Owners> owners_;
};

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_STACK_H_
