#include "cli/seal_command.h"

#include "base/file.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "fmt/format.h"
#include "wire/seal_approval.h"

namespace vmattest::cli {
namespace {

constexpr size_t kMaxStatusFile = 64u << 10;
// GetSealStatusResponse.state.
constexpr std::string_view kUnsealed = "unsealed";
constexpr std::string_view kOff = "off";
constexpr std::string_view kUnapproved = "unapproved-boot";

int ExitCodeOf(std::string_view state) {
  if (state == kUnsealed || state == kOff) {
    return kExitGood;
  }
  return state == kUnapproved ? kExitNotTrustworthy : kExitUndecided;
}

SealStatus FromWire(const v1::GetSealStatusResponse& message) {
  SealStatus status;
  status.state = message.state();
  status.detail = message.detail();
  status.host_id = message.host_id();
  status.authority = ToBytes(message.seal_authority());
  status.counter = message.counter();
  status.counter_name = ToBytes(message.counter_name());
  status.approvals = message.approvals();
  status.pcrs.bank = static_cast<uint16_t>(message.current().bank());
  for (const v1::PcrValue& pcr : message.current().values()) {
    status.pcrs.values[pcr.index()] = ToBytes(pcr.value());
  }
  return status;
}

absl::StatusOr<SealStatus> AskStatus(const ConnectionArgs& args) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args));
  AttestationClient client(channel, args.timeout);
  ASSIGN_OR_RETURN(const v1::GetSealStatusResponse response,
                   client.GetSealStatus());
  return FromWire(response);
}

void Print(const SealStatus& status, std::ostream& out) {
  out << fmt::format("{}{}{}\n", Printable(status.state),
                     status.detail.empty() ? "" : ": ",
                     Printable(status.detail));
  out << fmt::format("host {}\n", Printable(status.host_id));
  out << fmt::format("approvals {}  counter {}  counter name {}\n",
                     status.approvals, status.counter,
                     ToHex(status.counter_name));
  for (const auto& [index, value] : status.pcrs.values) {
    out << fmt::format("PCR {:<2} {}\n", index, ToHex(value));
  }
}

absl::Status Approve(const SealApproveCommandArgs& args, std::ostream& out) {
  if (args.current == !args.status.empty()) {
    return absl::InvalidArgumentError("give one of --status and --current");
  }
  SealStatus status;
  if (args.current) {
    ASSIGN_OR_RETURN(status, AskStatus(args.connection));
  } else {
    ASSIGN_OR_RETURN(const Bytes text, ReadFile(args.status, kMaxStatusFile));
    ASSIGN_OR_RETURN_WITH(status, SealStatusFromJson(AsText(text)),
                          args.status);
  }
  ASSIGN_OR_RETURN(const std::string approvals,
                   MakeSealApprovals(args, std::move(status)));
  RETURN_IF_ERROR(WriteFileAtomic(args.out, AsBytes(approvals)));
  out << fmt::format(
      "{}: install it on the host with: vmattest seal install "
      "{}\n",
      args.out, args.out);
  return absl::OkStatus();
}

absl::StatusOr<v1::ApproveBootRequest> InstallRequest(
    const SealInstallArgs& args) {
  if (args.current_boot == !args.files.empty()) {
    return absl::InvalidArgumentError("give approval files or --current-boot");
  }
  if (args.revoke_older && !args.current_boot) {
    return absl::InvalidArgumentError(
        "--revoke-older goes with --current-boot: files would be void too");
  }
  v1::ApproveBootRequest request;
  request.set_current_boot(args.current_boot);
  request.set_revoke_older(args.revoke_older);
  for (const std::string& file : args.files) {
    ASSIGN_OR_RETURN(const Bytes text,
                     ReadFile(file, wire::kMaxSealApprovalSize));
    RETURN_IF_ERROR_WITH(wire::SealApprovalsFromJson(AsText(text)).status(),
                         file);
    request.add_approvals(std::string(AsText(text)));
  }
  return request;
}

int Send(const ConnectionArgs& connection,
         const absl::StatusOr<v1::ApproveBootRequest>& request,
         std::ostream& out) {
  if (!request.ok()) {
    return Fail(request.status());
  }
  const auto channel = Connect(connection);
  if (!channel.ok()) {
    return Fail(channel.status());
  }
  AttestationClient client(*channel, connection.timeout);
  const auto response = client.ApproveBoot(*request);
  if (!response.ok()) {
    return Fail(response.status());
  }
  out << Printable(response->state()) << std::endl;
  return ExitCodeOf(response->state());
}

}  // namespace

int RunSealStatus(const SealStatusArgs& args, std::ostream& out) {
  const absl::StatusOr<SealStatus> status = AskStatus(args.connection);
  if (!status.ok()) {
    return Fail(status.status());
  }
  if (args.json) {
    out << SealStatusToJson(*status) << "\n";
  } else {
    Print(*status, out);
  }
  out.flush();
  return ExitCodeOf(status->state);
}

int RunSealApprove(const SealApproveCommandArgs& args, std::ostream& out) {
  const absl::Status made = Approve(args, out);
  out.flush();
  return made.ok() ? kExitGood : Fail(made);
}

int RunSealInstall(const SealInstallArgs& args, std::ostream& out) {
  return Send(args.connection, InstallRequest(args), out);
}

int RunSealRevoke(const SealRevokeArgs& args, std::ostream& out) {
  v1::ApproveBootRequest request;
  request.set_revoke_older(true);
  const int code = Send(args.connection, request, out);
  // Nothing is approved any more: that is what was asked for.
  return code == kExitNotTrustworthy ? kExitGood : code;
}

}  // namespace vmattest::cli
