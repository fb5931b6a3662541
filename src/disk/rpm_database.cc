#include "disk/rpm_database.h"

#include <fmt/format.h>
#include <rpm/rpmtag.h>

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "disk/handles.h"
#include "disk/leaf_list.h"
#include "disk/sqlite_wal.h"

namespace vmattest::disk {
namespace {

constexpr size_t kMaxPackages = 100'000;
constexpr uint64_t kMaxDatabase = uint64_t{192} << 20;
constexpr uint64_t kMaxWal = uint64_t{64} << 20;
constexpr int kMaxBlob = 64 << 20;
// SQLite's virtual machine: a plain scan needs about ten steps a row.
constexpr int kStepsPerCall = 1'000'000;
constexpr int kMaxCalls = 200;
// What every header in a package begins with, and none in the database.
constexpr uint8_t kHeaderMagic[] = {0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0};

std::string TextOf(Header header, rpmTagVal tag) {
  const char* text = headerGetString(header, tag);
  return text != nullptr ? text : "";
}

// The digest over the header as the package had it; rpm keeps that part
// unchanged and adds its own entries around it.
std::string ManifestOf(Header header) {
  rpmtd_s region{};
  if (headerGet(header, RPMTAG_HEADERIMMUTABLE, &region, HEADERGET_DEFAULT) ==
      0) {
    return "header=none";
  }
  const ByteView bytes(static_cast<const uint8_t*>(region.data), region.count);
  const DigestBytes digest =
      HashParts(HashAlgorithm::kSha256, {kHeaderMagic, bytes});
  rpmtdFreeData(&region);
  std::string manifest = "header=" + DigestText(HashAlgorithm::kSha256, digest);
  const std::string recorded = TextOf(header, RPMTAG_SHA256HEADER);
  if (!recorded.empty() && recorded != ToHex(digest)) {
    manifest += " recorded=sha256:" + recorded;
  }
  return manifest;
}

absl::Status SqliteError(sqlite3* database, std::string_view what) {
  const int code = sqlite3_errcode(database);
  const std::string message =
      fmt::format("{}: {}", what, sqlite3_errmsg(database));
  return code == SQLITE_INTERRUPT || code == SQLITE_NOMEM ||
                 code == SQLITE_TOOBIG
             ? absl::ResourceExhaustedError(message)
             : absl::DataLossError(message);
}

// A database whose every byte is hostile, its schema included: no triggers, no
// views, no functions of the schema's choice, and an end to all work.
absl::StatusOr<SqliteHandle> OpenInMemory(Bytes& content, int& calls) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(
      ":memory:", &opened,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
      nullptr);
  SqliteHandle database(opened);
  if (code != SQLITE_OK) {
    return absl::InternalError("SQLite cannot be opened");
  }
  sqlite3_db_config(opened, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_limit(opened, SQLITE_LIMIT_LENGTH, kMaxBlob);
  sqlite3_progress_handler(
      opened, kStepsPerCall,
      [](void* count) {
        return ++*static_cast<int*>(count) > kMaxCalls ? 1 : 0;
      },
      &calls);
  const auto size = static_cast<sqlite3_int64>(content.size());
  if (sqlite3_deserialize(opened, "main", content.data(), size, size,
                          SQLITE_DESERIALIZE_READONLY) != SQLITE_OK ||
      sqlite3_exec(opened, "PRAGMA cell_size_check=ON", nullptr, nullptr,
                   nullptr) != SQLITE_OK) {
    return SqliteError(opened, "opening the database");
  }
  return database;
}

absl::StatusOr<Bytes> ReadFileOf(FileTree& tree, const std::string& path,
                                 uint64_t max_size) {
  ASSIGN_OR_RETURN(const FileEntry found, tree.Find(path));
  ASSIGN_OR_RETURN(const auto file, tree.Open(found));
  return ReadAll(*file, max_size);
}

}  // namespace

absl::StatusOr<InstalledPackage> ParseRpmHeader(ByteView blob) {
  Bytes copy = ToBytes(blob);
  if (copy.size() < 8 || copy.size() > static_cast<size_t>(kMaxBlob)) {
    return absl::DataLossError("a damaged header");
  }
  const RpmHeaderHandle header(headerImport(
      copy.data(), static_cast<unsigned>(copy.size()), HEADERIMPORT_COPY));
  if (!header) {
    return absl::DataLossError("a damaged header");
  }
  InstalledPackage package;
  package.name = TextOf(header.get(), RPMTAG_NAME);
  package.architecture = TextOf(header.get(), RPMTAG_ARCH);
  if (package.name.empty()) {
    return absl::DataLossError("a header without a name");
  }
  if (headerIsEntry(header.get(), RPMTAG_EPOCH) != 0) {
    package.version =
        fmt::format("{}:", headerGetNumber(header.get(), RPMTAG_EPOCH));
  }
  package.version += TextOf(header.get(), RPMTAG_VERSION) + "-" +
                     TextOf(header.get(), RPMTAG_RELEASE);
  package.manifest = ManifestOf(header.get());
  return package;
}

absl::StatusOr<std::vector<InstalledPackage>> ParseRpmDatabase(Bytes database,
                                                               ByteView wal) {
  RETURN_IF_ERROR(ApplyWal(wal, kMaxDatabase, database));
  int calls = 0;
  ASSIGN_OR_RETURN(const SqliteHandle handle, OpenInMemory(database, calls));
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(handle.get(),
                         "SELECT blob FROM Packages ORDER BY rowid", -1,
                         &prepared, nullptr) != SQLITE_OK) {
    return SqliteError(handle.get(), "reading the packages");
  }
  const StatementHandle statement(prepared);
  std::vector<InstalledPackage> packages;
  int code = sqlite3_step(prepared);
  for (; code == SQLITE_ROW; code = sqlite3_step(prepared)) {
    const auto* blob =
        static_cast<const uint8_t*>(sqlite3_column_blob(prepared, 0));
    const auto size =
        static_cast<size_t>(std::max(sqlite3_column_bytes(prepared, 0), 0));
    ASSIGN_OR_RETURN(InstalledPackage package,
                     ParseRpmHeader({blob, blob != nullptr ? size : 0}));
    packages.push_back(std::move(package));
    if (packages.size() > kMaxPackages) {
      return absl::ResourceExhaustedError("more than 100000 packages");
    }
  }
  if (code != SQLITE_DONE) {
    return SqliteError(handle.get(), "reading the packages");
  }
  return packages;
}

absl::StatusOr<std::vector<InstalledPackage>> ReadRpmDatabase(
    FileTree& tree, const std::string& folder) {
  absl::StatusOr<Bytes> database =
      ReadFileOf(tree, folder + "/rpmdb.sqlite", kMaxDatabase);
  if (absl::IsNotFound(database.status())) {
    if (tree.Find(folder + "/Packages.db").ok()) {
      return absl::UnimplementedError("rpm database format ndb");
    }
    if (tree.Find(folder + "/Packages").ok()) {
      return absl::UnimplementedError("rpm database format Berkeley DB");
    }
  }
  RETURN_IF_ERROR(database.status());
  absl::StatusOr<Bytes> wal =
      ReadFileOf(tree, folder + "/rpmdb.sqlite-wal", kMaxWal);
  if (absl::IsNotFound(wal.status())) {
    wal = Bytes();
  }
  RETURN_IF_ERROR(wal.status());
  return ParseRpmDatabase(*std::move(database), *wal);
}

}  // namespace vmattest::disk
