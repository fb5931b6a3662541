#ifndef VMATTEST_CAPTURE_SNAPSHOT_STORE_H_
#define VMATTEST_CAPTURE_SNAPSHOT_STORE_H_

#include <filesystem>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/uuid.h"
#include "evidence/statement.h"

namespace vmattest::capture {

// A snapshot that is kept: what its evidence says, and under which name.
struct SnapshotRecord {
  std::string id;  // sorts by time: "0001764172800000-1f2e3d4c"
  evidence::StateStatement statement;
};

// Snapshots as files, two for each, written so that a crash leaves all or
// nothing of them; the newest `keep` of each VM, and besides those the newest
// quarter as many that the VM asked for itself: it must not push out the
// others. Any thread; blocks on the disk.
//
//   FOLDER/UUID/ID.evidence   a serialised Evidence
//   FOLDER/UUID/ID.pages      a serialised SnapshotPages
//
// The ids of those that the VM asked for end in "-g".
class SnapshotStore {
 public:
  SnapshotStore(std::filesystem::path folder, size_t keep)
      : folder_(std::move(folder)), keep_(keep) {}

  // Returns the id.
  absl::StatusOr<std::string> Add(const Uuid& vm, int64_t time_unix_ms,
                                  ByteView evidence, ByteView pages,
                                  bool asked_by_guest = false)
      EXCLUDES_LOCK(mutex_);
  // The newest first, at most `limit`. A file that does not parse is left out.
  absl::StatusOr<std::vector<SnapshotRecord>> List(const Uuid& vm,
                                                   size_t limit);
  // NOT_FOUND: there is none of that id, or it was not kept.
  absl::StatusOr<Bytes> Evidence(const Uuid& vm, const std::string& id);
  absl::StatusOr<Bytes> Pages(const Uuid& vm, const std::string& id);

 private:
  absl::StatusOr<Bytes> Load(const Uuid& vm, const std::string& id,
                             std::string_view suffix, size_t most);
  // Names without suffix, the newest first.
  [[nodiscard]] std::vector<std::string> Ids(const Uuid& vm) const;

  const std::filesystem::path folder_;
  const size_t keep_;
  Mutex mutex_;
};

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_SNAPSHOT_STORE_H_
