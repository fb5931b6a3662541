#include "guestchannel/protocol/messages.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "vmattest/v1/guest_channel.pb.h"

namespace vmattest::guestchannel {
namespace {

constexpr uint32_t kVersion = 1;
constexpr size_t kMaxPolicy = 160;
constexpr size_t kMinNonce = 16;
constexpr size_t kMaxNonce = 64;
// Terminals obey what is not printable.
constexpr size_t kMaxText = 1024;
constexpr size_t kMaxDigest = 64;

bool IsPrintable(std::string_view text) {
  return text.size() <= kMaxText &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c < 0x7f; });
}

template <class Message>
absl::Status Parse(ByteView bytes, Message& message) {
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("no message of this channel");
  }
  if (message.version() != kVersion) {
    return absl::InvalidArgumentError(
        fmt::format("version: {}, not {}", message.version(), kVersion));
  }
  if (message.id().size() != kIdSize) {
    return absl::InvalidArgumentError(
        fmt::format("id: {} bytes, not {}", message.id().size(), kIdSize));
  }
  return absl::OkStatus();
}

template <class Message>
Bytes Serialise(const Message& message) {
  Bytes bytes(message.ByteSizeLong());
  message.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

void Fill(const Refusal& refusal, v1::GuestAnswer& message) {
  message.mutable_refused()->set_code(refusal.code);
  message.mutable_refused()->set_sentence(refusal.sentence);
  message.mutable_refused()->set_retry_after_ms(refusal.retry_after_ms);
}

void Fill(const Accepted& accepted, v1::GuestAnswer& message) {
  message.mutable_accepted()->set_limit_ms(accepted.limit_ms);
}

void Fill(const SnapshotTaken& taken, v1::GuestAnswer& message) {
  v1::GuestSnapshot& to = *message.mutable_snapshot();
  to.set_id(taken.id);
  to.set_vm_uuid(taken.vm_uuid);
  to.set_time_unix_ms(taken.time_unix_ms);
  to.set_policy(taken.policy);
  to.set_policy_digest(std::string(AsText(taken.policy_digest)));
  to.set_algorithm(taken.algorithm);
  to.set_root(std::string(AsText(taken.root)));
  to.set_nonce(std::string(AsText(taken.nonce)));
  to.set_evidence_sha256(std::string(AsText(taken.evidence_sha256)));
  to.set_consistency(taken.consistency);
  to.set_pages(taken.pages);
  to.set_unreadable_pages(taken.unreadable_pages);
  to.set_torn_pages(taken.torn_pages);
  to.set_unavailable_regions(taken.unavailable_regions);
}

void Fill(std::monostate /*none*/, v1::GuestAnswer& /*message*/) {}

absl::StatusOr<SnapshotTaken> Taken(const v1::GuestSnapshot& from) {
  for (const std::string* text : {&from.id(), &from.vm_uuid(), &from.policy(),
                                  &from.algorithm(), &from.consistency()}) {
    if (!IsPrintable(*text)) {
      return absl::InvalidArgumentError("snapshot: no printable text");
    }
  }
  for (const std::string* bytes : {&from.policy_digest(), &from.root(),
                                   &from.nonce(), &from.evidence_sha256()}) {
    if (bytes->size() > kMaxDigest) {
      return absl::InvalidArgumentError("snapshot: no digest");
    }
  }
  SnapshotTaken taken;
  taken.id = from.id();
  taken.vm_uuid = from.vm_uuid();
  taken.time_unix_ms = from.time_unix_ms();
  taken.policy = from.policy();
  taken.policy_digest = ToBytes(from.policy_digest());
  taken.algorithm = from.algorithm();
  taken.root = ToBytes(from.root());
  taken.nonce = ToBytes(from.nonce());
  taken.evidence_sha256 = ToBytes(from.evidence_sha256());
  taken.consistency = from.consistency();
  taken.pages = from.pages();
  taken.unreadable_pages = from.unreadable_pages();
  taken.torn_pages = from.torn_pages();
  taken.unavailable_regions = from.unavailable_regions();
  return taken;
}

bool IsPolicyName(std::string_view name) {
  return name.size() <= kMaxPolicy &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
                  c == '@';
         });
}

}  // namespace

Bytes Encode(const Request& request) {
  v1::GuestRequest message;
  message.set_version(kVersion);
  message.set_id(std::string(AsText(request.id)));
  if (const auto* snapshot = std::get_if<SnapshotRequest>(&request.body)) {
    message.mutable_snapshot()->set_policy(snapshot->policy);
    message.mutable_snapshot()->set_nonce(std::string(AsText(snapshot->nonce)));
  }
  return Serialise(message);
}

Bytes Encode(const Answer& answer) {
  v1::GuestAnswer message;
  message.set_version(kVersion);
  message.set_id(std::string(AsText(answer.id)));
  std::visit([&message](const auto& body) { Fill(body, message); },
             answer.body);
  return Serialise(message);
}

absl::Status CheckRequest(const Request& request) {
  if (request.id.size() != kIdSize) {
    return absl::InvalidArgumentError("id: not of its size");
  }
  const auto* const snapshot = std::get_if<SnapshotRequest>(&request.body);
  if (snapshot == nullptr) {
    return absl::OkStatus();
  }
  if (!IsPolicyName(snapshot->policy)) {
    return absl::InvalidArgumentError("snapshot.policy: no policy's name");
  }
  if (snapshot->nonce.size() < kMinNonce ||
      snapshot->nonce.size() > kMaxNonce) {
    return absl::InvalidArgumentError(
        fmt::format("snapshot.nonce: {} bytes, not {} to {}",
                    snapshot->nonce.size(), kMinNonce, kMaxNonce));
  }
  return absl::OkStatus();
}

absl::StatusOr<Request> ParseRequest(ByteView payload) {
  v1::GuestRequest message;
  RETURN_IF_ERROR(Parse(payload, message));
  Request request;
  request.id = ToBytes(message.id());
  if (message.has_snapshot()) {
    request.body =
        SnapshotRequest{.policy = message.snapshot().policy(),
                        .nonce = ToBytes(message.snapshot().nonce())};
  }
  RETURN_IF_ERROR(CheckRequest(request));
  return request;
}

absl::StatusOr<Answer> ParseAnswer(ByteView payload) {
  v1::GuestAnswer message;
  RETURN_IF_ERROR(Parse(payload, message));
  Answer answer;
  answer.id = ToBytes(message.id());
  if (message.has_refused()) {
    const v1::GuestRefusal& refused = message.refused();
    if (!IsPrintable(refused.code()) || !IsPrintable(refused.sentence())) {
      return absl::InvalidArgumentError("refused: no printable text");
    }
    answer.body =
        Refusal{refused.code(), refused.sentence(), refused.retry_after_ms()};
  } else if (message.has_accepted()) {
    answer.body = Accepted{message.accepted().limit_ms()};
  } else if (message.has_snapshot()) {
    ASSIGN_OR_RETURN(answer.body, Taken(message.snapshot()));
  }
  return answer;
}

}  // namespace vmattest::guestchannel
