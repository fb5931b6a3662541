#include "cli/host_identity_command.h"

#include "base/bytes.h"
#include "base/file.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

absl::Status Write(const HostIdentityArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  AttestationClient client(channel, args.connection.timeout);
  ASSIGN_OR_RETURN(const v1::HostIdentity wire, client.GetHostIdentity());
  ASSIGN_OR_RETURN_WITH(
      const evidence::HostIdentity identity,
      wire::ParseHostIdentity(AsBytes(wire.SerializeAsString())),
      "the daemon's answer");
  const std::string json = args.only_id ? identity.host_id + "\n"
                                        : wire::HostIdentityToJson(identity);
  if (!args.out.empty()) {
    return WriteFileAtomic(args.out, AsBytes(json));
  }
  out << json << std::flush;
  return absl::OkStatus();
}

}  // namespace

int RunHostIdentity(const HostIdentityArgs& args, std::ostream& out) {
  const absl::Status written = Write(args, out);
  return written.ok() ? kExitGood : Fail(written);
}

}  // namespace vmattest::cli
