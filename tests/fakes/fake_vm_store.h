#ifndef VMATTEST_TESTS_FAKES_FAKE_VM_STORE_H_
#define VMATTEST_TESTS_FAKES_FAKE_VM_STORE_H_

#include <deque>
#include <map>

#include "base/mutex.h"
#include "inventory/vm_store.h"

namespace vmattest::testing {

// An inventory in memory. Callable from any thread.
class FakeVmStore final : public inventory::VmStore {
 public:
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

  // Every call fails with it until it is OK again.
  void FailWith(const absl::Status& status);

 private:
  Mutex mutex_;
  absl::Status failure_ GUARDED_BY(mutex_);
  std::map<Uuid, inventory::VmRecord> vms_ GUARDED_BY(mutex_);
  std::deque<inventory::EventRecord> events_ GUARDED_BY(mutex_);
  std::map<Uuid, Bytes> salts_ GUARDED_BY(mutex_);
  uint64_t last_sequence_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_VM_STORE_H_
