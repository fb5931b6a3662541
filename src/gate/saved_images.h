#ifndef VMATTEST_GATE_SAVED_IMAGES_H_
#define VMATTEST_GATE_SAVED_IMAGES_H_

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/handles.h"
#include "base/mutex.h"
#include "gate/kept_file.h"
#include "gate/open_file.h"

namespace vmattest::gate {

// Which saved memory a VM may go on from (rule S12): the one that was saved
// when it stopped last, once.
//
//   Launched -> [Stopped -> Saved -> digest] -> Check -> Launched
//
// Launched() counts every image of the VM as used: from then on it has run on.
// Between, Stopped() remembers the vTPM's state and the managed save image, and
// Saved() (libvirt's event) says that memory was saved; without it nothing is
// registered. Digests are made off the caller's thread. On disk, a file for
// each VM, so that it outlives the daemon. Callable from any thread.
class SavedImages {
 public:
  static constexpr size_t kMostOfVm = 8;  // the oldest used one is forgotten
  static constexpr size_t kMostPending = 256;
  static constexpr size_t kMaxFile = 24u << 20;
  static constexpr size_t kMaxVtpm = 16u << 20;

  using Note = std::function<void(std::string kind,
                                  std::map<std::string, std::string> facts)>;
  // `note` takes an event for the host event log and must not block.
  SavedImages(std::filesystem::path folder, const Clock& clock, Note note);
  SavedImages(const SavedImages&) = delete;
  SavedImages& operator=(const SavedImages&) = delete;
  // Breaks off what is being read.
  ~SavedImages();

  // It runs now, as `xml` (of `prepare`) defines it; `approved_by` names the
  // reference by which a verdict let it in, empty if none did. An error: that
  // could not be kept, so an old image might count again.
  absl::Status Launched(const std::string& vm_uuid, std::string_view xml,
                        std::string_view approved_by) EXCLUDES_LOCK(mutex_);

  struct Stop {
    std::string vm_uuid;
    std::shared_ptr<const UniqueFd> image;  // managed save; or null
    std::shared_ptr<const UniqueFd> vtpm;   // or null: it has none
  };
  // It runs no more; of a VM that did not run nothing changes.
  void Stopped(const Stop& stop) EXCLUDES_LOCK(mutex_);
  // What libvirt's events say of it, never blocking: it stopped, with its
  // memory saved or not; it started without the gate.
  void Ended(const std::string& vm_uuid, bool saved) EXCLUDES_LOCK(mutex_);
  void StartedUnseen(const std::string& vm_uuid);

  // An operator says which file the VM of that name or UUID was saved to.
  // INVALID_ARGUMENT: it is no complete image of that VM. FAILED_PRECONDITION:
  // its memory was not saved when it stopped last, an image of that stop is
  // known already, or the file was written to at another time than between the
  // VM's start and its stop. Else as Check.
  absl::Status Register(const std::string& vm, int image,
                        MonotonicTime deadline) EXCLUDES_LOCK(mutex_);

  struct Found {
    enum class Outcome : uint8_t { kKnown, kUnknown, kUsed, kOtherVtpm };
    Outcome outcome = Outcome::kUnknown;
    OpenFileDigest image;
    std::string defined_xml;  // kKnown: of the launch that was saved
    std::string approved_by;  // kKnown: as Launched() was told
    std::string expected;     // kOtherVtpm: digests
    std::string found;
  };
  // Whether the VM may go on from `image` with that vTPM state (-1: none).
  // Waits for a registration under way. DEADLINE_EXCEEDED, CANCELLED: not in
  // time. Else as DigestOpen.
  absl::StatusOr<Found> Check(const std::string& vm_uuid, int image, int vtpm,
                              MonotonicTime deadline) EXCLUDES_LOCK(mutex_);

 private:
  struct Image {
    DigestBytes digest;
    bool used = false;
  };
  struct Record {
    std::string defined_xml;
    std::string approved_by;
    int64_t launched_ms = 0;
    int64_t stopped_ms = 0;  // 0: it runs
    bool saved = false;
    DigestBytes vtpm;  // at the stop; empty: none
    std::vector<Image> images;
  };
  struct Pending {
    std::shared_ptr<const UniqueFd> image;  // null: no managed one
    uint64_t turn = 0;                      // the how manieth stop that is
  };
  // Some memory could be let in by it, now or once it is registered.
  static bool MayCount(const Record& record);
  absl::StatusOr<Record> Load(const std::string& vm_uuid) const;
  absl::Status Store(const std::string& vm_uuid, const Record& record,
                     Lasting lasting = Lasting::kOnDisk) const;
  absl::Status MarkSaved(const std::string& vm_uuid, const Pending& pending)
      EXCLUDES_LOCK(mutex_);
  // Of one stop; 0: of whichever is waited for.
  void DropPending(const std::string& vm_uuid, uint64_t turn)
      EXCLUDES_LOCK(mutex_);
  bool IsPending(const std::string& vm_uuid, uint64_t turn)
      EXCLUDES_LOCK(mutex_);
  absl::Status AwaitPending(const std::string& vm_uuid, MonotonicTime deadline)
      EXCLUDES_LOCK(mutex_);
  absl::Status Add(const std::string& vm_uuid, int image,
                   const std::function<bool()>& cancelled)
      EXCLUDES_LOCK(files_);
  std::function<bool()> Until(MonotonicTime deadline) const;

  const std::filesystem::path folder_;
  const Clock& clock_;
  const Note note_;
  std::atomic<bool> stopping_ = false;
  Mutex files_;  // over reading, changing and writing a record
  Mutex mutex_;
  CondVar changed_;
  // Stops of which libvirt has yet to say why, or whose image is being read.
  std::map<std::string, Pending> pending_ GUARDED_BY(mutex_);
  uint64_t turns_ GUARDED_BY(mutex_) = 0;
  ThreadPool work_{"gate-images", 1, kMostPending};
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_SAVED_IMAGES_H_
