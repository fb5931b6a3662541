#include "agent/program.h"

#include <sys/random.h>

#include <charconv>
#include <chrono>
#include <ctime>

#include "agent/port.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace vmattest::agent {
namespace {

using guestchannel::Refusal;
using guestchannel::SnapshotTaken;

constexpr char kHelp[] =
    R"(vmattest-agent: what a guest says to the vmattestd of its host

usage: vmattest-agent request-snapshot [OPTION...]

Asks the host to measure this machine's memory, seal what it finds with its TPM,
and keep that. What was found is told to the verifier and not here.

  --policy NAME   which of those that the host offers; else its usual one
  --nonce HEX     16 to 64 bytes that will be in the evidence; else random ones
  --port PATH     the device; else the port org.vmattest.agent.0
  --timeout S     how long to wait for the answer, 1 to 86400; 300
  --json          the answer as JSON

  --help, --version

exit status: 0 done, 1 refused, 2 usage or no such port, 3 no answer,
4 refused for now (retry_after_ms says how long)
)";
constexpr size_t kNonceSize = 32;

struct Options {
  std::string policy;
  Bytes nonce;
  std::string port;
  std::chrono::seconds timeout{300};
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

absl::Status Set(const std::string& option, const std::string& value,
                 Options& options) {
  if (option == "--policy") {
    options.policy = value;
    return absl::OkStatus();
  }
  if (option == "--port") {
    options.port = value;
    return absl::OkStatus();
  }
  if (option == "--nonce") {
    ASSIGN_OR_RETURN_WITH(options.nonce, ParseHex(value), option);
    return absl::OkStatus();
  }
  if (option == "--timeout") {
    int seconds = 0;
    const char* const end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, seconds);
    if (parsed.ec != std::errc() || parsed.ptr != end || seconds < 1 ||
        seconds > 86'400) {
      return absl::InvalidArgumentError("--timeout: 1 to 86400 seconds");
    }
    options.timeout = std::chrono::seconds(seconds);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format("unknown option {}", option));
}

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& words) {
  Options options;
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "--json") {
      options.json = true;
      continue;
    }
    const size_t equals = words[i].find('=');
    if (equals != std::string::npos) {
      RETURN_IF_ERROR(Set(words[i].substr(0, equals),
                          words[i].substr(equals + 1), options));
    } else if (i + 1 < words.size()) {
      RETURN_IF_ERROR(Set(words[i], words[i + 1], options));
      ++i;
    } else {
      return absl::InvalidArgumentError(
          fmt::format("{}: unknown, or without its value", words[i]));
    }
  }
  if (options.nonce.empty()) {
    options.nonce = Random(kNonceSize);
  }
  return options;
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
  const MonotonicTime deadline =
      std::chrono::steady_clock::now() + options.timeout;
  guestchannel::Request request;
  request.id = Random(guestchannel::kIdSize);
  request.body = guestchannel::SnapshotRequest{options.policy, options.nonce};
  RETURN_IF_ERROR(guestchannel::CheckRequest(request));
  std::string path = options.port;
  if (path.empty()) {
    ASSIGN_OR_RETURN(path, FindPort("/", std::string(guestchannel::kPortName)));
  }
  ASSIGN_OR_RETURN(Port port, Port::Open(path));
  ASSIGN_OR_RETURN(guestchannel::Answer answer, port.Ask(request, deadline));
  const auto* const taken = std::get_if<SnapshotTaken>(&answer.body);
  if (taken != nullptr && taken->nonce != options.nonce) {
    return absl::DataLossError("the host's answer has another nonce");
  }
  return answer;
}

}  // namespace

int RunAgent(const std::vector<std::string>& words, FILE* out, FILE* err) {
  for (const std::string& word : words) {
    if (word == "--help" || word == "-h") {
      fmt::print(out, "{}", kHelp);
      return kGood;
    }
  }
  if (words.size() == 1 && words[0] == "--version") {
    fmt::print(out, "vmattest-agent {}\n", VMATTEST_VERSION);
    return kGood;
  }
  if (words.empty() || words[0] != "request-snapshot") {
    fmt::print(err, "{}", kHelp);
    return kUsage;
  }
  const absl::StatusOr<Options> options = ParseOptions(words);
  if (!options.ok()) {
    return Complain(options.status(), err);
  }
  const absl::StatusOr<guestchannel::Answer> answer = Ask(*options);
  if (!answer.ok()) {
    return Complain(answer.status(), err);
  }
  const auto* const refusal = std::get_if<Refusal>(&answer->body);
  return refusal != nullptr
             ? Show(*refusal, options->json, out, err)
             : Show(std::get<SnapshotTaken>(answer->body), options->json, out);
}

}  // namespace vmattest::agent
