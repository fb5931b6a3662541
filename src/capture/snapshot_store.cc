#include "capture/snapshot_store.h"

#include <algorithm>

#include "base/file.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "wire/codec.h"

namespace vmattest::capture {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEvidence = ".evidence";
constexpr std::string_view kPages = ".pages";
constexpr std::string_view kOfGuest = "-g";
constexpr size_t kGuestShare = 4;
constexpr size_t kSuffixBytes = 4;
constexpr mode_t kMode = 0600;

// Anything else might be a path.
bool IsId(std::string_view id) {
  return !id.empty() && id.size() <= 64 &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'g') || c == '-';
         });
}

absl::StatusOr<evidence::StateStatement> StatementOf(ByteView file) {
  ASSIGN_OR_RETURN(const evidence::Evidence evidence,
                   wire::ParseEvidence(file));
  return wire::ParseStateStatement(evidence.envelope.payload);
}

}  // namespace

std::vector<std::string> SnapshotStore::Ids(const Uuid& vm) const {
  std::vector<std::string> ids;
  std::error_code error;
  for (fs::directory_iterator entries(folder_ / ToString(vm), error), end;
       !error && entries != end; entries.increment(error)) {
    const fs::path& path = entries->path();
    if (path.extension() == kEvidence && IsId(path.stem().string())) {
      ids.push_back(path.stem().string());
    }
  }
  std::sort(ids.rbegin(), ids.rend());
  return ids;
}

absl::StatusOr<std::string> SnapshotStore::Add(const Uuid& vm,
                                               int64_t time_unix_ms,
                                               ByteView evidence,
                                               ByteView pages,
                                               bool asked_by_guest) {
  const fs::path folder = folder_ / ToString(vm);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return ErrnoStatus(error.value(), folder.string());
  }
  const std::string id =
      fmt::format("{:016}-{}{}", time_unix_ms, ToHex(RandomBytes(kSuffixBytes)),
                  asked_by_guest ? kOfGuest : "");
  const MutexLock lock(mutex_);
  // The pages first: a snapshot is there when its evidence is.
  RETURN_IF_ERROR(
      WriteFileAtomic(folder / (id + std::string(kPages)), pages, kMode));
  RETURN_IF_ERROR(
      WriteFileAtomic(folder / (id + std::string(kEvidence)), evidence, kMode));
  std::vector<std::string> ids = Ids(vm);
  std::erase_if(ids, [asked_by_guest](const std::string& kept) {
    return kept.ends_with(kOfGuest) != asked_by_guest;
  });
  const size_t keep =
      asked_by_guest ? std::max<size_t>(1, keep_ / kGuestShare) : keep_;
  for (size_t i = keep; i < ids.size(); ++i) {
    fs::remove(folder / (ids[i] + std::string(kEvidence)), error);
    fs::remove(folder / (ids[i] + std::string(kPages)), error);
  }
  return id;
}

absl::StatusOr<std::vector<SnapshotRecord>> SnapshotStore::List(const Uuid& vm,
                                                                size_t limit) {
  std::vector<SnapshotRecord> records;
  for (const std::string& id : Ids(vm)) {
    if (records.size() == limit) {
      break;
    }
    const absl::StatusOr<Bytes> file = Evidence(vm, id);
    if (!file.ok()) {
      continue;
    }
    if (auto statement = StatementOf(*file); statement.ok()) {
      records.push_back({id, *std::move(statement)});
    }
  }
  return records;
}

absl::StatusOr<Bytes> SnapshotStore::Load(const Uuid& vm, const std::string& id,
                                          std::string_view suffix,
                                          size_t most) {
  if (!IsId(id)) {
    return absl::NotFoundError(fmt::format("no snapshot '{}'", id));
  }
  const fs::path path = folder_ / ToString(vm) / (id + std::string(suffix));
  absl::StatusOr<Bytes> file = ReadFile(path, most);
  return absl::IsNotFound(file.status())
             ? absl::NotFoundError(fmt::format("no snapshot '{}'", id))
             : file;
}

absl::StatusOr<Bytes> SnapshotStore::Evidence(const Uuid& vm,
                                              const std::string& id) {
  return Load(vm, id, kEvidence, wire::kMaxEvidenceSize);
}

absl::StatusOr<Bytes> SnapshotStore::Pages(const Uuid& vm,
                                           const std::string& id) {
  return Load(vm, id, kPages, wire::kMaxSnapshotPagesSize);
}

}  // namespace vmattest::capture
