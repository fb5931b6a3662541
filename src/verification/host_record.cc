#include "verification/host_record.h"

#include "vmattest/v1/document.pb.h"
#include "wire/messages.h"

namespace vmattest::verification {
namespace {

constexpr uint32_t kDocumentVersion = 1;

}  // namespace

absl::StatusOr<Bytes> SignHostRecord(const HostEntry& host,
                                     const document::PrivateKey& authority,
                                     WallTime now) {
  v1::HostRecord record;
  v1::DocumentHeader& header = *record.mutable_header();
  const auto unix_ms = [](WallTime time) {
    return static_cast<int64_t>(time.time_since_epoch().count());
  };
  header.set_version(kDocumentVersion);
  header.set_issued_unix_ms(unix_ms(now));
  header.set_not_before_unix_ms(unix_ms(now));
  header.set_not_after_unix_ms(unix_ms(now + kHostRecordLifetime));
  for (const std::string& algorithm : authority.algorithms()) {
    header.add_signature_algorithms(algorithm);
  }
  record.set_revision(host.revision);
  if (!record.mutable_identity()->ParseFromArray(
          host.identity.data(), static_cast<int>(host.identity.size()))) {
    return absl::InternalError("the host's identity does not parse");
  }
  record.set_ek_trust(host.ek_trust);
  record.set_revoked(host.state == HostEntry::State::kRevoked);
  record.set_revocation_reason(host.revocation_reason);
  return authority.Sign(document::kHostRecordPayloadType,
                        wire::Serialize(record));
}

}  // namespace vmattest::verification
