#include "verifierd/etcd_connection.h"

#include <charconv>

#include "base/file.h"
#include "fmt/format.h"

namespace vmattest::verifierd {
namespace {

constexpr size_t kMaxSeen = 64;

// "CLUSTER REVISION\n", the cluster in hexadecimal as etcd shows it.
absl::StatusOr<etcd::Seen> LoadSeen(const std::filesystem::path& file) {
  const absl::StatusOr<Bytes> bytes = ReadFile(file, kMaxSeen);
  if (absl::IsNotFound(bytes.status())) {
    return etcd::Seen();
  }
  RETURN_IF_ERROR(bytes.status());
  const std::string_view text = AsText(*bytes);
  const char* const end = text.data() + text.size();
  etcd::Seen seen;
  const auto cluster = std::from_chars(text.data(), end, seen.cluster_id, 16);
  if (cluster.ec != std::errc() || cluster.ptr == end) {
    return absl::DataLossError(fmt::format("{} is malformed", file.string()));
  }
  const auto revision = std::from_chars(cluster.ptr + 1, end, seen.revision);
  if (revision.ec != std::errc()) {
    return absl::DataLossError(fmt::format("{} is malformed", file.string()));
  }
  return seen;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdConnection>> EtcdConnection::Open(
    const config::EtcdSettings& settings, std::filesystem::path seen_file) {
  etcd::GrpcKeyValues::Options options;
  ASSIGN_OR_RETURN(options.seen, LoadSeen(seen_file));
  options.endpoints = settings.endpoints;
  options.certificate = settings.certificate;
  options.private_key = settings.private_key;
  options.ca = settings.ca;
  options.server_name = settings.server_name;
  options.allow_unsafe_version = settings.allow_unsafe_version;
  ASSIGN_OR_RETURN(auto values, etcd::GrpcKeyValues::Create(options));
  return std::unique_ptr<EtcdConnection>(new EtcdConnection(
      std::move(seen_file), options.seen, std::move(values)));
}

absl::Status EtcdConnection::Note() {
  const etcd::Seen seen = values_->seen();
  const MutexLock lock(mutex_);
  if (seen == noted_) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(WriteFileAtomic(
      file_, AsBytes(fmt::format("{:x} {}\n", seen.cluster_id, seen.revision)),
      0600));
  noted_ = seen;
  return absl::OkStatus();
}

}  // namespace vmattest::verifierd
