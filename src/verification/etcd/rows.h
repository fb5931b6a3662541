#ifndef VMATTEST_VERIFICATION_ETCD_ROWS_H_
#define VMATTEST_VERIFICATION_ETCD_ROWS_H_

#include <string>
#include <string_view>

#include "verification/verifier_store.h"
#include "vmattest/internal/verifier_store.pb.h"

// Between etcd's values and ours. Decoding is DATA_LOSS, with `key`, for what
// was not encoded here. Pure.

namespace vmattest::verification {

std::string Encode(const HostEntry& host);
absl::StatusOr<HostEntry> DecodeHost(std::string_view key,
                                     const std::string& value);

std::string Encode(const RebindPermit& permit);
absl::StatusOr<RebindPermit> DecodePermit(std::string_view key,
                                          const std::string& value);

// Without its document.
std::string Encode(const ReferenceEntry& reference);
absl::StatusOr<ReferenceEntry> DecodeReference(std::string_view key,
                                               const std::string& value);

// Without its document.
std::string Encode(const BaselineEntry& baseline);
absl::StatusOr<BaselineEntry> DecodeBaseline(std::string_view key,
                                             const std::string& value);

std::string Encode(const BreakGlassEntry& order);
absl::StatusOr<BreakGlassEntry> DecodeOrder(std::string_view key,
                                            const std::string& value);

// Without its sequence, which is its key.
Bytes EncodeDecision(const DecisionEntry& decision);
absl::StatusOr<DecisionEntry> DecodeDecision(std::string_view key,
                                             const Bytes& value);

template <class Message>
absl::StatusOr<Message> DecodeMessage(std::string_view key,
                                      const std::string& value) {
  Message message;
  if (!message.ParseFromString(value)) {
    return absl::DataLossError(std::string(key) + " is malformed");
  }
  return message;
}

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_ETCD_ROWS_H_
