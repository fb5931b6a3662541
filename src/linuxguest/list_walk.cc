#include "linuxguest/list_walk.h"

#include <fmt/format.h>

#include <unordered_set>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kPrev = 8;

bool IsLimit(const absl::Status& status) {
  return !status.ok() && !absl::IsNotFound(status) && !absl::IsDataLoss(status);
}

}  // namespace

absl::StatusOr<ListEntries> WalkList(VirtualReader& reader, uint64_t head,
                                     size_t most) {
  ListEntries entries;
  std::unordered_set<uint64_t> seen;
  uint64_t at = head;
  while (true) {
    const absl::StatusOr<uint64_t> next = reader.Pointer(at);
    if (IsLimit(next.status())) {
      return next.status();
    }
    if (!next.ok()) {
      entries.problem = fmt::format("leads to 0x{:x}, where no memory is", at);
      return entries;
    }
    const absl::StatusOr<uint64_t> back = reader.Pointer(*next + kPrev);
    if (IsLimit(back.status())) {
      return back.status();
    }
    if (!back.ok()) {
      entries.problem =
          fmt::format("leads to 0x{:x}, where no memory is", *next);
      return entries;
    }
    if (*back != at) {
      entries.problem =
          fmt::format("the entry after 0x{:x} does not point back to it", at);
      return entries;
    }
    if (*next == head) {
      return entries;
    }
    if (!seen.insert(*next).second) {
      entries.problem = fmt::format("comes back to 0x{:x}", *next);
      return entries;
    }
    if (entries.addresses.size() >= most) {
      entries.problem = fmt::format("has more than {} entries", most);
      return entries;
    }
    entries.addresses.push_back(*next);
    at = *next;
  }
}

}  // namespace vmattest::linuxguest
