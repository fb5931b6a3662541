#include "cli/hosts_command.h"

#include <ctime>

#include "base/bytes.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "fmt/chrono.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "vmattest/v1/enrollment.grpc.pb.h"

namespace vmattest::cli {
namespace {

using Stub = v1::Enrollment::Stub;

std::string Time(int64_t unix_ms) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z",
                     fmt::gmtime(static_cast<std::time_t>(unix_ms / 1000)));
}

void Print(const v1::Host& host, bool json, std::ostream& out) {
  if (json) {
    out << nlohmann::json{{"host_id", host.host_id()},
                          {"state", host.state()},
                          {"hostname", host.hostname()},
                          {"ek_trust", host.ek_trust()},
                          {"ak_name", ToHex(AsBytes(host.ak_name()))},
                          {"revision", host.revision()},
                          {"since_unix_ms", host.since_unix_ms()},
                          {"client_identity", host.client_identity()},
                          {"revocation_reason", host.revocation_reason()}}
               .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
        << "\n";
    return;
  }
  out << fmt::format("{}  {:<8}  {}  {}  {}{}\n", Printable(host.host_id()),
                     Printable(host.state()), Printable(host.hostname()),
                     Time(host.since_unix_ms()),
                     Printable(host.client_identity()),
                     host.revocation_reason().empty()
                         ? ""
                         : "  " + Printable(host.revocation_reason()));
}

absl::Status List(Stub& stub, const HostsArgs& args, std::ostream& out) {
  v1::ListHostsRequest request;
  while (true) {
    ASSIGN_OR_RETURN(
        const v1::ListHostsResponse page,
        CallVerifier(args.connection, &Stub::ListHosts, request, stub));
    for (const v1::Host& host : page.hosts()) {
      Print(host, args.json, out);
    }
    if (page.next_page_token().empty()) {
      return absl::OkStatus();
    }
    request.set_page_token(page.next_page_token());
  }
}

absl::Status Show(Stub& stub, const HostsArgs& args, std::ostream& out) {
  v1::GetHostRequest request;
  request.set_host_id(args.host_id);
  ASSIGN_OR_RETURN(
      const v1::GetHostResponse got,
      CallVerifier(args.connection, &Stub::GetHost, request, stub));
  Print(got.host(), args.json, out);
  if (!args.json) {
    out << fmt::format("AK name: {}\nEK trust: {}\nrevision: {}\n",
                       ToHex(AsBytes(got.host().ak_name())),
                       Printable(got.host().ek_trust()), got.host().revision());
  }
  if (!args.out.empty()) {
    return WriteFileAtomic(args.out, AsBytes(got.host().record()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> AkName(const HostsArgs& args) {
  const absl::StatusOr<Bytes> name = ParseHex(args.ak_name);
  if (!name.ok()) {
    return absl::InvalidArgumentError("the AK's name is hexadecimal");
  }
  return std::string(AsText(*name));
}

absl::Status Approve(Stub& stub, const HostsArgs& args, std::ostream& out) {
  v1::ApproveHostRequest request;
  request.set_host_id(args.host_id);
  ASSIGN_OR_RETURN(*request.mutable_ak_name(), AkName(args));
  ASSIGN_OR_RETURN(
      const v1::ApproveHostResponse done,
      CallVerifier(args.connection, &Stub::ApproveHost, request, stub));
  Print(done.host(), args.json, out);
  return absl::OkStatus();
}

absl::Status Revoke(Stub& stub, const HostsArgs& args, std::ostream& out) {
  v1::RevokeHostRequest request;
  request.set_host_id(args.host_id);
  request.set_reason(args.reason);
  ASSIGN_OR_RETURN(
      const v1::RevokeHostResponse done,
      CallVerifier(args.connection, &Stub::RevokeHost, request, stub));
  Print(done.host(), args.json, out);
  return absl::OkStatus();
}

absl::Status AllowRebind(Stub& stub, const HostsArgs& args, std::ostream& out) {
  v1::AllowRebindRequest request;
  request.set_host_id(args.host_id);
  ASSIGN_OR_RETURN(*request.mutable_ak_name(), AkName(args));
  const auto expires =
      std::chrono::system_clock::now() + std::chrono::hours(args.hours);
  request.set_expires_unix_ms(
      std::chrono::duration_cast<std::chrono::milliseconds>(
          expires.time_since_epoch())
          .count());
  RETURN_IF_ERROR(
      CallVerifier(args.connection, &Stub::AllowRebind, request, stub)
          .status());
  out << fmt::format("{} may come back with that AK, once, until {}\n",
                     args.host_id, Time(request.expires_unix_ms()));
  return absl::OkStatus();
}

absl::Status Run(const HostsArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  const auto stub = v1::Enrollment::NewStub(channel);
  switch (args.action) {
    case HostsArgs::Action::kList:
      return List(*stub, args, out);
    case HostsArgs::Action::kShow:
      return Show(*stub, args, out);
    case HostsArgs::Action::kApprove:
      return Approve(*stub, args, out);
    case HostsArgs::Action::kRevoke:
      return Revoke(*stub, args, out);
    case HostsArgs::Action::kAllowRebind:
      return AllowRebind(*stub, args, out);
  }
  return absl::InternalError("no such action");
}

}  // namespace

int RunHosts(const HostsArgs& args, std::ostream& out) {
  const absl::Status done = Run(args, out);
  out.flush();
  return done.ok() ? kExitGood : Fail(done);
}

}  // namespace vmattest::cli
