// Hostile snapshots: what parses writes itself again, byte for byte; a policy
// is one or an error, and what it selects is RAM. The first byte chooses.

#include <cstdlib>

#include "snapshot/page_check.h"
#include "snapshot/policy.h"
#include "snapshot/selection.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void RunPolicy(ByteView bytes) {
  const auto policy = snapshot::ParsePolicy(AsText(bytes), "fuzzed");
  if (!policy.ok()) {
    return;
  }
  const std::vector<memory::AddressRange> ram = {{0, 0xA0000},
                                                 {0x100000, 0x800000}};
  const auto regions = snapshot::Select(*policy, ram, Bytes(16, 1), nullptr);
  if (!regions.ok()) {
    return;
  }
  for (const snapshot::SelectedRegion& region : *regions) {
    uint64_t last = 0;
    for (const memory::AddressRange& range : region.ranges) {
      Require(range.begin < range.end && range.begin >= last);
      Require(range.end <= 0xA0000 ||
              (range.begin >= 0x100000 && range.end <= 0x800000));
      last = range.end;
    }
  }
}

void Run(ByteView bytes) {
  if (bytes.empty()) {
    return;
  }
  const ByteView rest = bytes.subspan(1);
  switch (bytes[0] % 3) {
    case 0:
      if (const auto statement = wire::ParseStateStatement(rest);
          statement.ok()) {
        Require(wire::EncodeStateStatement(*statement) == ToBytes(rest));
      }
      return;
    case 1:
      if (const auto pages = wire::ParseSnapshotPages(rest); pages.ok()) {
        Require(wire::EncodeSnapshotPages(*pages) == ToBytes(rest));
        evidence::StateStatement other;
        for (const auto& region : pages->regions) {
          other.regions.push_back({region.name, "low", 0, 1, {}, {}, 0, 0, ""});
        }
        Require(pages->regions.empty() ||
                !snapshot::CheckPages(other, *pages).empty());
      }
      return;
    default:
      RunPolicy(rest);
  }
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::Run({data, size});
  return 0;
}
