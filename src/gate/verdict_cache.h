#ifndef VMATTEST_GATE_VERDICT_CACHE_H_
#define VMATTEST_GATE_VERDICT_CACHE_H_

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/status.h"
#include "vmattest/types/digest.h"
#include "vmattest/types/tpm.h"

namespace vmattest::gate {

// What a verdict was about. Anything else, and it holds no more (rule S16).
struct VerdictBinding {
  std::string vm_uuid;
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  DigestBytes root;      // of configuration and content digests
  std::string measured;  // content and inside policy, "chain/none"
  Bytes ak;              // the host's AK, public area
  uint32_t reset_count = 0;
  uint32_t restart_count = 0;
  std::string reference;  // "NAME@REVISION"
  uint64_t revocation_epoch = 0;
  friend auto operator<=>(const VerdictBinding&,
                          const VerdictBinding&) = default;
};

// The newest affirming verdicts of each VM, for as long as their references
// allow by the TPM's clock. On disk, a file for each VM, so that they outlive
// the daemon; the folder is ours alone, and a file that is damaged counts for
// nothing. Callable from any thread.
class VerdictCache {
 public:
  static constexpr size_t kMaxEntries = 16384;
  static constexpr size_t kMaxFile = 16u << 20;
  static constexpr size_t kMaxOfVm = 8;

  explicit VerdictCache(std::filesystem::path folder);

  // The token, if one holds at `now`.
  [[nodiscard]] std::optional<std::string> Find(const VerdictBinding& binding,
                                                const TpmClock& now) const
      EXCLUDES_LOCK(mutex_);
  // Holds for `seconds` from `from`. An error: it is kept in memory alone.
  absl::Status Keep(const VerdictBinding& binding, std::string ear,
                    const TpmClock& from, uint32_t seconds)
      EXCLUDES_LOCK(mutex_);
  // Of that VM, all of them.
  void Forget(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);

 private:
  struct Entry {
    std::string ear;
    uint64_t from_ms = 0;
    uint64_t until_ms = 0;
  };
  absl::Status Load(const std::filesystem::path& file) EXCLUDES_LOCK(mutex_);
  void MakeRoom(const VerdictBinding& binding, const TpmClock& now)
      REQUIRES_LOCK(mutex_);
  [[nodiscard]] Bytes Encode(const std::string& vm_uuid) const
      REQUIRES_LOCK(mutex_);

  const std::filesystem::path folder_;
  mutable Mutex mutex_;
  // By binding, whose first member is the VM.
  std::map<VerdictBinding, Entry> entries_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_VERDICT_CACHE_H_
