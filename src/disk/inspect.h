#ifndef VMATTEST_DISK_INSPECT_H_
#define VMATTEST_DISK_INSPECT_H_

#include <chrono>
#include <functional>

#include "disk/block_source.h"
#include "inspection/disk_inspector.h"
#include "vmattest/types/digest.h"

// Looks into a disk: the whole of vmattest-worker's work on one. Made for a
// process that may read its descriptors and nothing else: no file is opened, no
// socket connected, no program run. The only threads it makes hash, and are
// gone when it returns. One thread at a time.

namespace vmattest::disk {

// What one disk may cost. What a byte limit cuts off is a leaf of type
// "unavailable", so equal disks give equal leaves; time ends the inspection.
struct InspectLimits {
  std::chrono::milliseconds time = std::chrono::minutes(2);  // of the inventory
  uint64_t read_bytes = uint64_t{8} << 30;                   // of the inventory
  size_t leaves = 20'000;
};

struct InspectOptions {
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  bool inventory = true;
  bool guest_digest = false;
  // That hash while this one reads: GuestDigest() of guest_digest.h.
  size_t hash_threads = 2;
  InspectLimits limits;
};

// Called with the guest-visible bytes that the digest covered since the last
// call, about once for 64 MiB; may be empty.
using Progress = std::function<void(uint64_t bytes)>;

// Loads what the C libraries load on first use, silences them, and sets the
// process's time zone to UTC. Call it once, before entering the sandbox and
// before there is a second thread. Afterwards Inspect() and the sources make
// these system calls only: pread64, lseek, close; poll, recvfrom, sendto,
// shutdown, fcntl, getpid for NBD; mmap, munmap, mremap, madvise, brk, futex,
// clock_gettime; for its threads clone (clone3 may fail), mprotect,
// set_robust_list, rseq, rt_sigprocmask, prctl(PR_SET_NAME), exit
// (tests/unit/disk/inspect_test.cc holds them to it).
void Prepare();

// The errors are those of BlockSource, and DEADLINE_EXCEEDED past the limit.
// What is inside being damaged, hostile or unknown is no error but a leaf.
// guest_digest is GuestDigest() of guest_digest.h.
absl::StatusOr<inspection::DiskReport> Inspect(BlockSource& disk,
                                               const InspectOptions& options,
                                               const Progress& progress);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_INSPECT_H_
