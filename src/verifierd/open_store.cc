#include "verifierd/open_store.h"

#include <charconv>
#include <utility>

#include "base/file.h"
#include "etcd/grpc/grpc_key_values.h"
#include "fmt/format.h"
#include "verification/etcd/etcd_verifier_store.h"
#include "verification/sqlite/sqlite_verifier_store.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "verifier.db";
constexpr char kSeenFile[] = "etcd-seen";
constexpr size_t kMaxSeen = 64;

class FileStore final : public OpenStore {
 public:
  explicit FileStore(std::unique_ptr<verification::VerifierStore> store)
      : store_(std::move(store)) {}
  verification::VerifierStore& store() override { return *store_; }
  absl::Status Note() override { return absl::OkStatus(); }

 private:
  const std::unique_ptr<verification::VerifierStore> store_;
};

// "CLUSTER REVISION\n", the cluster in hexadecimal as etcd shows it.
absl::StatusOr<etcd::Seen> LoadSeen(const fs::path& file) {
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

absl::StatusOr<std::unique_ptr<etcd::GrpcKeyValues>> Connect(
    const config::EtcdSettings& settings, const etcd::Seen& seen) {
  etcd::GrpcKeyValues::Options options;
  options.endpoints = settings.endpoints;
  options.certificate = settings.certificate;
  options.private_key = settings.private_key;
  options.ca = settings.ca;
  options.server_name = settings.server_name;
  options.allow_unsafe_version = settings.allow_unsafe_version;
  options.seen = seen;
  return etcd::GrpcKeyValues::Create(options);
}

class EtcdStore final : public OpenStore {
 public:
  EtcdStore(fs::path file, const etcd::Seen& noted,
            std::unique_ptr<etcd::GrpcKeyValues> etcd,
            std::unique_ptr<verification::VerifierStore> store)
      : file_(std::move(file)),
        noted_(noted),
        etcd_(std::move(etcd)),
        store_(std::move(store)) {}
  verification::VerifierStore& store() override { return *store_; }
  absl::Status Note() override {
    const etcd::Seen seen = etcd_->seen();
    if (seen == noted_) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(WriteFileAtomic(
        file_,
        AsBytes(fmt::format("{:x} {}\n", seen.cluster_id, seen.revision)),
        0600));
    noted_ = seen;
    return absl::OkStatus();
  }

 private:
  const fs::path file_;
  etcd::Seen noted_;
  const std::unique_ptr<etcd::GrpcKeyValues> etcd_;
  const std::unique_ptr<verification::VerifierStore> store_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OpenStore>> OpenVerifierStore(
    const fs::path& folder, const std::optional<config::EtcdSettings>& etcd,
    const Clock& clock) {
  if (!etcd) {
    ASSIGN_OR_RETURN(auto file,
                     verification::SqliteVerifierStore::Open(folder / kFile));
    return std::make_unique<FileStore>(std::move(file));
  }
  ASSIGN_OR_RETURN(const etcd::Seen seen, LoadSeen(folder / kSeenFile));
  ASSIGN_OR_RETURN_WITH(auto values, Connect(*etcd, seen), "store.etcd");
  ASSIGN_OR_RETURN_WITH(auto store,
                        verification::EtcdVerifierStore::Open(
                            *values, {.prefix = etcd->prefix}, clock),
                        "store.etcd");
  return std::make_unique<EtcdStore>(folder / kSeenFile, seen,
                                     std::move(values), std::move(store));
}

absl::Status MoveToEtcd(
    const fs::path& folder, const config::EtcdSettings& etcd,
    const Clock& clock,
    const std::function<void(uint64_t, uint64_t)>& progress) {
  const fs::path file = folder / kFile;
  if (std::error_code ignored; !fs::exists(file, ignored)) {
    return absl::NotFoundError(fmt::format("there is no {}", file.string()));
  }
  ASSIGN_OR_RETURN(auto from, verification::SqliteVerifierStore::Open(file));
  ASSIGN_OR_RETURN_WITH(auto values, Connect(etcd, etcd::Seen()), "store.etcd");
  return Annotate(verification::EtcdVerifierStore::Import(
                      *values, {.prefix = etcd.prefix}, clock, *from, progress),
                  "store.etcd");
}

}  // namespace vmattest::verifierd
