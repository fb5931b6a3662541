#include "cli/attest_command.h"

#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "vmattest/types/digest.h"

namespace vmattest::cli {
namespace {

constexpr size_t kRandomNonce = 32;

absl::StatusOr<Bytes> Nonce(const AttestArgs& args) {
  if (args.nonce) {
    ASSIGN_OR_RETURN_WITH(Bytes nonce, ParseHex(*args.nonce), "--nonce");
    return nonce;
  }
  Bytes nonce(kRandomNonce);
  if (getrandom(nonce.data(), nonce.size(), 0) !=
      static_cast<ssize_t>(nonce.size())) {
    return absl::InternalError("no random numbers");
  }
  return nonce;
}

absl::StatusOr<v1::AttestConfigRequest> Request(const AttestArgs& args) {
  v1::AttestConfigRequest request;
  request.set_vm(args.vm);
  request.set_fresh(args.fresh);
  ASSIGN_OR_RETURN(const Bytes nonce, Nonce(args));
  request.set_nonce(nonce.data(), nonce.size());
  if (!args.algorithm.empty()) {
    const auto algorithm = ParseHashAlgorithm(args.algorithm);
    if (!algorithm) {
      return absl::InvalidArgumentError(
          fmt::format("--hash: '{}' is unknown", args.algorithm));
    }
    request.set_algorithm(static_cast<v1::HashAlgorithm>(*algorithm));
  }
  if (args.content == "full") {
    request.set_content(v1::CONTENT_POLICY_FULL);
  } else if (args.content == "chain") {
    request.set_content(v1::CONTENT_POLICY_CHAIN);
  } else if (args.content == "none") {
    request.set_content(v1::CONTENT_POLICY_NONE);
  } else if (!args.content.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "--content: '{}' is none of full, chain, none", args.content));
  }
  return request;
}

absl::Status Attest(const AttestArgs& args, std::ostream& out,
                    std::ostream& err) {
  if (args.out.empty() && isatty(STDOUT_FILENO) != 0) {
    return absl::InvalidArgumentError(
        "evidence is binary: name a file with --out, or redirect");
  }
  ASSIGN_OR_RETURN(const v1::AttestConfigRequest request, Request(args));
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  AttestationClient client(channel, args.connection.timeout);
  ASSIGN_OR_RETURN(const v1::AttestConfigResponse response,
                   client.AttestConfig(request));
  const std::string& evidence = response.evidence();
  if (!args.out.empty()) {
    RETURN_IF_ERROR(WriteFileAtomic(args.out, AsBytes(evidence)));
  }
  const std::string nonce = ToHex(AsBytes(request.nonce()));
  std::ostream& text = args.out.empty() ? err : out;
  if (args.json) {
    text << nlohmann::json{{"vm", args.vm},
                           {"nonce", nonce},
                           {"file", args.out},
                           {"bytes", evidence.size()}}
                .dump()
         << std::endl;
  } else {
    text << fmt::format("nonce: {}\n", nonce);
    if (!args.out.empty()) {
      text << fmt::format("evidence: {} ({} bytes)\n", args.out,
                          evidence.size());
    }
  }
  if (args.out.empty()) {
    out.write(evidence.data(), static_cast<std::streamsize>(evidence.size()));
  }
  out.flush();
  return out.good() ? absl::OkStatus()
                    : absl::UnavailableError("standard output is closed");
}

}  // namespace

int RunAttest(const AttestArgs& args, std::ostream& out, std::ostream& err) {
  const absl::Status attested = Attest(args, out, err);
  return attested.ok() ? kExitGood : Fail(attested);
}

}  // namespace vmattest::cli
