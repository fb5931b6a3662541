#ifndef VMATTEST_WIRE_MESSAGES_H_
#define VMATTEST_WIRE_MESSAGES_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "evidence/evidence.h"
#include "evidence/statement.h"
#include "google/protobuf/message.h"
#include "vmattest/v1/evidence.pb.h"
#include "vmattest/v1/snapshot.pb.h"

// What the codecs of this folder share with that of the signer's channel
// (signing/remote).

namespace vmattest::wire {

// Parses without protobuf's own logging. INVALID_ARGUMENT names `what`.
absl::Status ParseMessage(ByteView bytes, size_t max_size,
                          std::string_view what,
                          google::protobuf::Message& message);

Bytes Serialize(const google::protobuf::Message& message);

// INVALID_ARGUMENT unless `bytes`, read as a value and encoded again, gave
// `canonical`.
absl::Status CheckCanonical(ByteView bytes, ByteView canonical,
                            std::string_view what);

v1::KeyCertification ToMessage(const evidence::KeyCertification& key);
absl::StatusOr<evidence::KeyCertification> FromMessage(
    const v1::KeyCertification& message);

v1::KeyRevocation ToMessage(const evidence::KeyRevocation& revocation);
absl::StatusOr<evidence::KeyRevocation> FromMessage(
    const v1::KeyRevocation& message);
v1::PqKey ToMessage(const evidence::PqKey& key);
absl::StatusOr<evidence::PqKey> FromMessage(const v1::PqKey& message);

v1::Envelope ToMessage(const evidence::Envelope& envelope);
absl::StatusOr<evidence::Envelope> FromMessage(const v1::Envelope& message);
v1::TpmClock ToMessage(const TpmClock& clock);
TpmClock FromMessage(const v1::TpmClock& message);
v1::ConfigLeaf ToMessage(const ConfigLeaf& leaf);
absl::StatusOr<ConfigLeaf> FromMessage(const v1::ConfigLeaf& message);

inline constexpr size_t kMaxStatementSize = 1u << 20;
v1::StatementHeader ToMessage(const evidence::StatementHeader& header);
evidence::StatementHeader FromMessage(const v1::StatementHeader& message);
v1::Boot ToMessage(const evidence::Boot& boot);
// INVALID_ARGUMENT names `field`.
absl::StatusOr<evidence::Boot> FromMessage(const v1::Boot& message,
                                           std::string_view field);
std::optional<HashAlgorithm> KnownAlgorithm(int number);

inline Bytes FromField(const std::string& field) { return ToBytes(field); }
inline std::string ToField(ByteView bytes) {
  return std::string(AsText(bytes));
}

// INVALID_ARGUMENT if more than `most` are `found`.
absl::Status CheckCount(std::string_view element, size_t found, size_t most);

// "`element`: `problem`", INVALID_ARGUMENT.
absl::Status Malformed(std::string_view element, std::string_view problem);

}  // namespace vmattest::wire

#endif  // VMATTEST_WIRE_MESSAGES_H_
