#include "tlog/policy.h"

#include <algorithm>
#include <set>

#include "fmt/format.h"

namespace vmattest::tlog {
namespace {

constexpr size_t kMaxComponents = 1024;

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos || line[begin] == '#') {
      return words;
    }
    line.remove_prefix(begin);
    const size_t end = std::min(line.find_first_of(" \t"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

bool IsKeyword(std::string_view name) {
  return name == "none" || name == "all" || name == "any";
}

absl::Status Refuse(std::string_view problem) {
  return absl::InvalidArgumentError(std::string(problem));
}

bool IsPolicyText(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte == '\t' || byte == '\n' || (byte >= 0x20 && byte != 0x7F);
  });
}

}  // namespace

absl::StatusOr<WitnessPolicy> WitnessPolicy::Parse(std::string_view file) {
  if (file.size() > kMaxPolicySize || !IsPolicyText(file)) {
    return Refuse("policy: too long, or control characters");
  }
  WitnessPolicy policy;
  size_t number = 0;
  while (!file.empty()) {
    const size_t end = std::min(file.find('\n'), file.size());
    ++number;
    const std::vector<std::string_view> words = Words(file.substr(0, end));
    if (!words.empty()) {
      RETURN_IF_ERROR_WITH(policy.TakeLine(words),
                           fmt::format("policy line {}", number));
    }
    file.remove_prefix(std::min(end + 1, file.size()));
  }
  if (!policy.has_quorum_) {
    return Refuse("policy: no quorum line");
  }
  return policy;
}

absl::Status WitnessPolicy::TakeLine(
    const std::vector<std::string_view>& words) {
  if (components_.size() + logs_.size() >= kMaxComponents) {
    return Refuse("more than 1024 logs, witnesses and groups");
  }
  if (words[0] == "log") {
    return TakeLog(words);
  }
  if (words[0] == "witness") {
    return TakeWitness(words);
  }
  if (words[0] == "group") {
    return TakeGroup(words);
  }
  if (words[0] == "quorum") {
    return TakeQuorum(words);
  }
  return Refuse(fmt::format("unknown keyword '{}'", words[0]));
}

absl::Status WitnessPolicy::TakeLog(
    const std::vector<std::string_view>& words) {
  if (words.size() < 2 || words.size() > 3) {
    return Refuse("log VKEY [URL]");
  }
  ASSIGN_OR_RETURN(NoteVerifier verifier, NoteVerifier::Parse(words[1]));
  if (IsCosignature(verifier.type())) {
    return Refuse("a log's key is a cosigner's");
  }
  for (const Named& other : logs_) {
    if (verifiers_[other.verifier].public_key() == verifier.public_key()) {
      return Refuse("the log is listed already");
    }
  }
  logs_.push_back({.name = verifier.name(),
                   .verifier = verifiers_.size(),
                   .url = std::string(words.size() > 2 ? words[2] : "")});
  verifiers_.push_back(std::move(verifier));
  return absl::OkStatus();
}

absl::Status WitnessPolicy::TakeWitness(
    const std::vector<std::string_view>& words) {
  if (words.size() < 3 || words.size() > 4) {
    return Refuse("witness NAME VKEY [URL]");
  }
  RETURN_IF_ERROR(TakeName(words[1], false, witnesses_.size()));
  ASSIGN_OR_RETURN(NoteVerifier verifier, NoteVerifier::Parse(words[2]));
  Named witness{.name = std::string(words[1]),
                .verifier = verifiers_.size(),
                .url = std::string(words.size() > 3 ? words[3] : "")};
  for (const Named& other : witnesses_) {
    const NoteVerifier& known = verifiers_[other.verifier];
    if (known.public_key() != verifier.public_key()) {
      continue;
    }
    witness.repeated = true;
    if (known.vkey() == verifier.vkey()) {
      witness.verifier = other.verifier;  // or notes' keys were ambiguous
    }
  }
  if (witness.verifier == verifiers_.size()) {
    verifiers_.push_back(std::move(verifier));
  }
  witnesses_.push_back(std::move(witness));
  return absl::OkStatus();
}

absl::Status WitnessPolicy::TakeGroup(
    const std::vector<std::string_view>& words) {
  if (words.size() < 4) {
    return Refuse("group NAME all|any|K NAME...");
  }
  Group group{.name = std::string(words[1])};
  for (size_t i = 3; i < words.size(); ++i) {
    const size_t member = Find(words[i]);
    if (member == kNone) {
      return Refuse(fmt::format("'{}' is not defined before", words[i]));
    }
    if (components_[member].used) {
      return Refuse(fmt::format("'{}' is in two groups", words[i]));
    }
    components_[member].used = true;
    group.members.push_back(member);
  }
  if (words[2] == "all") {
    group.least = group.members.size();
  } else if (words[2] != "any") {
    const absl::StatusOr<uint64_t> least = ParseDecimal(words[2]);
    if (!least.ok() || *least < 1 || *least > group.members.size()) {
      return Refuse(fmt::format("'{}' is no threshold of {} members", words[2],
                                group.members.size()));
    }
    group.least = *least;
  }
  RETURN_IF_ERROR(TakeName(words[1], true, groups_.size()));
  groups_.push_back(std::move(group));
  return absl::OkStatus();
}

absl::Status WitnessPolicy::TakeQuorum(
    const std::vector<std::string_view>& words) {
  if (words.size() != 2 || has_quorum_) {
    return Refuse("one line: quorum NAME");
  }
  has_quorum_ = true;
  if (words[1] == "none") {
    return absl::OkStatus();
  }
  quorum_ = Find(words[1]);
  return quorum_ == kNone
             ? Refuse(fmt::format("'{}' is not defined before", words[1]))
             : absl::OkStatus();
}

absl::Status WitnessPolicy::TakeName(std::string_view name, bool is_group,
                                     size_t index) {
  if (IsKeyword(name) || Find(name) != kNone) {
    return Refuse(fmt::format("the name '{}' is taken", name));
  }
  components_.push_back(
      {.name = std::string(name), .is_group = is_group, .index = index});
  return absl::OkStatus();
}

size_t WitnessPolicy::Find(std::string_view name) const {
  for (size_t i = 0; i < components_.size(); ++i) {
    if (components_[i].name == name) {
      return i;
    }
  }
  return kNone;
}

size_t WitnessPolicy::threshold() const {
  if (quorum_ == kNone) {
    return 0;
  }
  const Component& top = components_[quorum_];
  return top.is_group ? groups_[top.index].least : 1;
}

bool WitnessPolicy::HasQuorum(std::span<const VerifiedSignature> signatures,
                              int64_t not_before_unix_s) const {
  if (quorum_ == kNone) {
    return true;
  }
  std::vector<bool> holds(components_.size());
  for (size_t i = 0; i < components_.size(); ++i) {
    const Component& component = components_[i];
    if (component.is_group) {  // its members stand before it
      const Group& group = groups_[component.index];
      const auto count =
          std::count_if(group.members.begin(), group.members.end(),
                        [&](size_t m) { return holds[m]; });
      holds[i] = static_cast<size_t>(count) >= group.least;
      continue;
    }
    const Named& witness = witnesses_[component.index];
    holds[i] = !witness.repeated &&
               std::any_of(signatures.begin(), signatures.end(),
                           [&](const VerifiedSignature& signature) {
                             return signature.verifier == witness.verifier &&
                                    signature.time_unix_s >= not_before_unix_s;
                           });
  }
  return holds[quorum_];
}

int64_t WitnessPolicy::QuorumTime(
    std::span<const VerifiedSignature> signatures) const {
  std::set<int64_t, std::greater<>> times;
  for (const VerifiedSignature& signature : signatures) {
    times.insert(signature.time_unix_s);
  }
  for (const int64_t time : times) {
    if (quorum_ != kNone && HasQuorum(signatures, time)) {
      return time;
    }
  }
  return 0;
}

absl::StatusOr<AcceptedCheckpoint> OpenCheckpoint(std::string_view note,
                                                  const WitnessPolicy& policy,
                                                  int64_t not_before_unix_s) {
  ASSIGN_OR_RETURN_WITH(const OpenedNote opened,
                        OpenNote(note, policy.verifiers()), "checkpoint");
  AcceptedCheckpoint accepted;
  ASSIGN_OR_RETURN(accepted.checkpoint, ParseCheckpoint(opened.note.text));
  for (const WitnessPolicy::Named& log : policy.logs()) {
    const auto by_log = [&](const VerifiedSignature& signature) {
      return signature.verifier == log.verifier;
    };
    if (log.name == accepted.checkpoint.origin &&
        std::any_of(opened.verified.begin(), opened.verified.end(), by_log)) {
      accepted.log_key = policy.verifiers()[log.verifier].vkey();
    }
  }
  if (accepted.log_key.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("checkpoint of '{}': no log of the policy signed it",
                    accepted.checkpoint.origin));
  }
  if (!policy.HasQuorum(opened.verified, not_before_unix_s)) {
    return absl::FailedPreconditionError(fmt::format(
        "checkpoint of {} records: no quorum cosigned it{}",
        accepted.checkpoint.size,
        not_before_unix_s > 0 ? fmt::format(" since {}", not_before_unix_s)
                              : std::string()));
  }
  accepted.witnessed_unix_s = policy.QuorumTime(opened.verified);
  return accepted;
}

}  // namespace vmattest::tlog
