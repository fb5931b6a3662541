#include "gate/protocol/messages.h"

#include <array>
#include <utility>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "vmattest/internal/gate.pb.h"

namespace vmattest::gate {
namespace {

constexpr uint32_t kVersion = 1;
constexpr std::string_view kReplyTag = "vmattest/gate-reply/v1";
constexpr size_t kMaxName = 4096;
constexpr size_t kMaxCoordinate = 64;

constexpr std::array<std::pair<Basis, std::string_view>, 8> kBases = {{
    {Basis::kNone, "none"},
    {Basis::kVerdict, "verdict"},
    {Basis::kKeptVerdict, "kept-verdict"},
    {Basis::kDeferred, "deferred"},
    {Basis::kWarn, "warn"},
    {Basis::kLearn, "learn"},
    {Basis::kBreakGlass, "break-glass"},
    {Basis::kNotGated, "not-gated"},
}};

template <class Message>
absl::Status ParseMessage(ByteView bytes, std::string_view what,
                          Message& message) {
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError(
        fmt::format("{}: not a message of this build", what));
  }
  if (message.version() != kVersion) {
    return absl::InvalidArgumentError(fmt::format(
        "{}.version: {}, not {}", what, message.version(), kVersion));
  }
  return absl::OkStatus();
}

absl::Status Limit(std::string_view field, size_t size, size_t most) {
  if (size > most) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {} is more than {}", field, size, most));
  }
  return absl::OkStatus();
}

absl::StatusOr<QemuFacts> ParseQemu(const internal::GateCall::Qemu& message) {
  RETURN_IF_ERROR(Limit("qemu.arguments",
                        static_cast<size_t>(message.arguments_size()),
                        kMaxQemuArguments));
  RETURN_IF_ERROR(Limit("qemu.files", static_cast<size_t>(message.files_size()),
                        kMaxQemuFiles));
  QemuFacts facts;
  facts.pid = message.pid();
  facts.start_ticks = message.start_ticks();
  facts.program = message.program();
  facts.arguments.assign(message.arguments().begin(),
                         message.arguments().end());
  for (const auto& file : message.files()) {
    facts.files.push_back({file.path(), file.device(), file.inode(),
                           file.writable(), file.write_only()});
  }
  return facts;
}

template <class Message>
Bytes Serialise(const Message& message) {
  Bytes bytes(message.ByteSizeLong());
  message.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

}  // namespace

std::string_view ToString(Basis basis) {
  for (const auto& [value, name] : kBases) {
    if (value == basis) {
      return name;
    }
  }
  return "none";
}

std::optional<Basis> ParseBasis(std::string_view name) {
  for (const auto& [value, known] : kBases) {
    if (known == name) {
      return value;
    }
  }
  return std::nullopt;
}

Bytes Encode(const GateCall& call) {
  internal::GateCall message;
  message.set_version(kVersion);
  message.set_nonce(std::string(AsText(call.nonce)));
  message.set_domain(call.domain);
  message.set_operation(call.operation);
  message.set_sub_operation(call.sub_operation);
  message.set_extra(call.extra);
  message.set_xml(call.xml);
  if (call.qemu) {
    auto& qemu = *message.mutable_qemu();
    qemu.set_pid(call.qemu->pid);
    qemu.set_start_ticks(call.qemu->start_ticks);
    qemu.set_program(call.qemu->program);
    for (const std::string& argument : call.qemu->arguments) {
      qemu.add_arguments(argument);
    }
    for (const OpenFile& file : call.qemu->files) {
      auto& to = *qemu.add_files();
      to.set_path(file.path);
      to.set_device(file.device);
      to.set_inode(file.inode);
      to.set_writable(file.writable);
      to.set_write_only(file.write_only);
    }
  }
  for (const HandedFile& file : call.handed) {
    auto& to = *message.add_handed();
    to.set_role(file.role);
    to.set_path(file.path);
  }
  return Serialise(message);
}

absl::StatusOr<GateCall> ParseCall(ByteView bytes) {
  RETURN_IF_ERROR(Limit("call", bytes.size(), kMaxGateCall));
  internal::GateCall message;
  RETURN_IF_ERROR(ParseMessage(bytes, "call", message));
  if (message.nonce().size() != kGateNonceSize) {
    return absl::InvalidArgumentError(
        fmt::format("call.nonce: {} bytes, not {}", message.nonce().size(),
                    kGateNonceSize));
  }
  RETURN_IF_ERROR(Limit("call.domain", message.domain().size(), kMaxName));
  RETURN_IF_ERROR(
      Limit("call.operation", message.operation().size(), kMaxName));
  RETURN_IF_ERROR(
      Limit("call.sub_operation", message.sub_operation().size(), kMaxName));
  RETURN_IF_ERROR(Limit("call.extra", message.extra().size(), kMaxName));
  RETURN_IF_ERROR(Limit("call.xml", message.xml().size(), kMaxHookXml));
  GateCall call{.nonce = ToBytes(message.nonce()),
                .domain = message.domain(),
                .operation = message.operation(),
                .sub_operation = message.sub_operation(),
                .extra = message.extra(),
                .xml = message.xml(),
                .qemu = std::nullopt,
                .handed = {}};
  if (message.has_qemu()) {
    ASSIGN_OR_RETURN_WITH(call.qemu, ParseQemu(message.qemu()), "call");
  }
  RETURN_IF_ERROR(Limit(
      "call.handed", static_cast<size_t>(message.handed_size()), kMaxHanded));
  for (const auto& file : message.handed()) {
    RETURN_IF_ERROR(Limit("call.handed.role", file.role().size(), kMaxName));
    RETURN_IF_ERROR(Limit("call.handed.path", file.path().size(), kMaxName));
    call.handed.push_back({file.role(), file.path(), nullptr});
  }
  return call;
}

absl::Status Attach(std::vector<UniqueFd> descriptors, GateCall& call) {
  if (descriptors.size() != call.handed.size()) {
    return absl::InvalidArgumentError(
        fmt::format("call.handed: {} files, and {} descriptors",
                    call.handed.size(), descriptors.size()));
  }
  for (size_t i = 0; i < descriptors.size(); ++i) {
    call.handed[i].file =
        std::make_shared<const UniqueFd>(std::move(descriptors[i]));
  }
  return absl::OkStatus();
}

Bytes Encode(const GateReply& reply) {
  internal::GateReply message;
  message.set_version(kVersion);
  message.set_allowed(reply.allowed);
  message.set_basis(std::string(ToString(reply.basis)));
  message.set_code(reply.code);
  message.set_sentence(reply.sentence);
  message.set_vm_uuid(reply.vm_uuid);
  message.set_ear(reply.ear);
  message.set_signature_r(std::string(AsText(reply.signature_r)));
  message.set_signature_s(std::string(AsText(reply.signature_s)));
  return Serialise(message);
}

absl::StatusOr<GateReply> ParseReply(ByteView bytes) {
  RETURN_IF_ERROR(Limit("reply", bytes.size(), kMaxGateReply));
  internal::GateReply message;
  RETURN_IF_ERROR(ParseMessage(bytes, "reply", message));
  const std::optional<Basis> basis = ParseBasis(message.basis());
  if (!basis || (*basis == Basis::kNone) == message.allowed()) {
    return absl::InvalidArgumentError(
        fmt::format("reply.basis: '{}'", message.basis()));
  }
  RETURN_IF_ERROR(
      Limit("reply.signature_r", message.signature_r().size(), kMaxCoordinate));
  RETURN_IF_ERROR(
      Limit("reply.signature_s", message.signature_s().size(), kMaxCoordinate));
  return GateReply{.allowed = message.allowed(),
                   .basis = *basis,
                   .code = message.code(),
                   .sentence = message.sentence(),
                   .vm_uuid = message.vm_uuid(),
                   .ear = message.ear(),
                   .signature_r = ToBytes(message.signature_r()),
                   .signature_s = ToBytes(message.signature_s())};
}

Bytes ReplyDigest(const GateCall& call, const GateReply& reply) {
  ByteWriter writer;
  writer.Raw(kReplyTag).U8(0);
  writer.Sized(call.nonce).Sized(call.domain).Sized(call.operation);
  writer.Sized(Hash(HashAlgorithm::kSha256, AsBytes(call.xml)));
  writer.U8(reply.allowed ? 1 : 0).Sized(ToString(reply.basis));
  writer.Sized(reply.code).Sized(reply.sentence).Sized(reply.vm_uuid);
  writer.Sized(Hash(HashAlgorithm::kSha256, AsBytes(reply.ear)));
  return Hash(HashAlgorithm::kSha256, writer.bytes());
}

bool IsGated(std::string_view operation) {
  return operation == "prepare" || operation == "start" ||
         operation == "started" || operation == "restore" ||
         operation == "migrate";
}

}  // namespace vmattest::gate
