#include "agent/program.h"

#include <sys/random.h>

#include <chrono>
#include <ctime>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "agent/port.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace vmattest::agent {
namespace {

using guestchannel::Refusal;
using guestchannel::SnapshotTaken;

constexpr char kExitCodes[] =
    "Exit codes: 0 done, 1 refused, 2 usage or no such port, 3 no answer, "
    "4 refused for now (retry_after_ms says how long).";
constexpr size_t kNonceSize = 32;

struct Options {
  std::string policy;
  std::string nonce;  // in hexadecimal digits
  std::string port;
  int64_t timeout_s = 300;
  bool json = false;
};

Bytes Random(size_t size) {
  Bytes bytes(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t got = getrandom(bytes.data() + done, size - done, 0);
    done += got > 0 ? static_cast<size_t>(got) : 0;
  }
  return bytes;
}

void Describe(CLI::App& app, Options& options) {
  app.set_version_flag("--version", "vmattest-agent " VMATTEST_VERSION);
  app.require_subcommand(1);
  app.footer(kExitCodes);
  CLI::App* const request = app.add_subcommand(
      "request-snapshot",
      "Asks the host to measure this machine's memory, seal what it finds with "
      "its TPM, and keep that. What was found is told to the verifier, not "
      "here.");
  request->add_option("--policy", options.policy,
                      "which of those that the host offers; else its usual "
                      "one");
  request->add_option("--nonce", options.nonce,
                      "16 to 64 bytes that will be in the evidence, in "
                      "hexadecimal digits; else random ones");
  request->add_option("--port", options.port,
                      fmt::format("the device; else that of the port {}",
                                  guestchannel::kPortName));
  request
      ->add_option("--timeout", options.timeout_s,
                   "how many seconds to wait for the answer")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  request->add_flag("--json", options.json, "the answer as JSON");
  request->footer(kExitCodes);
}

std::string TimeText(int64_t unix_ms) {
  const time_t seconds = unix_ms / 1000;
  tm parts{};
  char text[32] = "";
  if (gmtime_r(&seconds, &parts) != nullptr) {
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  }
  return text;
}

int Show(const Refusal& refusal, bool json, FILE* out, FILE* err) {
  if (json) {
    fmt::print(out, "{}\n",
               nlohmann::json{{"refused", refusal.code},
                              {"sentence", refusal.sentence},
                              {"retry_after_ms", refusal.retry_after_ms}}
                   .dump());
  } else {
    fmt::print(err, "refused     {}: {}\n", refusal.code, refusal.sentence);
  }
  return refusal.retry_after_ms > 0 ? kTryLater : kRefused;
}

int Show(const SnapshotTaken& taken, bool json, FILE* out) {
  const std::vector<std::pair<const char*, nlohmann::json>> fields = {
      {"id", taken.id},
      {"vm_uuid", taken.vm_uuid},
      {"time", TimeText(taken.time_unix_ms)},
      {"time_unix_ms", taken.time_unix_ms},
      {"policy", taken.policy},
      {"policy_digest", ToHex(taken.policy_digest)},
      {"algorithm", taken.algorithm},
      {"root", ToHex(taken.root)},
      {"nonce", ToHex(taken.nonce)},
      {"evidence_sha256", ToHex(taken.evidence_sha256)},
      {"consistency", taken.consistency},
      {"pages", taken.pages},
      {"unreadable_pages", taken.unreadable_pages},
      {"torn_pages", taken.torn_pages},
      {"unavailable_regions", taken.unavailable_regions}};
  nlohmann::json all;
  for (const auto& [name, value] : fields) {
    all[name] = value;
    if (!json) {
      fmt::print(out, "{:<20}{}\n", name,
                 value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  if (json) {
    fmt::print(out, "{}\n", all.dump());
  }
  return kGood;
}

int Complain(const absl::Status& status, FILE* err) {
  fmt::print(err, "vmattest-agent: {}\n", std::string(status.message()));
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status)
             ? kUsage
             : kNoAnswer;
}

absl::StatusOr<guestchannel::Answer> Ask(const Options& options) {
  const MonotonicTime deadline = std::chrono::steady_clock::now() +
                                 std::chrono::seconds(options.timeout_s);
  Bytes nonce;
  if (options.nonce.empty()) {
    nonce = Random(kNonceSize);
  } else {
    ASSIGN_OR_RETURN_WITH(nonce, ParseHex(options.nonce), "--nonce");
  }
  guestchannel::Request request;
  request.id = Random(guestchannel::kIdSize);
  request.body = guestchannel::SnapshotRequest{options.policy, nonce};
  RETURN_IF_ERROR(guestchannel::CheckRequest(request));
  std::string path = options.port;
  if (path.empty()) {
    ASSIGN_OR_RETURN(path, FindPort("/", std::string(guestchannel::kPortName)));
  }
  ASSIGN_OR_RETURN(Port port, Port::Open(path));
  ASSIGN_OR_RETURN(guestchannel::Answer answer, port.Ask(request, deadline));
  const auto* const taken = std::get_if<SnapshotTaken>(&answer.body);
  if (taken != nullptr && taken->nonce != nonce) {
    return absl::DataLossError("the host's answer has another nonce");
  }
  return answer;
}

}  // namespace

int RunAgent(int argc, const char* const* argv, FILE* out, FILE* err) {
  CLI::App app("vmattest-agent: what a guest says to the vmattestd of its host",
               "vmattest-agent");
  Options options;
  Describe(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream said;
    std::ostringstream complained;
    const int code = app.exit(error, said, complained);
    fmt::print(out, "{}", said.str());
    fmt::print(err, "{}", complained.str());
    return code == 0 ? kGood : kUsage;
  }
  const absl::StatusOr<guestchannel::Answer> answer = Ask(options);
  if (!answer.ok()) {
    return Complain(answer.status(), err);
  }
  const auto* const refusal = std::get_if<Refusal>(&answer->body);
  return refusal != nullptr
             ? Show(*refusal, options.json, out, err)
             : Show(std::get<SnapshotTaken>(answer->body), options.json, out);
}

}  // namespace vmattest::agent
