#include "verifierd/open_store.h"

#include <utility>

#include "fmt/format.h"
#include "verification/etcd/etcd_verifier_store.h"
#include "verification/sqlite/sqlite_verifier_store.h"
#include "verifierd/etcd_connection.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "verifier.db";
constexpr char kSeenFile[] = "etcd-seen";

class FileStore final : public OpenStore {
 public:
  explicit FileStore(std::unique_ptr<verification::VerifierStore> store)
      : store_(std::move(store)) {}
  verification::VerifierStore& store() override { return *store_; }
  absl::Status Note() override { return absl::OkStatus(); }

 private:
  const std::unique_ptr<verification::VerifierStore> store_;
};

class EtcdStore final : public OpenStore {
 public:
  EtcdStore(std::unique_ptr<EtcdConnection> etcd,
            std::unique_ptr<verification::VerifierStore> store)
      : etcd_(std::move(etcd)), store_(std::move(store)) {}
  verification::VerifierStore& store() override { return *store_; }
  absl::Status Note() override { return etcd_->Note(); }

 private:
  const std::unique_ptr<EtcdConnection> etcd_;
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
  ASSIGN_OR_RETURN_WITH(auto connection,
                        EtcdConnection::Open(*etcd, folder / kSeenFile),
                        "store.etcd");
  ASSIGN_OR_RETURN_WITH(
      auto store,
      verification::EtcdVerifierStore::Open(connection->values(),
                                            {.prefix = etcd->prefix}, clock),
      "store.etcd");
  return std::make_unique<EtcdStore>(std::move(connection), std::move(store));
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
  ASSIGN_OR_RETURN_WITH(const auto connection,
                        EtcdConnection::Open(etcd, folder / kSeenFile),
                        "store.etcd");
  return Annotate(verification::EtcdVerifierStore::Import(
                      connection->values(), {.prefix = etcd.prefix}, clock,
                      *from, progress),
                  "store.etcd");
}

}  // namespace vmattest::verifierd
