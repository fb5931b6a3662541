#ifndef VMATTEST_GATE_DISK_CONTINUITY_H_
#define VMATTEST_GATE_DISK_CONTINUITY_H_

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "image/content_digest.h"
#include "image/header_parser.h"
#include "vmattest/types/digest.h"

namespace vmattest::gate {

// Whether a VM's writable disks are at its start as they were at its last stop
// (`disk_continuity` of its reference). At the stop they are digested off the
// caller's thread, as they are measured; from a start until then nothing is
// known of them. On disk, a file for each VM, so that it outlives the daemon;
// a stop that was not seen, or a reading that was broken off, leaves no record.
// Callable from any thread.
class DiskContinuity {
 public:
  static constexpr size_t kMostPending = 1024;
  static constexpr size_t kMaxFile = 24u << 20;

  struct Parts {
    image::ContentDigester& digester;
    Executor* hashing;  // may be null
    image::HeaderParserFactory make_parser;
    const Clock& clock;
    // Takes an event for the host event log; must not block.
    std::function<void(std::string kind,
                       std::map<std::string, std::string> facts)>
        note;
  };
  DiskContinuity(std::filesystem::path folder, Parts parts);
  DiskContinuity(const DiskContinuity&) = delete;
  DiskContinuity& operator=(const DiskContinuity&) = delete;
  // Breaks off what is being read.
  ~DiskContinuity();

  // It runs now, as `xml` (of `prepare`) defines it. An error: that could not
  // be kept, so an old record might count again.
  absl::Status Launched(const std::string& vm_uuid, std::string_view xml,
                        HashAlgorithm algorithm) EXCLUDES_LOCK(mutex_);
  // It runs now, and nobody asks for its disks.
  absl::Status LaunchedWithout(const std::string& vm_uuid)
      EXCLUDES_LOCK(mutex_);
  // It runs no more; of a VM that did not run nothing changes.
  void Stopped(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);

  struct Difference {
    std::string leaf;  // "disk[vda]/chain[0]/content"
    std::string expected;
    std::string found;
  };
  struct Compared {
    // No record: `why`. Else differences, none if all is as it was.
    bool recorded = false;
    std::string why;
    std::vector<Difference> differences;
  };
  // Reads the disks that `xml` defines. Waits for a stop's reading that is
  // under way. DEADLINE_EXCEEDED, CANCELLED: not in time. Else as
  // ContentDigester, naming the leaf.
  absl::StatusOr<Compared> Compare(const std::string& vm_uuid,
                                   std::string_view xml, MonotonicTime deadline)
      EXCLUDES_LOCK(mutex_);

 private:
  using Digests = std::map<std::string, std::string>;  // leaf, hexadecimal
  struct Record {
    std::string defined_xml;
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    bool stopped = false;  // `disks` are known
    Digests disks;
  };
  absl::StatusOr<Record> Load(const std::string& vm_uuid) const;
  absl::Status Store(const std::string& vm_uuid, const Record& record) const;
  absl::StatusOr<Digests> Read(std::string_view xml, HashAlgorithm algorithm,
                               const std::function<bool()>& cancelled);
  absl::Status ReadStopped(const std::string& vm_uuid, uint64_t turn);
  // Of one reading; 0: of whichever is under way.
  void DropPending(const std::string& vm_uuid, uint64_t turn)
      EXCLUDES_LOCK(mutex_);

  const std::filesystem::path folder_;
  const Parts parts_;
  std::atomic<bool> stopping_ = false;
  Mutex files_;  // over writing a record
  Mutex mutex_;
  CondVar changed_;
  // Being read, and the how manieth reading that is.
  std::map<std::string, uint64_t> pending_ GUARDED_BY(mutex_);
  uint64_t turns_ GUARDED_BY(mutex_) = 0;
  ThreadPool work_{"gate-disks", 1, kMostPending};
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_DISK_CONTINUITY_H_
