#include "image/digest_cache.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/vfs.h>

#include <utility>

#include "base/file.h"

namespace vmattest::image {
namespace {

// In <xfs/xfs_fs.h>, which is no package of ours.
constexpr int64_t kXfsMagic = 0x58465342;
// Coarser than any timestamp of the file systems on the list.
constexpr int64_t kSettledNs = 2'000'000'000;

std::string ReadBootId() {
  const absl::StatusOr<Bytes> id =
      ReadFile("/proc/sys/kernel/random/boot_id", 64);
  return id.ok() ? std::string(AsText(*id)) : std::string();
}

// A read lease is granted only while no descriptor or mapping may write to the
// file. It is given back at once: a guest that starts meanwhile must not wait
// for us, and every later change moves ctime.
bool HasNoWriter(int fd) {
  // Should somebody open for writing in between, the default signal, SIGIO,
  // would end the process; this one is ignored by default.
  if (fcntl(fd, F_SETSIG, SIGURG) != 0 || fcntl(fd, F_SETLEASE, F_RDLCK) != 0) {
    return false;
  }
  return fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

bool IsOnCacheableFileSystem(int fd) {
  struct statfs info = {};
  return fstatfs(fd, &info) == 0 && IsCacheableFileSystem(info.f_type);
}

// In this order: nobody asks a network file system for a lease.
bool IsSettled(const ContentFile& file) {
  return !file.block_device && IsOnCacheableFileSystem(file.fd.get()) &&
         HasNoWriter(file.fd.get());
}

}  // namespace

bool IsCacheableFileSystem(int64_t statfs_magic) {
  switch (statfs_magic) {
    case EXT4_SUPER_MAGIC:  // ext2 and ext3 too
    case BTRFS_SUPER_MAGIC:
    case kXfsMagic:
      return true;
    default:
      return false;
  }
}

DigestCache::DigestCache(const Clock& clock, Options options)
    : clock_(clock),
      options_(options),
      boot_id_(options.enabled && options.max_entries > 0 ? ReadBootId()
                                                          : std::string()) {}

std::optional<DigestCache::Key> DigestCache::KeyOf(
    const ContentFile& file, HashAlgorithm algorithm) const {
  if (boot_id_.empty()) {
    return std::nullopt;
  }
  Key key{boot_id_, algorithm, {}, ""};
  if (file.verity) {
    key.stamp.size = file.size;
    key.verity = ToString(*file.verity);
    return key;
  }
  // The writers first, then the stamp: a change between the two moves it.
  if (!IsSettled(file)) {
    return std::nullopt;
  }
  const absl::StatusOr<FileStamp> stamp = StampOf(file.fd.get(), "");
  if (!stamp.ok()) {
    return std::nullopt;
  }
  key.stamp = *stamp;
  return key;
}

std::optional<ContentDigest> DigestCache::Find(const ContentFile& file,
                                               HashAlgorithm algorithm) {
  if (boot_id_.empty()) {
    return std::nullopt;
  }
  const std::optional<Key> key = KeyOf(file, algorithm);
  const MutexLock lock(mutex_);
  if (const auto found = key ? index_.find(*key) : index_.end();
      found != index_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    ++hits_;
    ContentDigest digest = found->second->digest;
    digest.cached = true;
    return digest;
  }
  ++misses_;
  return std::nullopt;
}

std::optional<DigestCache::Candidate> DigestCache::Begin(
    const ContentFile& file, HashAlgorithm algorithm) const {
  const int64_t now_ns =
      std::chrono::nanoseconds(clock_.Now().time_since_epoch()).count();
  std::optional<Candidate> candidate = KeyOf(file, algorithm);
  if (candidate && !file.verity &&
      now_ns - candidate->stamp.ctime_ns < kSettledNs) {
    return std::nullopt;
  }
  return candidate;
}

void DigestCache::Store(const Candidate& candidate, const ContentFile& file,
                        const ContentDigest& digest) {
  std::optional<Key> key = KeyOf(file, candidate.algorithm);
  if (key != candidate) {
    return;
  }
  const MutexLock lock(mutex_);
  if (const auto found = index_.find(*key); found != index_.end()) {
    entries_.erase(found->second);
    index_.erase(found);
  }
  entries_.push_front(Entry{*key, digest});
  index_.emplace(*std::move(key), entries_.begin());
  while (entries_.size() > options_.max_entries) {
    index_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

void DigestCache::Flush() {
  const MutexLock lock(mutex_);
  entries_.clear();
  index_.clear();
}

DigestCache::Counters DigestCache::counters() const {
  const MutexLock lock(mutex_);
  return {entries_.size(), hits_, misses_};
}

}  // namespace vmattest::image
