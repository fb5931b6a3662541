#ifndef VMATTEST_DAEMON_OBSERVED_PORTS_H_
#define VMATTEST_DAEMON_OBSERVED_PORTS_H_

#include <atomic>
#include <cstdint>

#include "image/content_digest.h"
#include "inventory/vm_store.h"
#include "ops/health.h"

namespace vmattest::daemon {

// Work that gets done, as a number that grows: the watchdog looks at it.
class Activity {
 public:
  void Note() { count_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] uint64_t count() const {
    return count_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t> count_ = 0;
};

// A digester whose progress is activity, and which can be stopped: hashing a
// large image must not hold up the daemon's end. Callable from any thread.
class ObservedDigester final : public image::ContentDigester {
 public:
  ObservedDigester(image::ContentDigester& inner, Activity& activity)
      : inner_(inner), activity_(activity) {}
  // From now on everything is CANCELLED.
  void Stop() { stopped_ = true; }
  absl::StatusOr<image::ContentDigest> Digest(const Request& request) override;

 private:
  image::ContentDigester& inner_;
  Activity& activity_;
  std::atomic<bool> stopped_ = false;
};

// A store whose failures are the health of component "store".
class ObservedVmStore final : public inventory::VmStore {
 public:
  ObservedVmStore(inventory::VmStore& inner, ops::Health& health,
                  Activity& activity)
      : inner_(inner), health_(health), activity_(activity) {}

  absl::StatusOr<uint64_t> Record(const inventory::VmRecord& vm,
                                  const inventory::EventRecord& event) override;
  absl::StatusOr<std::optional<inventory::VmRecord>> Find(
      const Uuid& uuid) override;
  absl::StatusOr<std::vector<inventory::VmRecord>> List(
      const std::optional<Uuid>& after, size_t limit) override;
  absl::StatusOr<std::vector<inventory::EventRecord>> Events(
      uint64_t after_sequence, size_t limit) override;
  absl::StatusOr<uint64_t> LastSequence() override;
  absl::StatusOr<SecretBytes> Salt(const Uuid& uuid) override;
  absl::Status Trim(size_t keep) override;

 private:
  template <class Result>
  Result Observe(Result result);

  inventory::VmStore& inner_;
  ops::Health& health_;
  Activity& activity_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_OBSERVED_PORTS_H_
