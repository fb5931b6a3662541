#ifndef VMATTEST_TESTS_SUPPORT_HOST_LOG_EVIDENCE_H_
#define VMATTEST_TESTS_SUPPORT_HOST_LOG_EVIDENCE_H_

#include <functional>
#include <optional>
#include <string>

#include "eventlog/bundle.h"
#include "evidence/nv_public.h"
#include "support/boot_log_writer.h"
#include "support/evidence_builder.h"
#include "support/host_log_builder.h"
#include "support/soft_tpm.h"

namespace vmattest::testing {

// TPM2B_NV_PUBLIC of an index as the TPM module of the product defines it.
Bytes EncodeNvPublic(const evidence::NvPublic& index);
evidence::NvPublic LogIndex();

// A host event log with evidence that verifies, with every part free to be
// wrong: what is changed before Build() is signed as it then is.
class HostLogEvidence {
 public:
  // `host` must outlive it.
  explicit HostLogEvidence(const SoftHost& host,
                           HashAlgorithm bank = HashAlgorithm::kSha256);

  // The host's identity, the index pinned.
  [[nodiscard]] evidence::HostIdentity Identity() const;

  HostLogBuilder log;
  BootLogWriter boot_log;
  EvidenceBuilder builder;
  evidence::NvPublic index = LogIndex();
  // What the anchor holds; none: what the log has at Build().
  std::optional<eventlog::LogHead> anchored;
  TpmClock certified_at = {
      .clock_ms = 60'500, .reset_count = 7, .restart_count = 0, .safe = true};
  std::function<void(evidence::Attest&)> edit_anchor;
  std::function<void(evidence::HostLogStatement&)> edit_statement;
  // Certifies the anchor in place of the host's AK.
  const SoftKey* anchor_key = nullptr;

  [[nodiscard]] eventlog::Bundle Build() const;

 private:
  [[nodiscard]] evidence::AnchorCertification Certify() const;

  const SoftHost& host_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_HOST_LOG_EVIDENCE_H_
