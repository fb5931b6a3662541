#ifndef VMATTEST_VERIFIERD_OPEN_STORE_H_
#define VMATTEST_VERIFIERD_OPEN_STORE_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "config/etcd_settings.h"
#include "verification/verifier_store.h"

namespace vmattest::verifierd {

// A verifier's store, and what it stands on.
class OpenStore {
 public:
  virtual ~OpenStore() = default;
  virtual verification::VerifierStore& store() = 0;
  // Call every few seconds: writes down how far a shared store was, so that
  // one that was rolled back is noticed after a restart too.
  virtual absl::Status Note() = 0;
};

// In etcd, or else the file verifier.db in `folder`. `clock` must outlive it.
// Errors of SqliteVerifierStore, EtcdVerifierStore and etcd::GrpcKeyValues.
absl::StatusOr<std::unique_ptr<OpenStore>> OpenVerifierStore(
    const std::filesystem::path& folder,
    const std::optional<config::EtcdSettings>& etcd, const Clock& clock);

// Moves what verifier.db in `folder` has into etcd, where nothing may be yet;
// again after it was interrupted. The file stays. NOT_FOUND: no such file.
absl::Status MoveToEtcd(
    const std::filesystem::path& folder, const config::EtcdSettings& etcd,
    const Clock& clock,
    const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_OPEN_STORE_H_
