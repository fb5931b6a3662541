#ifndef VMATTEST_ETCD_GRPC_GRPC_KEY_VALUES_H_
#define VMATTEST_ETCD_GRPC_GRPC_KEY_VALUES_H_

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "etcd/key_values.h"

namespace vmattest::etcd {

// Which cluster, and how far it was. Kept by whoever wants to notice that it
// was rolled back while he was away.
struct Seen {
  uint64_t cluster_id = 0;  // 0: none yet
  int64_t revision = 0;
  friend bool operator==(const Seen&, const Seen&) = default;
};

// An etcd cluster through its v3 gRPC API: mutual TLS, the user is the CN of
// the client certificate. Goes to another endpoint when one does not answer.
// Before an endpoint is used, and again after each failure, it is asked for
// its version. Answers of another cluster, and revisions below one that was
// seen before the question, are DATA_LOSS: etcd itself does not notice when
// its data directories are rolled back.
class GrpcKeyValues final : public KeyValues {
 public:
  struct Options {
    std::vector<std::string> endpoints;  // "HOST:PORT", in order of preference
    std::filesystem::path certificate;   // PEM, read again when they change
    std::filesystem::path private_key;
    std::filesystem::path ca;  // of the servers
    // Of the servers' certificates; empty: each endpoint's host.
    std::string server_name;
    // Takes servers below CheckVersion's floor too.
    bool allow_unsafe_version = false;
    std::chrono::milliseconds attempt_timeout{2'000};  // of one endpoint
    Seen seen;
  };
  // Connects to nobody yet. INVALID_ARGUMENT: no endpoint. NOT_FOUND,
  // PERMISSION_DENIED, INVALID_ARGUMENT name a file. Needs rpc::DemandTls13().
  static absl::StatusOr<std::unique_ptr<GrpcKeyValues>> Create(
      const Options& options);
  ~GrpcKeyValues() override;

  absl::StatusOr<RangeResult> Range(const RangeQuery& query,
                                    MonotonicTime deadline) override;
  absl::StatusOr<Outcome> Transact(const Transaction& transaction,
                                   MonotonicTime deadline) override;
  absl::StatusOr<bool> AwaitChange(const std::string& key,
                                   const std::string& end, int64_t revision,
                                   MonotonicTime deadline) override;
  absl::StatusOr<int64_t> GrantLease(std::chrono::seconds ttl,
                                     MonotonicTime deadline) override;
  absl::Status KeepAlive(int64_t lease, MonotonicTime deadline) override;
  absl::Status RevokeLease(int64_t lease, MonotonicTime deadline) override;

  [[nodiscard]] Seen seen() const;

 private:
  class Sentinel;
  class Member;
  class Members;
  explicit GrpcKeyValues(const Options& options);

  const std::unique_ptr<Members> members_;
};

// What an etcd server's version ("3.5.33") must be: 3.5.33, 3.6.14, or 3.7 and
// later. In older ones a read-only user writes through a nested transaction
// (CVE-2026-33343), among others. FAILED_PRECONDITION says what is wanted.
absl::Status CheckVersion(std::string_view version);

}  // namespace vmattest::etcd

#endif  // VMATTEST_ETCD_GRPC_GRPC_KEY_VALUES_H_
