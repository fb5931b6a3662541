#include "daemon/observed_ports.h"

#include <utility>

namespace vmattest::daemon {
namespace {

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <class T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace

absl::StatusOr<image::ContentDigest> ObservedDigester::Digest(
    const Request& request) {
  Request observed = request;
  observed.progress = [this, inner = request.progress](uint64_t bytes) {
    activity_.Note();
    if (inner) {
      inner(bytes);
    }
  };
  observed.cancelled = [this, inner = request.cancelled] {
    return stopped_.load(std::memory_order_relaxed) || (inner && inner());
  };
  return inner_.Digest(observed);
}

template <class Result>
Result ObservedVmStore::Observe(Result result) {
  activity_.Note();
  health_.Set("store", StatusOf(result));
  return result;
}

absl::StatusOr<uint64_t> ObservedVmStore::Record(
    const inventory::VmRecord& vm, const inventory::EventRecord& event) {
  return Observe(inner_.Record(vm, event));
}

absl::StatusOr<std::optional<inventory::VmRecord>> ObservedVmStore::Find(
    const Uuid& uuid) {
  return Observe(inner_.Find(uuid));
}

absl::StatusOr<std::vector<inventory::VmRecord>> ObservedVmStore::List(
    const std::optional<Uuid>& after, size_t limit) {
  return Observe(inner_.List(after, limit));
}

absl::StatusOr<std::vector<inventory::EventRecord>> ObservedVmStore::Events(
    uint64_t after_sequence, size_t limit) {
  return Observe(inner_.Events(after_sequence, limit));
}

absl::StatusOr<uint64_t> ObservedVmStore::LastSequence() {
  return Observe(inner_.LastSequence());
}

absl::StatusOr<SecretBytes> ObservedVmStore::Salt(const Uuid& uuid) {
  return Observe(inner_.Salt(uuid));
}

absl::Status ObservedVmStore::Trim(size_t keep) {
  return Observe(inner_.Trim(keep));
}

}  // namespace vmattest::daemon
