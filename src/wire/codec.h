#ifndef VMATTEST_WIRE_CODEC_H_
#define VMATTEST_WIRE_CODEC_H_

#include "base/bytes.h"
#include "evidence/disclosure.h"
#include "evidence/evidence.h"
#include "evidence/host_identity.h"
#include "evidence/statement.h"

// Between our values and the bytes of proto/vmattest/v1/evidence.proto.
//
// Parsing is strict: INVALID_ARGUMENT for anything that Encode would not have
// written in the same bytes (unknown fields, other field order, a missing or
// foreign format tag, sizes past the limits), naming the field. So there is
// one encoding of each value, and no bit of a file that nothing checks.
// Callable from any thread.

namespace vmattest::wire {

inline constexpr size_t kMaxEvidenceSize = 16u << 20;
inline constexpr size_t kMaxHostIdentitySize = 1u << 20;

Bytes EncodeEvidence(const evidence::Evidence& evidence);
absl::StatusOr<evidence::Evidence> ParseEvidence(ByteView bytes);

inline constexpr size_t kMaxDisclosureSize = 2u << 20;

// By its format tag alone; whether it parses is another question.
bool IsDisclosure(ByteView bytes);
Bytes EncodeDisclosure(const evidence::Disclosure& disclosure);
absl::StatusOr<evidence::Disclosure> ParseDisclosure(ByteView bytes);

Bytes EncodeConfigStatement(const evidence::ConfigStatement& statement);
absl::StatusOr<evidence::ConfigStatement> ParseConfigStatement(ByteView bytes);

Bytes EncodeHostLogStatement(const evidence::HostLogStatement& statement);
absl::StatusOr<evidence::HostLogStatement> ParseHostLogStatement(
    ByteView bytes);

Bytes EncodeStateStatement(const evidence::StateStatement& statement);
absl::StatusOr<evidence::StateStatement> ParseStateStatement(ByteView bytes);

inline constexpr size_t kMaxSnapshotPagesSize = size_t{1} << 30;
Bytes EncodeSnapshotPages(const evidence::SnapshotPages& pages);
absl::StatusOr<evidence::SnapshotPages> ParseSnapshotPages(ByteView bytes);

// Binary for the wire; JSON for the file that an operator pins and reads.
Bytes EncodeHostIdentity(const evidence::HostIdentity& identity);
absl::StatusOr<evidence::HostIdentity> ParseHostIdentity(ByteView bytes);
std::string HostIdentityToJson(const evidence::HostIdentity& identity);
absl::StatusOr<evidence::HostIdentity> HostIdentityFromJson(
    std::string_view json);

}  // namespace vmattest::wire

#endif  // VMATTEST_WIRE_CODEC_H_
