#ifndef VMATTEST_GATE_PROTOCOL_MESSAGES_H_
#define VMATTEST_GATE_PROTOCOL_MESSAGES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/handles.h"
#include "base/status.h"

// What vmattest-hook and the daemon say to each other (proto/vmattest/internal/
// gate.proto), and what of it is signed. Pure; any thread.

namespace vmattest::gate {

inline constexpr size_t kGateNonceSize = 32;
inline constexpr size_t kMaxHookXml = 16u << 20;
// A call: the XML, and what QEMU has open.
inline constexpr size_t kMaxGateCall = kMaxHookXml + (4u << 20);
inline constexpr size_t kMaxGateReply = 512u << 10;
inline constexpr size_t kMaxQemuArguments = 8192;
inline constexpr size_t kMaxQemuFiles = 4096;
inline constexpr size_t kMaxHanded = 8;  // ipc::kMaxDescriptors

struct OpenFile {
  std::string path;
  uint64_t device = 0;
  uint64_t inode = 0;
  bool writable = false;  // as QEMU opened it
  bool write_only = false;
  friend bool operator==(const OpenFile&, const OpenFile&) = default;
};

// The process that libvirt started for a domain.
struct QemuFacts {
  int64_t pid = 0;           // in the hook's pid namespace
  uint64_t start_ticks = 0;  // proc(5), stat field 22
  std::string program;
  std::vector<std::string> arguments;
  std::vector<OpenFile> files;
};

// Roles of handed files.
inline constexpr std::string_view kSavedImage = "saved-image";
inline constexpr std::string_view kVtpmState = "vtpm-state";
inline constexpr std::string_view kQemuProcess = "qemu-process";  // a pidfd

// A file whose descriptor travels with the call: the daemon reads what the hook
// found, whatever lies at that path for the daemon.
struct HandedFile {
  std::string role;
  std::string path;
  std::shared_ptr<const UniqueFd> file;  // null until Attach()
};

// Not libvirt's: `vmattest gate register-image` says it on the hook's socket.
inline constexpr std::string_view kRegisterImage = "register-image";

struct GateCall {
  Bytes nonce;
  std::string domain;
  std::string operation;  // "prepare", "start", ...
  std::string sub_operation;
  std::string extra;
  std::string xml;
  std::optional<QemuFacts> qemu;
  std::vector<HandedFile> handed;
};

// Why a launch may go on.
enum class Basis : uint8_t {
  kNone,         // it may not
  kVerdict,      // a verdict that was made for this call: its nonce is in it
  kKeptVerdict,  // one from before that still holds (rule S16)
  kDeferred,     // `start` decides: firmware is open (`prepare`), the image is
                 // known (`restore`), what is there is right (`migrate`)
  kWarn,         // mode warn: refused, but let through
  kLearn,        // mode learn
  kBreakGlass,   // a signed order
  kNotGated,     // the operation cannot be refused
};
std::string_view ToString(Basis basis);
std::optional<Basis> ParseBasis(std::string_view name);

struct GateReply {
  bool allowed = false;
  Basis basis = Basis::kNone;
  std::string code;
  std::string sentence;
  std::string vm_uuid;
  std::string ear;
  Bytes signature_r;
  Bytes signature_s;
};

Bytes Encode(const GateCall& call);
// INVALID_ARGUMENT names the field: also for sizes past the limits above.
absl::StatusOr<GateCall> ParseCall(ByteView bytes);
// Gives the call the descriptors that came with it. INVALID_ARGUMENT: not as
// many as it names.
absl::Status Attach(std::vector<UniqueFd> descriptors, GateCall& call);
Bytes Encode(const GateReply& reply);
absl::StatusOr<GateReply> ParseReply(ByteView bytes);

// What the gate key signs: SHA-256 over a domain tag, the call's nonce, domain,
// operation and SHA-256(xml), and everything in the reply. So a reply is of
// this call and no other.
Bytes ReplyDigest(const GateCall& call, const GateReply& reply);

// Operations whose refusal libvirt heeds and for which that does not end a VM
// that ran before: prepare, start, started, restore, migrate.
bool IsGated(std::string_view operation);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_PROTOCOL_MESSAGES_H_
