// Hostile host identities, as JSON and as a message.

#include <cstdlib>

#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void Run(ByteView bytes) {
  if (const auto identity = wire::ParseHostIdentity(bytes); identity.ok()) {
    const Bytes again = wire::EncodeHostIdentity(*identity);
    Require(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  }
  if (const auto identity = wire::HostIdentityFromJson(AsText(bytes));
      identity.ok()) {
    const auto again =
        wire::HostIdentityFromJson(wire::HostIdentityToJson(*identity));
    Require(again.ok() && wire::EncodeHostIdentity(*again) ==
                              wire::EncodeHostIdentity(*identity));
  }
  verifier::Anchors anchors;
  const absl::Status added = anchors.Add(AsText(bytes));
  Require(added.ok() == (anchors.host_ids().size() == 1));
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::Run({data, size});
  return 0;
}
