#include "cli/decisions_command.h"

#include <ctime>

#include "base/bytes.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/message_json.h"
#include "cli/print.h"
#include "fmt/chrono.h"
#include "fmt/format.h"
#include "vmattest/v1/verifier.grpc.pb.h"

namespace vmattest::cli {
namespace {

using Stub = v1::Verifier::Stub;

constexpr size_t kMaxEvidence = 16u << 20;

std::string Time(int64_t unix_ms) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z",
                     fmt::gmtime(static_cast<std::time_t>(unix_ms / 1000)));
}

template <class Failures>
void PrintFailures(const Failures& failures, std::ostream& out) {
  for (const v1::CheckFailure& failure : failures) {
    out << fmt::format("  {}: {}: expected {}, found {}\n",
                       Printable(failure.code()), Printable(failure.element()),
                       Printable(failure.expected()),
                       Printable(failure.found()));
    if (!failure.fix().empty()) {
      out << fmt::format("    to pass: {}\n", Printable(failure.fix()));
    }
  }
}

void Print(const v1::Decision& decision, bool json, std::ostream& out) {
  if (json) {
    out << Json(decision) << "\n" << std::flush;
    return;
  }
  const char* word = decision.kind() != "decision" ? decision.kind().c_str()
                     : decision.trusted()          ? "trusted"
                                                   : "REFUSED";
  out << fmt::format(
      "{} {} {} {} {} host {} {}\n", decision.sequence(),
      Time(decision.time_unix_ms()), word, Printable(decision.vm_uuid()),
      Printable(decision.vm_name()), Printable(decision.host_id()),
      Printable(decision.reference()));
  PrintFailures(decision.failures(), out);
  out.flush();
}

absl::StatusOr<v1::AppraiseResponse> AppraiseFile(const AppraiseArgs& args,
                                                  const std::string& nonce,
                                                  Stub& stub) {
  v1::AppraiseRequest request;
  ASSIGN_OR_RETURN(const Bytes evidence, ReadFile(args.file, kMaxEvidence));
  request.set_evidence(std::string(AsText(evidence)));
  request.set_nonce(nonce);
  request.set_vm_uuid(args.vm);
  request.set_post_quantum(args.post_quantum);
  return CallVerifier(args.connection, &Stub::Appraise, request, stub);
}

absl::StatusOr<v1::AppraiseResponse> AskHost(const AppraiseArgs& args,
                                             const std::string& nonce,
                                             Stub& stub) {
  v1::RequestAttestationRequest request;
  request.set_vm_uuid(args.vm);
  request.set_nonce(nonce);
  request.set_post_quantum(args.post_quantum);
  return CallVerifier(args.connection, &Stub::RequestAttestation, request,
                      stub);
}

absl::StatusOr<bool> Appraise(const AppraiseArgs& args, std::ostream& out) {
  if (args.file.empty() && args.vm.empty()) {
    return absl::InvalidArgumentError("give a file, or --vm to ask its host");
  }
  ASSIGN_OR_RETURN_WITH(const Bytes nonce, ParseHex(args.nonce), "--nonce");
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  const auto stub = v1::Verifier::NewStub(channel);
  const std::string wanted(AsText(nonce));
  ASSIGN_OR_RETURN(const v1::AppraiseResponse result,
                   args.file.empty() ? AskHost(args, wanted, *stub)
                                     : AppraiseFile(args, wanted, *stub));
  if (!args.out.empty()) {
    RETURN_IF_ERROR(WriteFileAtomic(
        args.out, AsBytes(args.post_quantum ? result.ear_pq() : result.ear())));
  }
  if (args.json) {
    out << Json(result) << "\n";
  } else {
    out << fmt::format(
        "{} (decision {}, reference {})\n",
        result.trusted() ? "trusted" : "REFUSED", result.decision(),
        result.reference().empty() ? "none" : Printable(result.reference()));
    PrintFailures(result.failures(), out);
  }
  return result.trusted();
}

absl::Status List(Stub& stub, const DecisionsArgs& args, std::ostream& out) {
  v1::ListDecisionsRequest request;
  request.set_vm_uuid(args.vm);
  request.set_before_sequence(args.before);
  request.set_page_size(args.count);
  request.set_refused_only(args.refused_only);
  ASSIGN_OR_RETURN(
      const v1::ListDecisionsResponse list,
      CallVerifier(args.connection, &Stub::ListDecisions, request, stub));
  for (const v1::Decision& decision : list.decisions()) {
    Print(decision, args.json, out);
  }
  return absl::OkStatus();
}

absl::Status Show(Stub& stub, const DecisionsArgs& args, std::ostream& out) {
  v1::GetDecisionRequest request;
  request.set_sequence(args.sequence);
  ASSIGN_OR_RETURN(
      const v1::GetDecisionResponse got,
      CallVerifier(args.connection, &Stub::GetDecision, request, stub));
  Print(got.decision(), args.json, out);
  if (!args.json) {
    out << Printable(got.decision().ear()) << "\n";
  }
  if (!args.evidence.empty()) {
    if (got.evidence().empty()) {
      return absl::NotFoundError("its evidence is not kept");
    }
    return WriteFileAtomic(args.evidence, AsBytes(got.evidence()));
  }
  return absl::OkStatus();
}

absl::Status Watch(Stub& stub, const DecisionsArgs& args, std::ostream& out) {
  grpc::ClientContext context;
  if (args.connection.timeout.count() > 0) {
    context.set_deadline(std::chrono::system_clock::now() +
                         args.connection.timeout);
  }
  v1::WatchAlertsRequest request;
  request.set_after_sequence(args.sequence);
  const auto reader = stub.WatchAlerts(&context, request);
  v1::WatchAlertsResponse alert;
  for (int32_t seen = 0; reader->Read(&alert);) {
    Print(alert.decision(), args.json, out);
    if (args.count > 0 && ++seen == args.count) {
      context.TryCancel();
      (void)reader->Finish();
      return absl::OkStatus();
    }
  }
  return rpc::FromGrpc(reader->Finish());
}

}  // namespace

int RunAppraise(const AppraiseArgs& args, std::ostream& out) {
  const absl::StatusOr<bool> trusted = Appraise(args, out);
  out.flush();
  return !trusted.ok() ? Fail(trusted.status())
         : *trusted    ? kExitGood
                       : kExitNotTrustworthy;
}

int RunDecisions(const DecisionsArgs& args, std::ostream& out) {
  const auto channel = Connect(args.connection);
  if (!channel.ok()) {
    return Fail(channel.status());
  }
  const auto stub = v1::Verifier::NewStub(*channel);
  absl::Status done;
  switch (args.action) {
    case DecisionsArgs::Action::kList:
      done = List(*stub, args, out);
      break;
    case DecisionsArgs::Action::kShow:
      done = Show(*stub, args, out);
      break;
    case DecisionsArgs::Action::kWatch:
      done = Watch(*stub, args, out);
      break;
  }
  out.flush();
  return done.ok() ? kExitGood : Fail(done);
}

}  // namespace vmattest::cli
