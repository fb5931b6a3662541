#include "ledger/entry.h"

#include <algorithm>
#include <set>
#include <utility>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "merkle/tree.h"
#include "wire/messages.h"

namespace vmattest::ledger {
namespace {

constexpr std::string_view kFormat = "vmattest/ledger-entry/v1";
constexpr size_t kSignatureSize = 64;
constexpr uint32_t kDocumentVersion = 1;
constexpr auto kSha256 = HashAlgorithm::kSha256;

// Not of what is inside it. A message without any refers to the one empty set.
void DiscardOwnUnknown(google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (&reflection.GetUnknownFields(message) !=
      &google::protobuf::UnknownFieldSet::default_instance()) {
    reflection.MutableUnknownFields(&message)->Clear();
  }
}

// Looking for every field costs as much as parsing, so only where one may be.
void DiscardUnknown(v1::LedgerRecord& record) { DiscardOwnUnknown(record); }
void DiscardUnknown(v1::LedgerEntry& entry) {
  DiscardOwnUnknown(entry);
  if (entry.has_host()) {
    DiscardOwnUnknown(*entry.mutable_host());
  }
}
// No message in it is repeated.
void DiscardUnknown(v1::LedgerEntryBody& body) {
  DiscardOwnUnknown(body);
  const google::protobuf::Descriptor& fields = *body.GetDescriptor();
  const google::protobuf::Reflection& reflection = *body.GetReflection();
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = fields.field(i);
    if (field->message_type() != nullptr && reflection.HasField(body, field)) {
      reflection.MutableMessage(&body, field)->DiscardUnknownFields();
    }
  }
}

// The one encoding of `message`: what is written again is what was read.
template <class Message>
absl::Status ParseStrict(ByteView bytes, size_t most, std::string_view what,
                         Message& message) {
  RETURN_IF_ERROR(wire::ParseMessage(bytes, most, what, message));
  DiscardUnknown(message);
  return wire::CheckCanonical(bytes, wire::Serialize(message), what);
}

absl::Status TakeHostSigned(const v1::HostSignedEntry& signed_by_host,
                            Entry& entry) {
  entry.body_bytes = ToBytes(signed_by_host.body());
  entry.signature = ToBytes(signed_by_host.signature());
  return entry.signature.size() == kSignatureSize
             ? absl::OkStatus()
             : wire::Malformed("HostSignedEntry.signature", "not 64 bytes");
}

absl::Status TakeDocument(const std::string& file, Entry& entry) {
  entry.by_document = true;
  entry.document = ToBytes(file);
  ASSIGN_OR_RETURN(document::Unchecked peeked, document::Peek(entry.document));
  if (peeked.payload_type != kEntryPayloadType) {
    return wire::Malformed(
        "LedgerEntry.authority",
        fmt::format("payload type '{}'", peeked.payload_type));
  }
  entry.body_bytes = std::move(peeked.payload);
  entry.signer_key_id = std::move(peeked.key_id);
  return absl::OkStatus();
}

absl::Status AddLink(const std::string& vm_id, const std::string& previous,
                     std::vector<VmLink>& links) {
  VmLink link{.previous = ToBytes(previous)};
  if (vm_id.size() != link.vm.bytes.size()) {
    return wire::Malformed("vm_id", "not 16 bytes");
  }
  if (!previous.empty() && previous.size() != DigestSize(kSha256)) {
    return wire::Malformed("vm_previous", "not 32 bytes");
  }
  std::copy(vm_id.begin(), vm_id.end(), link.vm.bytes.begin());
  if (!links.empty() && !(links.back().vm < link.vm)) {
    return wire::Malformed("vm_id", "twice, or out of order");
  }
  links.push_back(std::move(link));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<VmLink>> VmLinks(const v1::LedgerEntryBody& body) {
  std::vector<VmLink> links;
  const auto add = [&links](const auto& message) {
    return AddLink(message.vm_id(), message.vm_previous(), links);
  };
  absl::Status status;
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kVmRegister:
      status = add(body.vm_register());
      break;
    case v1::LedgerEntryBody::kAttestResult:
      status = add(body.attest_result());
      break;
    case v1::LedgerEntryBody::kAttestBatch:
      for (const v1::LedgerVmChange& change : body.attest_batch().changes()) {
        status.Update(add(change));
      }
      break;
    case v1::LedgerEntryBody::kMigrateOut:
      status = add(body.migrate_out());
      break;
    case v1::LedgerEntryBody::kMigrateIn:
      status = add(body.migrate_in());
      break;
    case v1::LedgerEntryBody::kLaunchDecision:
      status = add(body.launch_decision());
      break;
    case v1::LedgerEntryBody::kNotice:
      if (!body.notice().vm_id().empty()) {
        status = add(body.notice());
      }
      break;
    case v1::LedgerEntryBody::kHostAuthorise:
    case v1::LedgerEntryBody::kHostRevoke:
    case v1::LedgerEntryBody::kKeyDelegate:
    case v1::LedgerEntryBody::kHostCompromise:
    case v1::LedgerEntryBody::kStateRoot:
    case v1::LedgerEntryBody::kPolicy:
    case v1::LedgerEntryBody::WHAT_NOT_SET:
      break;
  }
  RETURN_IF_ERROR(status);
  return links;
}

std::string Entry::Writer() const {
  return by_document ? "key/" + ToHex(signer_key_id) : body.host_id();
}

absl::StatusOr<Entry> ParseEntry(Bytes bytes) {
  v1::LedgerEntry message;
  RETURN_IF_ERROR(ParseStrict(bytes, kMaxEntrySize, "LedgerEntry", message));
  if (message.format() != kFormat) {
    return wire::Malformed(
        "LedgerEntry.format",
        fmt::format("'{}', expected '{}'", message.format(), kFormat));
  }
  Entry entry;
  entry.hash = Hash(kSha256, bytes);
  entry.bytes = std::move(bytes);
  switch (message.signed_case()) {
    case v1::LedgerEntry::kHost:
      RETURN_IF_ERROR(TakeHostSigned(message.host(), entry));
      break;
    case v1::LedgerEntry::kAuthority:
      RETURN_IF_ERROR(TakeDocument(message.authority(), entry));
      break;
    case v1::LedgerEntry::SIGNED_NOT_SET:
      return wire::Malformed("LedgerEntry", "nobody signed it");
  }
  RETURN_IF_ERROR(ParseStrict(entry.body_bytes, kMaxEntrySize,
                              "LedgerEntryBody", entry.body));
  if (entry.body.host_id().empty() != entry.by_document ||
      entry.body.has_header() != entry.by_document ||
      entry.body.host_id().size() > 128) {
    return wire::Malformed("LedgerEntryBody.host_id",
                           "a host's entry names the host, a document none");
  }
  if (entry.body.what_case() == v1::LedgerEntryBody::WHAT_NOT_SET) {
    return wire::Malformed("LedgerEntryBody", "says nothing");
  }
  if (entry.body.sequence() == 0 || entry.body.time_unix_ms() < 0 ||
      (entry.body.sequence() == 1) != entry.body.previous().empty()) {
    return wire::Malformed("LedgerEntryBody.sequence",
                           "from 1, with an entry before from 2");
  }
  ASSIGN_OR_RETURN(entry.links, VmLinks(entry.body));
  return entry;
}

Bytes HostEntryDigest(ByteView body) {
  static constexpr uint8_t kEnd = 0;
  return HashParts(kSha256, {AsBytes(kFormat), ByteView(&kEnd, 1), body});
}

Bytes SignHostEntry(const v1::LedgerEntryBody& body, const EcPrivateKey& key) {
  const Bytes bytes = wire::Serialize(body);
  const EcPrivateKey::Signature signature =
      key.SignDigest(HostEntryDigest(bytes));
  v1::LedgerEntry entry;
  entry.set_format(std::string(kFormat));
  entry.mutable_host()->set_body(wire::ToField(bytes));
  entry.mutable_host()->set_signature(wire::ToField(signature.r) +
                                      wire::ToField(signature.s));
  return wire::Serialize(entry);
}

absl::StatusOr<Bytes> SignAuthorityEntry(v1::LedgerEntryBody body,
                                         const document::PrivateKey& key) {
  v1::DocumentHeader& header = *body.mutable_header();
  header.set_version(kDocumentVersion);
  header.set_issued_unix_ms(body.time_unix_ms());
  header.clear_signature_algorithms();
  for (const std::string& algorithm : key.algorithms()) {
    header.add_signature_algorithms(algorithm);
  }
  ASSIGN_OR_RETURN(const Bytes document,
                   key.Sign(kEntryPayloadType, wire::Serialize(body)));
  v1::LedgerEntry entry;
  entry.set_format(std::string(kFormat));
  entry.set_authority(wire::ToField(document));
  return wire::Serialize(entry);
}

absl::StatusOr<Record> ParseRecord(ByteView bytes) {
  v1::LedgerRecord message;
  RETURN_IF_ERROR(ParseStrict(bytes, kMaxRecordSize, "LedgerRecord", message));
  if (message.time_unix_ms() <= 0) {
    return wire::Malformed("LedgerRecord.time_unix_ms", "not positive");
  }
  return Record{.time_unix_ms = message.time_unix_ms(),
                .entry = ToBytes(message.entry())};
}

Bytes EncodeRecord(int64_t time_unix_ms, ByteView entry) {
  v1::LedgerRecord message;
  message.set_time_unix_ms(time_unix_ms);
  message.set_entry(entry.data(), entry.size());
  return wire::Serialize(message);
}

Uuid VmOf(const std::string& vm_id) {
  Uuid vm;
  std::copy_n(vm_id.begin(), std::min(vm_id.size(), vm.bytes.size()),
              vm.bytes.begin());
  return vm;
}

std::string_view TypeName(const v1::LedgerEntryBody& body) {
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kHostAuthorise:
      return "host-authorise";
    case v1::LedgerEntryBody::kHostRevoke:
      return "host-revoke";
    case v1::LedgerEntryBody::kKeyDelegate:
      return "key-delegate";
    case v1::LedgerEntryBody::kVmRegister:
      return "vm-register";
    case v1::LedgerEntryBody::kAttestResult:
      return "attest-result";
    case v1::LedgerEntryBody::kAttestBatch:
      return "attest-batch";
    case v1::LedgerEntryBody::kMigrateOut:
      return "migrate-out";
    case v1::LedgerEntryBody::kMigrateIn:
      return "migrate-in";
    case v1::LedgerEntryBody::kHostCompromise:
      return "host-compromise";
    case v1::LedgerEntryBody::kStateRoot:
      return "state-root";
    case v1::LedgerEntryBody::kPolicy:
      return "policy";
    case v1::LedgerEntryBody::kLaunchDecision:
      return "launch-decision";
    case v1::LedgerEntryBody::kNotice:
      break;
    case v1::LedgerEntryBody::WHAT_NOT_SET:
      return "nothing";
  }
  switch (body.notice().kind()) {
    case v1::LedgerNotice::KIND_TICKET:
      return "ticket";
    case v1::LedgerNotice::KIND_LEASE:
      return "lease";
    case v1::LedgerNotice::KIND_HOST_ADVERT:
      return "host-advert";
    case v1::LedgerNotice::KIND_REFERENCE_APPROVED:
      return "reference-approved";
    case v1::LedgerNotice::KIND_BREAK_GLASS:
      return "break-glass";
    case v1::LedgerNotice::KIND_EVACUATION:
      return "evacuation";
    case v1::LedgerNotice::KIND_HOST_EVENT:
      return "host-event";
    default:
      return "notice";
  }
}

Bytes ResultsRoot(std::vector<VmResult> results) {
  std::sort(results.begin(), results.end(),
            [](const VmResult& a, const VmResult& b) { return a.vm < b.vm; });
  std::vector<DigestBytes> leaves;
  leaves.reserve(results.size());
  for (const VmResult& result : results) {
    ByteWriter writer;
    writer.Raw(ByteView(result.vm.bytes))
        .U8(static_cast<uint8_t>(result.outcome))
        .Raw(result.evidence_hash);
    leaves.push_back(merkle::LeafHash(kSha256, writer.bytes()));
  }
  return merkle::Tree(kSha256, std::move(leaves)).Root();
}

}  // namespace vmattest::ledger
