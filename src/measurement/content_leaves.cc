#include "measurement/content_leaves.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "fmt/format.h"
#include "image/content_file.h"

namespace vmattest::measurement {
namespace {

constexpr size_t kMaxTasks = 8;

// One file and what became of it.
struct Job {
  std::string file;
  uint64_t expected_size = 0;
  bool may_be_absent = true;  // for every leaf that names it
  std::optional<absl::StatusOr<image::ContentDigest>> result;
};

// Shared by the caller and its tasks; outlives the call if a task of a full
// pool starts late, and then has nothing left to hand out.
class DigestRun {
 public:
  DigestRun(std::vector<Job> jobs, image::ContentDigester& digester,
            const MeasureOptions& options)
      : jobs_(std::move(jobs)), digester_(&digester), options_(options) {
    for (const Job& job : jobs_) {
      total_ += job.expected_size;
    }
  }

  // Takes files until none is left.
  void Work() {
    while (true) {
      size_t index = 0;
      {
        const MutexLock lock(mutex_);
        if (next_ == jobs_.size()) {
          return;
        }
        index = next_++;
        ++running_;
      }
      Job& job = jobs_[index];
      absl::StatusOr<image::ContentDigest> result = Digest(job);
      const bool accepted = result.ok() || (job.may_be_absent &&
                                            absl::IsNotFound(result.status()));
      const MutexLock lock(mutex_);
      job.result = std::move(result);
      if (!accepted) {
        failed_ = true;
        next_ = jobs_.size();
      }
      --running_;
      idle_.NotifyAll();
    }
  }

  // After Work(): waits for the files that others have begun.
  const std::vector<Job>& Wait() {
    const MutexLock lock(mutex_);
    while (running_ != 0) {
      idle_.Wait(mutex_);
    }
    return jobs_;
  }

 private:
  [[nodiscard]] bool Stopped() const {
    return failed_ || (options_.cancelled && options_.cancelled());
  }

  absl::StatusOr<image::ContentDigest> Digest(const Job& job) {
    if (Stopped()) {
      return absl::CancelledError(fmt::format("{}: cancelled", job.file));
    }
    image::ContentDigester::Request request;
    request.path = job.file;
    request.algorithm = options_.algorithm;
    request.fresh = options_.fresh;
    request.cancelled = [this] { return Stopped(); };
    std::atomic<uint64_t> reported = 0;
    if (options_.progress) {
      request.progress = [this, &reported](uint64_t bytes) {
        reported += bytes;
        Advance(bytes);
      };
    }
    absl::StatusOr<image::ContentDigest> digest = digester_->Digest(request);
    // What came from the cache was not reported byte by byte.
    if (digest.ok() && options_.progress && reported < job.expected_size) {
      Advance(job.expected_size - reported);
    }
    return digest;
  }

  void Advance(uint64_t bytes) {
    const MutexLock lock(progress_mutex_);
    done_ = std::min(done_ + bytes, total_);
    options_.progress(done_, total_);
  }

  std::vector<Job> jobs_;  // an entry belongs to the thread that took it
  image::ContentDigester* digester_;
  const MeasureOptions options_;
  uint64_t total_ = 0;
  std::atomic<bool> failed_ = false;
  Mutex mutex_;
  CondVar idle_;
  size_t next_ GUARDED_BY(mutex_) = 0;
  size_t running_ GUARDED_BY(mutex_) = 0;
  Mutex progress_mutex_;
  uint64_t done_ GUARDED_BY(progress_mutex_) = 0;
};

uint64_t SizeOf(const std::string& file) {
  const absl::StatusOr<image::ContentFile> opened = image::OpenContent(file);
  return opened.ok() ? opened->size : 0;
}

// Distinct files, largest first so that no large one starts last.
std::vector<Job> MakeJobs(const std::vector<ContentSource>& files) {
  std::map<std::string, Job> distinct;
  for (const ContentSource& source : files) {
    Job& job = distinct[source.file];
    if (job.file.empty()) {
      job.file = source.file;
      job.expected_size = SizeOf(source.file);
    }
    job.may_be_absent = job.may_be_absent && source.may_be_absent;
  }
  std::vector<Job> jobs;
  for (auto& [file, job] : distinct) {
    jobs.push_back(std::move(job));
  }
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) {
    return a.expected_size > b.expected_size;
  });
  return jobs;
}

std::string DigestValue(HashAlgorithm algorithm, const DigestBytes& digest) {
  return fmt::format("{}:{}", ToString(algorithm), ToHex(digest));
}

absl::Status AddLeaf(const ContentSource& source,
                     const absl::StatusOr<image::ContentDigest>& digest,
                     HashAlgorithm algorithm, ContentLeaves& out) {
  if (absl::IsNotFound(digest.status()) && source.may_be_absent) {
    out.leaves.push_back({source.leaf, LeafType::kUnavailable, "absent"});
    return absl::OkStatus();
  }
  RETURN_IF_ERROR_WITH(digest.status(), source.leaf);
  out.leaves.push_back(
      {source.leaf, LeafType::kDigest, DigestValue(algorithm, digest->digest)});
  if (digest->verity) {
    out.leaves.push_back({source.leaf + "/fs-verity", LeafType::kDigest,
                          image::ToString(*digest->verity)});
  }
  if (digest->cached) {
    out.cached.push_back({source.leaf, digest->since_unix_ms});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ContentLeaves> DigestContent(
    const std::vector<ContentSource>& files, image::ContentDigester& digester,
    Executor* work, const MeasureOptions& options) {
  std::vector<Job> jobs = MakeJobs(files);
  const size_t tasks = work == nullptr || jobs.empty()
                           ? 0
                           : std::min(jobs.size() - 1, kMaxTasks);
  const auto run =
      std::make_shared<DigestRun>(std::move(jobs), digester, options);
  for (size_t i = 0; i < tasks; ++i) {
    // A full pool is no error: the calling thread does the work.
    if (!work->Submit([run] { run->Work(); }).ok()) {
      break;
    }
  }
  run->Work();
  std::map<std::string_view, const Job*> done;
  for (const Job& job : run->Wait()) {
    done[job.file] = &job;
  }
  ContentLeaves leaves;
  absl::Status first_error;
  for (const ContentSource& source : files) {
    const Job& job = *done.at(source.file);
    if (!job.result) {
      continue;  // never begun: something failed before
    }
    const absl::Status status =
        AddLeaf(source, *job.result, options.algorithm, leaves);
    // What was cancelled because of another error does not explain anything.
    if (!status.ok() && (first_error.ok() || absl::IsCancelled(first_error))) {
      first_error = status;
    }
  }
  RETURN_IF_ERROR(first_error);
  return leaves;
}

}  // namespace vmattest::measurement
