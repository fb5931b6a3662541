#ifndef VMATTEST_INVENTORY_VM_STORE_H_
#define VMATTEST_INVENTORY_VM_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/secret_bytes.h"
#include "base/status.h"
#include "base/uuid.h"
#include "vmattest/types/digest.h"

namespace vmattest::inventory {

struct MeasurementRecord {
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  DigestBytes root;  // empty if it failed
  uint64_t leaf_count = 0;
  int64_t time_unix_ms = 0;
  std::string cause;
  std::string error;  // why it failed; empty if it did not
  friend bool operator==(const MeasurementRecord&,
                         const MeasurementRecord&) = default;
};

struct VmRecord {
  Uuid uuid;
  std::string name;
  std::string state;  // "running"... or "undefined"
  bool persistent = false;
  std::optional<MeasurementRecord> last_measurement;
  friend bool operator==(const VmRecord&, const VmRecord&) = default;
};

struct EventRecord {
  uint64_t sequence = 0;  // given by the store, gapless, from 1
  int64_t time_unix_ms = 0;
  Uuid uuid;
  std::string name;
  std::string kind;
  std::optional<MeasurementRecord> measurement;
  bool changed = false;  // root differs from the VM's previous one
  friend bool operator==(const EventRecord&, const EventRecord&) = default;
};

// What the daemon remembers about its VMs. Durable: a call that returned OK
// survives a crash, and VM and event are written together or not at all.
// Callable from any thread; blocks on the disk.
//   DATA_LOSS: the file is damaged. RESOURCE_EXHAUSTED: the disk is full.
class VmStore {
 public:
  virtual ~VmStore() = default;
  // Stores `vm` and appends `event`; returns the event's sequence number.
  virtual absl::StatusOr<uint64_t> Record(const VmRecord& vm,
                                          const EventRecord& event) = 0;
  virtual absl::StatusOr<std::optional<VmRecord>> Find(const Uuid& uuid) = 0;
  // By UUID, those after `after` if given.
  virtual absl::StatusOr<std::vector<VmRecord>> List(
      const std::optional<Uuid>& after, size_t limit) = 0;
  virtual absl::StatusOr<std::vector<EventRecord>> Events(
      uint64_t after_sequence, size_t limit) = 0;
  virtual absl::StatusOr<uint64_t> LastSequence() = 0;
  // The secret salt of a VM's leaves: 32 random bytes, made by the first call
  // for that VM and the same from then on, also after the VM is gone.
  virtual absl::StatusOr<SecretBytes> Salt(const Uuid& uuid) = 0;
  // Drops all but the newest `keep` events and VMs that are "undefined" and no
  // longer in them.
  virtual absl::Status Trim(size_t keep) = 0;
};

}  // namespace vmattest::inventory

#endif  // VMATTEST_INVENTORY_VM_STORE_H_
