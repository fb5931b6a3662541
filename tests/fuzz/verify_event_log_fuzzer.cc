// Hostile files of host event logs: as they are; with sound evidence put in,
// which no other log may pass for; and signed by the host as if it had written
// them, so that what is checked after the signatures is reached.

#include <algorithm>
#include <cstdlib>

#include "base/clock.h"
#include "crypto/digest.h"
#include "eventlog/bundle.h"
#include "support/host_log_evidence.h"
#include "vmattest/verifier/event_log.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

using testing::HostLogEvidence;

constexpr size_t kMaxSigned = 64;  // records that are worth the signing

struct Bed {
  testing::SoftHost host;
  HostLogEvidence sound{host};
  eventlog::Bundle bundle = sound.Build();
  verifier::Anchors anchors;
  Bed() {
    if (!anchors.Add(wire::HostIdentityToJson(sound.Identity())).ok()) {
      std::abort();
    }
  }
};

bool Trusts(std::string_view file, const Bed& bed, uint64_t from_record) {
  const WallTime now{
      std::chrono::milliseconds(testing::EvidenceBuilder::kTimeUnixMs)};
  verifier::EventLogPolicy policy;
  policy.from_record = from_record;
  const auto appraisal =
      verifier::VerifyEventLog(file, bed.anchors, policy, now);
  if (!appraisal.ok() ||
      appraisal->verdict.trusted() != appraisal->verdict.reasons.empty() ||
      (appraisal->verdict.trusted() && !appraisal->genuine)) {
    std::abort();
  }
  return appraisal->verdict.trusted();
}

// What the quote covers is all there, whatever follows it.
bool IsTheSoundLog(const eventlog::Bundle& bundle, const Bed& bed) {
  const auto same = [](const eventlog::CelRecord& a,
                       const eventlog::CelRecord& b) {
    return a.number == b.number && a.pcr == b.pcr &&
           a.content_type == b.content_type && a.content == b.content;
  };
  return bundle.boot_log == bed.bundle.boot_log &&
         bundle.records.size() >= bed.bundle.records.size() &&
         std::equal(bed.bundle.records.begin(), bed.bundle.records.end(),
                    bundle.records.begin(), same);
}

// The host's word on exactly this log.
Bytes Sign(const eventlog::Bundle& bundle, const Bed& bed) {
  HostLogEvidence evidence(bed.host);
  const uint64_t boot_record = evidence.log.boot_record();
  evidence.log = testing::HostLogBuilder();
  for (const eventlog::CelRecord& record : bundle.records) {
    evidence.log.AddRecord(record);
  }
  evidence.edit_statement = [&](evidence::HostLogStatement& statement) {
    statement.boot_record = boot_record;
    statement.boot_log_size = bundle.boot_log.size();
    statement.boot_log_digest =
        bundle.boot_log.empty() ? DigestBytes()
                                : Hash(HashAlgorithm::kSha256, bundle.boot_log);
  };
  return evidence.Build().evidence;
}

void Run(std::string_view file) {
  static const Bed& bed = *new Bed();
  if (Trusts(file, bed, 1)) {
    std::abort();  // nothing that came from outside is signed by this host
  }
  auto bundle = eventlog::ParseBundle(file);
  if (!bundle.ok()) {
    return;
  }
  bundle->evidence = bed.bundle.evidence;
  if (Trusts(eventlog::EncodeBundle(*bundle), bed, 1) &&
      !IsTheSoundLog(*bundle, bed)) {
    std::abort();
  }
  if (bundle->records.size() > kMaxSigned) {
    return;
  }
  bundle->evidence = Sign(*bundle, bed);
  const std::string signed_file = eventlog::EncodeBundle(*bundle);
  for (const uint64_t from_record : {uint64_t{1}, UINT64_MAX}) {
    (void)Trusts(signed_file, bed, from_record);
  }
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
