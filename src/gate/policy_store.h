#ifndef VMATTEST_GATE_POLICY_STORE_H_
#define VMATTEST_GATE_POLICY_STORE_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "document/document.h"
#include "gate/launch_verifier.h"
#include "reference/reference.h"

namespace vmattest::gate {

// What holds for which VM (rule S10): nothing but documents that an approver
// signed, and for VMs that none of them names the daemon's own configuration.
// Kept on disk, so that a verifier that is away changes nothing:
//
//   FOLDER/policy/NAME.document   the newest revision of each reference
//   FOLDER/policy/epoch           the verifier's revocation epoch
//   FOLDER/break-glass/*          orders; somebody puts them there, or the
//                                 verifier sends them (SERIAL.order)
//   FOLDER/break-glass/used       serials of those that were used
//
// A document once taken stays until it expires or a higher revision comes: who
// controls the way to the verifier cannot take demands away. Callable from any
// thread; blocks on the disk.
class PolicyStore {
 public:
  struct Options {
    std::filesystem::path folder;
    std::filesystem::path approvers;  // *.pub: keys that may sign
    reference::GateMode default_mode = reference::GateMode::kEnforce;
    bool strict_start = false;  // of every VM
  };
  // Makes the folders, reads approvers and documents. Documents that are not
  // genuine any more are left out, and the log says so. NOT_FOUND,
  // INVALID_ARGUMENT: an approver's key.
  static absl::StatusOr<std::unique_ptr<PolicyStore>> Open(Options options);

  struct Effective {
    reference::GateMode mode = reference::GateMode::kEnforce;
    std::optional<reference::Reference> reference;
    uint64_t revocation_epoch = 0;
    bool strict_start = false;  // only paused, through the daemon (S13)
  };
  [[nodiscard]] Effective For(const std::string& vm_uuid, WallTime now) const
      EXCLUDES_LOCK(mutex_);

  // What the verifier holds for this host: an epoch that only grows, and
  // documents, of which each is checked. Returns how many were new.
  absl::StatusOr<size_t> Take(const LaunchVerifier::HostPolicy& policy,
                              WallTime now) EXCLUDES_LOCK(mutex_);

  struct BreakGlass {
    std::string reason;
    std::string serial;  // hexadecimal
    std::string signer;
  };
  // Uses up an order for this VM on this host, if there is one that is genuine,
  // valid and unused: its serial is on disk, synchronously, before it counts.
  // NOT_FOUND: there is none. Else it could not be used up, and does not count.
  absl::StatusOr<BreakGlass> UseBreakGlass(const std::string& vm_uuid,
                                           const std::string& host_id,
                                           WallTime now) EXCLUDES_LOCK(mutex_);

 private:
  explicit PolicyStore(Options options) : options_(std::move(options)) {}
  absl::Status Load() EXCLUDES_LOCK(mutex_);
  absl::Status RaiseEpoch(uint64_t epoch) EXCLUDES_LOCK(mutex_);
  // Whether it is one that was not there.
  absl::StatusOr<bool> TakeOrder(ByteView document, WallTime now)
      EXCLUDES_LOCK(mutex_);
  bool IsNewer(const reference::Reference& reference) const
      REQUIRES_LOCK(mutex_);
  void Keep(reference::Reference reference) REQUIRES_LOCK(mutex_);

  const Options options_;
  std::vector<document::PublicKey> approvers_;  // as of Open()
  mutable Mutex mutex_;
  std::vector<reference::Reference> kept_ GUARDED_BY(mutex_);  // one a name
  uint64_t epoch_ GUARDED_BY(mutex_) = 0;
  std::set<std::string> used_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_POLICY_STORE_H_
