#include "cli/break_glass_command.h"

#include <fmt/format.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/uuid.h"
#include "cli/exit_code.h"
#include "crypto/digest.h"
#include "document/key_files.h"
#include "vmattest/v1/document.pb.h"

namespace vmattest::cli {
namespace {

constexpr size_t kSerialSize = 16;
// An EK's digest, of SHA-256 or, for EKs of P-384, of SHA-384.
constexpr size_t kMinHostId = 32;
constexpr size_t kMaxHostId = 64;
constexpr int64_t kMinuteMs = 60'000;
constexpr uint32_t kMostMinutes = 7 * 24 * 60;

absl::StatusOr<std::string> Sign(const BreakGlassArgs& args) {
  ASSIGN_OR_RETURN_WITH(const Uuid vm, ParseUuid(args.vm), "--vm");
  ASSIGN_OR_RETURN_WITH(const Bytes host, ParseHex(args.host_id), "--host-id");
  if (host.size() < kMinHostId || host.size() > kMaxHostId) {
    return absl::InvalidArgumentError(fmt::format(
        "--host-id: {} to {} hexadecimal digits, as `vmattest host-identity` "
        "prints them",
        2 * kMinHostId, 2 * kMaxHostId));
  }
  if (args.minutes == 0 || args.minutes > kMostMinutes) {
    return absl::InvalidArgumentError(
        fmt::format("--minutes: 1 to {}", kMostMinutes));
  }
  ASSIGN_OR_RETURN(const document::PrivateKey key,
                   document::LoadPrivateKey(args.key));
  const int64_t now = SystemClock().Now().time_since_epoch().count();
  v1::BreakGlassOrder order;
  v1::DocumentHeader& header = *order.mutable_header();
  header.set_version(1);
  header.set_issued_unix_ms(now);
  header.set_not_before_unix_ms(now);
  header.set_not_after_unix_ms(now + args.minutes * kMinuteMs);
  for (const std::string& algorithm : key.algorithms()) {
    header.add_signature_algorithms(algorithm);
  }
  order.set_vm_uuid(ToString(vm));
  order.set_host_id(ToHex(host));
  order.set_serial(std::string(AsText(RandomBytes(kSerialSize))));
  order.set_reason(args.reason);
  ASSIGN_OR_RETURN(const Bytes document,
                   key.Sign(document::kBreakGlassPayloadType,
                            AsBytes(order.SerializeAsString())));
  RETURN_IF_ERROR(WriteFileAtomic(args.out, document, 0600));
  return ToHex(AsBytes(order.serial()));
}

}  // namespace

int RunBreakGlass(const BreakGlassArgs& args, std::ostream& out,
                  std::ostream& err) {
  const absl::StatusOr<std::string> serial = Sign(args);
  if (!serial.ok()) {
    err << "vmattest break-glass: "
        << log::Quote(std::string(serial.status().message())) << "\n";
    return ExitCodeOf(serial.status());
  }
  out << fmt::format("order {} for {} minutes\n", *serial, args.minutes);
  return kExitGood;
}

}  // namespace vmattest::cli
