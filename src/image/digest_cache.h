#ifndef VMATTEST_IMAGE_DIGEST_CACHE_H_
#define VMATTEST_IMAGE_DIGEST_CACHE_H_

#include <compare>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "image/content_digest.h"
#include "image/content_file.h"

namespace vmattest::image {

// Remembers digests of files that have not changed since (rule S14). The
// argument why a hit is right, and what it rests on, is
// docs/adr/2026-11-21-digest-cache.md; in short, an entry is made only if
//   - it is a regular file on a local file system that moves ctime with every
//     change, stores through a mapping included: ext2/3/4, XFS, btrfs;
//   - its ctime lies at least 2 s before hashing began and did not move since;
//   - nobody had it open or mapped for writing, before and after hashing;
// and it is a hit only for the same boot, mount, device, inode, size, mtime and
// ctime, while again nobody has the file open for writing.
//
// A file with fs-verity (rule S15) is remembered by its verity digest and size
// instead: nobody can change it, so times, writers and which file it is do not
// matter, and a copy with equal parameters is a hit.
//
// In memory only, bounded, least recently used first out. Callable from any
// thread. A look-up costs a few system calls and never reads content.
class DigestCache {
 public:
  struct Options {
    bool enabled = true;
    size_t max_entries = 4096;
  };
  struct Counters {
    uint64_t entries = 0;
    uint64_t hits = 0;
    uint64_t misses = 0;
  };
  // What an entry is found by. The boot id is part of it although entries do
  // not outlive a boot: stamps mean nothing across one, and a copy of memory
  // may outlive it.
  struct Key {
    std::string boot_id;
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    FileStamp stamp;     // nothing but the size if `verity` is set
    std::string verity;  // "sha256:HEX"
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  // What Begin() saw, for Store().
  using Candidate = Key;

  // Off, whatever the options say, if the kernel does not tell its boot id.
  DigestCache(const Clock& clock, Options options);

  std::optional<ContentDigest> Find(const ContentFile& file,
                                    HashAlgorithm algorithm)
      EXCLUDES_LOCK(mutex_);

  // Call before the first byte is read, then Store() after the last; nullopt if
  // the file cannot be cached now. `file` was opened just before.
  [[nodiscard]] std::optional<Candidate> Begin(const ContentFile& file,
                                               HashAlgorithm algorithm) const;
  void Store(const Candidate& candidate, const ContentFile& file,
             const ContentDigest& digest) EXCLUDES_LOCK(mutex_);

  // Forgets every entry; the counters of hits and misses stay.
  void Flush() EXCLUDES_LOCK(mutex_);
  [[nodiscard]] Counters counters() const EXCLUDES_LOCK(mutex_);

 private:
  struct Entry {
    Key key;
    ContentDigest digest;
  };

  // Under which `file` is remembered as it is now; nullopt: under none.
  [[nodiscard]] std::optional<Key> KeyOf(const ContentFile& file,
                                         HashAlgorithm algorithm) const;

  const Clock& clock_;
  const Options options_;
  const std::string boot_id_;  // empty: off
  mutable Mutex mutex_;
  std::list<Entry> entries_ GUARDED_BY(mutex_);  // last used first
  std::map<Key, std::list<Entry>::iterator> index_ GUARDED_BY(mutex_);
  uint64_t hits_ GUARDED_BY(mutex_) = 0;
  uint64_t misses_ GUARDED_BY(mutex_) = 0;
};

// Whether the file system with this statfs(2) magic number may be trusted to
// move ctime with every change of content, and to know all its writers. An
// allow-list: network file systems and FUSE answer for somebody else, on
// overlayfs a writer of the lower file is not seen, and on tmpfs a store
// through a mapping moves nothing.
bool IsCacheableFileSystem(int64_t statfs_magic);

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_DIGEST_CACHE_H_
