#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "crypto/blake3_tree.h"
#include "fmt/format.h"
#include "image/hash_file.h"
#include "image/segments.h"

namespace vmattest::image {
namespace {

constexpr size_t kReadSize = size_t{1} << 18;
constexpr uint64_t kMaxSize = uint64_t{1} << 50;
// Blocks whose values are folded into one as soon as all are there.
constexpr uint64_t kGroup = 1024;

// Shared by the threads of one digest. A task that starts late finds no segment
// left and touches nothing of the caller's.
class BlockWork {
 public:
  explicit BlockWork(const HashJob& job)
      : job_(job),
        blocks_((job.size + kBlake3BlockSize - 1) / kBlake3BlockSize),
        segments_(job.fd, job.size, kBlake3BlockSize) {}

  void Run() {
    std::unique_ptr<uint8_t[]> buffer;
    while (const auto segment = Take()) {
      if (!buffer) {
        buffer = std::make_unique_for_overwrite<uint8_t[]>(kReadSize);
      }
      Finish(*segment, HashSegment(*segment, {buffer.get(), kReadSize}));
    }
  }

  // Waits for the other threads' last blocks.
  absl::StatusOr<DigestBytes> Await() {
    const MutexLock lock(mutex_);
    while (running_ > 0) {
      changed_.Wait(mutex_);
    }
    if (!failure_.ok()) {
      return std::exchange(failure_, absl::OkStatus());
    }
    if (blocks_ <= kGroup) {
      return FoldBlake3Root(std::move(groups_[0].values));
    }
    return FoldBlake3Root(std::move(folded_));
  }

 private:
  struct Group {
    std::vector<Blake3Value> values;
    uint64_t missing = 0;
  };

  std::optional<Segments::Segment> Take() {
    const MutexLock lock(mutex_);
    auto segment = segments_.Next();
    running_ += segment ? 1 : 0;
    return segment;
  }

  absl::StatusOr<Blake3Value> HashSegment(const Segments::Segment& segment,
                                          std::span<uint8_t> buffer) {
    if (job_.cancelled && job_.cancelled()) {
      return CancelledStatus(job_.name);
    }
    Blake3BlockHasher hasher(segment.index);
    if (segment.hole) {
      return hasher.UpdateZeros(segment.size).Finish();
    }
    for (size_t done = 0; done < segment.size;) {
      const auto piece =
          buffer.first(std::min(buffer.size(), segment.size - done));
      RETURN_IF_ERROR(
          ReadExactly(job_.fd, piece, segment.offset + done, job_.name));
      hasher.Update(piece);
      done += piece.size();
    }
    return hasher.Finish();
  }

  void Finish(const Segments::Segment& segment,
              absl::StatusOr<Blake3Value> value) {
    if (value.ok() && job_.progress) {
      job_.progress(segment.size);
    }
    const MutexLock lock(mutex_);
    if (value.ok()) {
      Store(segment.index, *value);
    } else {
      failure_.Update(std::move(value).status());
      segments_.Stop();
    }
    --running_;
    changed_.NotifyAll();
  }

  void Store(uint64_t index, const Blake3Value& value) REQUIRES_LOCK(mutex_) {
    const uint64_t number = index / kGroup;
    Group& group = groups_[number];
    if (group.values.empty()) {
      group.missing = std::min(kGroup, blocks_ - number * kGroup);
      group.values.resize(group.missing);
    }
    group.values[index % kGroup] = value;
    if (--group.missing > 0 || blocks_ <= kGroup) {
      return;
    }
    if (folded_.size() <= number) {
      folded_.resize(number + 1);
    }
    folded_[number] = FoldBlake3Values(std::move(group.values));
    groups_.erase(number);
  }

  const HashJob& job_;
  const uint64_t blocks_;
  Segments segments_;
  Mutex mutex_;
  CondVar changed_;
  size_t running_ GUARDED_BY(mutex_) = 0;
  absl::Status failure_ GUARDED_BY(mutex_);
  std::map<uint64_t, Group> groups_ GUARDED_BY(mutex_);
  std::vector<Blake3Value> folded_ GUARDED_BY(mutex_);
};

absl::StatusOr<DigestBytes> HashSingleBlock(const HashJob& job) {
  if (job.cancelled && job.cancelled()) {
    return CancelledStatus(job.name);
  }
  Bytes content(job.size);
  RETURN_IF_ERROR(ReadExactly(job.fd, content, 0, job.name));
  if (job.progress) {
    job.progress(job.size);
  }
  return Blake3(content);
}

}  // namespace

absl::Status CancelledStatus(const std::string& name) {
  return absl::CancelledError(fmt::format("{}: hashing was cancelled", name));
}

absl::StatusOr<DigestBytes> HashInBlocks(const HashJob& job, Executor& executor,
                                         size_t tasks) {
  if (job.size <= kBlake3BlockSize) {
    return HashSingleBlock(job);
  }
  if (job.size > kMaxSize) {
    return absl::InvalidArgumentError(
        fmt::format("{}: larger than 1 PiB", job.name));
  }
  const auto work = std::make_shared<BlockWork>(job);
  for (size_t i = 1; i < tasks; ++i) {
    if (!executor.Submit([work] { work->Run(); }).ok()) {
      break;
    }
  }
  work->Run();
  return work->Await();
}

}  // namespace vmattest::image
