#include "cli/references_command.h"

#include "base/bytes.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/message_json.h"
#include "cli/print.h"
#include "fmt/format.h"
#include "vmattest/v1/verifier.grpc.pb.h"

namespace vmattest::cli {
namespace {

using Stub = v1::Verifier::Stub;

constexpr size_t kMaxFile = 4u << 20;

absl::Status Write(const std::string& content, const ReferencesArgs& args,
                   std::ostream& out) {
  if (args.out.empty()) {
    out << content;
    return absl::OkStatus();
  }
  return WriteFileAtomic(args.out, AsBytes(content));
}

absl::Status Put(Stub& stub, const ReferencesArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const Bytes document, ReadFile(args.file, kMaxFile));
  v1::PutReferenceRequest request;
  request.set_document(std::string(AsText(document)));
  ASSIGN_OR_RETURN(
      const v1::PutReferenceResponse put,
      CallVerifier(args.connection, &Stub::PutReference, request, stub));
  out << (args.json ? Json(put)
                    : fmt::format("{}@{}", put.name(), put.revision()))
      << "\n";
  return absl::OkStatus();
}

absl::Status PutOrder(Stub& stub, const ReferencesArgs& args,
                      std::ostream& out) {
  ASSIGN_OR_RETURN(const Bytes document, ReadFile(args.file, kMaxFile));
  v1::PutBreakGlassRequest request;
  request.set_document(std::string(AsText(document)));
  ASSIGN_OR_RETURN(
      const v1::PutBreakGlassResponse put,
      CallVerifier(args.connection, &Stub::PutBreakGlass, request, stub));
  out << (args.json ? Json(put)
                    : fmt::format("order {}", ToHex(AsBytes(put.serial()))))
      << "\n";
  return absl::OkStatus();
}

absl::Status List(Stub& stub, const ReferencesArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const v1::ListReferencesResponse list,
                   CallVerifier(args.connection, &Stub::ListReferences,
                                v1::ListReferencesRequest(), stub));
  for (const v1::ReferenceSummary& reference : list.references()) {
    if (args.json) {
      out << Json(reference) << "\n";
      continue;
    }
    std::string vms;
    for (const std::string& vm : reference.vm_uuids()) {
      vms += (vms.empty() ? "" : ",") + vm;
    }
    out << fmt::format("{}@{}  {}  by {}  {}\n", Printable(reference.name()),
                       reference.revision(), Printable(reference.mode()),
                       Printable(reference.approver()), Printable(vms));
  }
  return absl::OkStatus();
}

absl::Status Get(Stub& stub, const ReferencesArgs& args, std::ostream& out) {
  v1::GetReferenceRequest request;
  request.set_name(args.name);
  request.set_revision(args.revision);
  ASSIGN_OR_RETURN(
      const v1::GetReferenceResponse got,
      CallVerifier(args.connection, &Stub::GetReference, request, stub));
  return Write(got.document(), args, out);
}

absl::Status Learn(Stub& stub, const ReferencesArgs& args, std::ostream& out) {
  v1::LearnReferenceRequest request;
  request.set_vm_uuid(args.vm);
  request.set_name(args.name);
  ASSIGN_OR_RETURN(
      const v1::LearnReferenceResponse learned,
      CallVerifier(args.connection, &Stub::LearnReference, request, stub));
  return Write(learned.yaml(), args, out);
}

// A document begins with its format tag; YAML never does.
bool IsDocument(ByteView file) {
  return AsText(file).find("vmattest/document/v1") < 16;
}

absl::StatusOr<bool> Simulate(Stub& stub, const ReferencesArgs& args,
                              std::ostream& out) {
  ASSIGN_OR_RETURN(const Bytes file, ReadFile(args.file, kMaxFile));
  v1::SimulateRequest request;
  const std::string content(AsText(file));
  if (IsDocument(file)) {
    request.set_document(content);
  } else {
    request.set_yaml(content);
  }
  request.set_most(args.most);
  ASSIGN_OR_RETURN(
      const v1::SimulateResponse simulated,
      CallVerifier(args.connection, &Stub::Simulate, request, stub));
  for (const auto& flip : simulated.flips()) {
    if (args.json) {
      out << Json(flip) << "\n";
      continue;
    }
    out << fmt::format("{}  decision {}  {} -> {}\n", Printable(flip.vm_uuid()),
                       flip.decision(),
                       flip.trusted_before() ? "trusted" : "refused",
                       flip.trusted_after() ? "trusted" : "refused");
    for (const v1::CheckFailure& failure : flip.failures()) {
      out << fmt::format(
          "  {}: {}: expected {}, found {}\n", Printable(failure.code()),
          Printable(failure.element()), Printable(failure.expected()),
          Printable(failure.found()));
    }
  }
  if (!args.json) {
    out << fmt::format("{} of {} would flip\n", simulated.flips_size(),
                       simulated.examined());
  }
  return simulated.flips_size() > 0;
}

}  // namespace

int RunReferences(const ReferencesArgs& args, std::ostream& out) {
  const auto channel = Connect(args.connection);
  if (!channel.ok()) {
    return Fail(channel.status());
  }
  const auto stub = v1::Verifier::NewStub(*channel);
  absl::Status done;
  switch (args.action) {
    case ReferencesArgs::Action::kPut:
      done = Put(*stub, args, out);
      break;
    case ReferencesArgs::Action::kPutOrder:
      done = PutOrder(*stub, args, out);
      break;
    case ReferencesArgs::Action::kList:
      done = List(*stub, args, out);
      break;
    case ReferencesArgs::Action::kGet:
      done = Get(*stub, args, out);
      break;
    case ReferencesArgs::Action::kLearn:
      done = Learn(*stub, args, out);
      break;
    case ReferencesArgs::Action::kSimulate: {
      const absl::StatusOr<bool> flips = Simulate(*stub, args, out);
      out.flush();
      return !flips.ok() ? Fail(flips.status())
             : *flips    ? kExitNotTrustworthy
                         : kExitGood;
    }
  }
  out.flush();
  return done.ok() ? kExitGood : Fail(done);
}

}  // namespace vmattest::cli
