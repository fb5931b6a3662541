#ifndef VMATTEST_VERIFIERD_ETCD_CONNECTION_H_
#define VMATTEST_VERIFIERD_ETCD_CONNECTION_H_

#include <filesystem>
#include <memory>
#include <utility>

#include "base/mutex.h"
#include "config/etcd_settings.h"
#include "etcd/grpc/grpc_key_values.h"

namespace vmattest::verifierd {

// A cluster from the configuration, and a file that says how far it was, so
// that one that was rolled back is noticed after a restart too. Callable from
// any thread.
class EtcdConnection {
 public:
  // `seen_file` need not be there. Errors of GrpcKeyValues::Create; DATA_LOSS:
  // the file is malformed.
  static absl::StatusOr<std::unique_ptr<EtcdConnection>> Open(
      const config::EtcdSettings& settings, std::filesystem::path seen_file);

  [[nodiscard]] etcd::KeyValues& values() const { return *values_; }
  // Call every few seconds.
  absl::Status Note();

 private:
  EtcdConnection(std::filesystem::path file, const etcd::Seen& noted,
                 std::unique_ptr<etcd::GrpcKeyValues> values)
      : file_(std::move(file)), values_(std::move(values)), noted_(noted) {}

  const std::filesystem::path file_;
  const std::unique_ptr<etcd::GrpcKeyValues> values_;
  Mutex mutex_;
  etcd::Seen noted_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_ETCD_CONNECTION_H_
