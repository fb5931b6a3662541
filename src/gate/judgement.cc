#include "gate/judgement.h"

#include <utility>
#include <vector>

#include "fmt/format.h"

namespace vmattest::gate {
namespace {

constexpr size_t kMaxShown = 160;

// Values come from domain XML: one line of printable text, and not too long.
std::string Shown(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return text.size() > kMaxShown ? shown + "..." : shown;
}

std::string Sentence(const Reason& reason) {
  std::string text = fmt::format("{}", Shown(reason.element));
  if (reason.expected.empty() && reason.found.empty()) {
    return text;
  }
  return fmt::format("{}: expected '{}', found '{}'", text,
                     Shown(reason.expected), Shown(reason.found));
}

std::string More(size_t reasons) {
  return reasons > 1 ? fmt::format(" (and {} more)", reasons - 1) : "";
}

std::string Refused(const Reason& reason, const std::string& fix) {
  const std::string sentence =
      fmt::format("{} [{}]", Sentence(reason), Shown(reason.code));
  return fix.empty() ? sentence : sentence + "; to pass: " + Shown(fix);
}

Judgement NotApproved(const std::vector<std::string>& sentences) {
  if (sentences.empty()) {
    return Deny("gate-refused", "the verifier refuses it without a reason");
  }
  return Deny("gate-refused",
              fmt::format("not what was approved: {}{}", sentences.front(),
                          More(sentences.size())));
}

}  // namespace

Judgement Allow(Basis basis, std::string ear) {
  return {.allowed = true,
          .basis = basis,
          .code = {},
          .sentence = {},
          .ear = std::move(ear)};
}

Judgement Deny(std::string_view code, std::string sentence) {
  Judgement judgement;
  judgement.code = std::string(code);
  judgement.sentence = std::move(sentence);
  return judgement;
}

Judgement DenyFor(std::string_view code, std::string_view step,
                  const absl::Status& failure) {
  if (absl::IsDeadlineExceeded(failure) || absl::IsCancelled(failure)) {
    return Deny("gate-timeout",
                fmt::format("{} did not end in time; try again, or raise "
                            "gate.deadline_ms ({})",
                            step, Shown(std::string(failure.message()))));
  }
  return Deny(code, fmt::format("{} failed: {}", step,
                                Shown(std::string(failure.message()))));
}

Judgement DenyFor(const Verdict& verdict) {
  if (verdict.reasons.empty()) {
    return Deny("gate-refused", "refused, without a reason");
  }
  const Reason& first = verdict.reasons.front();
  return Deny(first.code, Sentence(first) + More(verdict.reasons.size()));
}

Judgement DenyFor(const token::Ear& ear) {
  std::vector<std::string> sentences;
  for (const auto& [name, part] : ear.submodules) {
    for (size_t i = 0; i < part.reasons.size(); ++i) {
      sentences.push_back(Refused(part.reasons[i], i < part.fixes.size()
                                                       ? part.fixes[i]
                                                       : std::string()));
    }
  }
  return NotApproved(sentences);
}

Judgement DenyFor(std::span<const reference::Finding> findings) {
  std::vector<std::string> sentences;
  for (const reference::Finding& finding : findings) {
    sentences.push_back(Refused(finding.reason, finding.fix));
  }
  return NotApproved(sentences);
}

}  // namespace vmattest::gate
