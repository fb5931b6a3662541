// Hostile identities through all of enrolment's rules: whatever is trusted can
// be challenged, and what is merged of it keeps what was known.

#include <cstdlib>

#include "enrollment/credential.h"
#include "enrollment/host_rules.h"
#include "evidence/tpm_structures.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void Run(ByteView bytes) {
  const auto identity = wire::ParseHostIdentity(bytes);
  if (!identity.ok()) {
    return;
  }
  const Verdict verdict = enrollment::CheckIdentity(*identity);
  Require(verdict.trusted() == verdict.reasons.empty());
  if (verdict.trusted()) {
    const auto name = evidence::NameOf(identity->ak_public);
    Require(name.ok() &&
            enrollment::MakeCredential(identity->ek_public, *name,
                                       SecretBytes(Bytes(32, 0x42)))
                .ok());
  }
  enrollment::KnownHost known;
  known.identity = *identity;
  known.identity.keys.clear();
  known.state = enrollment::HostState::kEnrolled;
  const auto updated = enrollment::UpdateKeys(known, *identity, "");
  if (updated.ok() && updated->verdict.trusted()) {
    Require(updated->identity.revocations.size() >=
            known.identity.revocations.size());
  }
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::Run({data, size});
  return 0;
}
