#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "crypto/digest.h"
#include "image/hash_file.h"
#include "image/segments.h"

namespace vmattest::image {
namespace {

// From disk, reads of 256 KiB cost a twelfth of the rate (file_digest_bench).
constexpr size_t kReadSize = size_t{1} << 20;
constexpr size_t kSlots = 4;

// A ring of buffers between whoever reads and the one thread that hashes. The
// reader beside it may start late, or never: the hashing thread reads itself
// what nobody has taken yet, so that it never waits for a queued task.
class ReadRing {
 public:
  explicit ReadRing(const HashJob& job)
      : job_(job), segments_(job.fd, job.size, kReadSize) {}

  // Reads ahead until the end or Stop(). An executor may run it on the hashing
  // thread itself, where nobody would ever empty the ring.
  void ReadAhead() {
    while (std::this_thread::get_id() != hashing_thread_ && WaitForSlot()) {
      Fill(/*behind_only=*/false);
    }
  }

  // The next segment, in order; nullopt at the end. What `content` shows stays
  // valid until the next call. For one thread only.
  struct Piece {
    size_t size = 0;
    bool hole = false;
    ByteView content;  // empty for a hole
  };
  absl::StatusOr<std::optional<Piece>> Next() {
    {
      const MutexLock lock(mutex_);
      consumed_ = wanted_;
      changed_.NotifyAll();
    }
    Fill(/*behind_only=*/true);
    const MutexLock lock(mutex_);
    while (taken_ > wanted_ && !slot(wanted_).ready) {
      changed_.Wait(mutex_);
    }
    if (taken_ <= wanted_) {
      return std::nullopt;  // Fill() found the end
    }
    Slot& full = slot(wanted_++);
    if (!full.status.ok()) {
      return std::exchange(full.status, absl::OkStatus());
    }
    return Piece{full.segment.size, full.segment.hole,
                 full.segment.hole
                     ? ByteView()
                     : ByteView(full.buffer.get(), full.segment.size)};
  }

  // Ends reading ahead and waits for a read that is under way.
  void Stop() {
    const MutexLock lock(mutex_);
    segments_.Stop();
    ended_ = true;
    changed_.NotifyAll();
    while (reading_ > 0) {
      changed_.Wait(mutex_);
    }
  }

 private:
  struct Slot {
    Segments::Segment segment;
    std::unique_ptr<uint8_t[]> buffer;
    absl::Status status;
    bool ready = false;
  };

  Slot& slot(uint64_t number) REQUIRES_LOCK(mutex_) {
    return slots_[number % kSlots];
  }

  bool WaitForSlot() {
    const MutexLock lock(mutex_);
    while (!ended_ && taken_ >= consumed_ + kSlots) {
      changed_.Wait(mutex_);
    }
    return !ended_;
  }

  // Takes the next segment and reads it; with `behind_only` only if the hashing
  // thread would otherwise wait for it.
  void Fill(bool behind_only) {
    Slot* mine = nullptr;
    {
      const MutexLock lock(mutex_);
      if (ended_ || taken_ >= consumed_ + kSlots ||
          (behind_only && taken_ > wanted_)) {
        return;
      }
      const auto segment = segments_.Next();
      if (!segment) {
        ended_ = true;
        changed_.NotifyAll();
        return;
      }
      mine = &slot(taken_++);
      mine->segment = *segment;
      mine->ready = false;
      ++reading_;
    }
    absl::Status status = Read(*mine);
    const MutexLock lock(mutex_);
    mine->status = std::move(status);
    mine->ready = true;
    --reading_;
    changed_.NotifyAll();
  }

  absl::Status Read(Slot& mine) {
    if (mine.segment.hole) {
      return absl::OkStatus();
    }
    if (!mine.buffer) {
      mine.buffer = std::make_unique_for_overwrite<uint8_t[]>(kReadSize);
    }
    return ReadExactly(job_.fd, {mine.buffer.get(), mine.segment.size},
                       mine.segment.offset, job_.name);
  }

  const HashJob& job_;
  const std::thread::id hashing_thread_ = std::this_thread::get_id();
  Segments segments_;
  Mutex mutex_;
  CondVar changed_;
  // Written by whoever took the slot while it is not ready.
  std::array<Slot, kSlots> slots_;
  uint64_t taken_ GUARDED_BY(mutex_) = 0;     // segments given to a reader
  uint64_t wanted_ GUARDED_BY(mutex_) = 0;    // the next one to hash
  uint64_t consumed_ GUARDED_BY(mutex_) = 0;  // those hashed
  size_t reading_ GUARDED_BY(mutex_) = 0;
  bool ended_ GUARDED_BY(mutex_) = false;
};

absl::StatusOr<DigestBytes> HashRing(const HashJob& job,
                                     HashAlgorithm algorithm, ReadRing& ring) {
  static constexpr std::array<uint8_t, 65536> kZeros{};
  Hasher hasher(algorithm);
  while (true) {
    if (job.cancelled && job.cancelled()) {
      return CancelledStatus(job.name);
    }
    ASSIGN_OR_RETURN(const std::optional<ReadRing::Piece> piece, ring.Next());
    if (!piece) {
      return hasher.Finish();
    }
    hasher.Update(piece->content);
    for (size_t left = piece->hole ? piece->size : 0; left > 0;) {
      const size_t now = std::min(left, kZeros.size());
      hasher.Update(ByteView(kZeros.data(), now));
      left -= now;
    }
    if (job.progress) {
      job.progress(piece->size);
    }
  }
}

}  // namespace

absl::StatusOr<DigestBytes> HashInOrder(const HashJob& job,
                                        HashAlgorithm algorithm,
                                        Executor& executor) {
  const auto ring = std::make_shared<ReadRing>(job);
  if (job.size > kReadSize) {
    // Refused: this thread reads as well.
    (void)executor.Submit([ring] { ring->ReadAhead(); });
  }
  absl::StatusOr<DigestBytes> digest = HashRing(job, algorithm, *ring);
  ring->Stop();
  return digest;
}

}  // namespace vmattest::image
