#include "signing/log_file.h"

#include <charconv>
#include <utility>

#include "crypto/digest.h"
#include "crypto/tpm_digest.h"
#include "fmt/format.h"

namespace vmattest::signing {
namespace {

using eventlog::BootFacts;
using eventlog::CelRecord;
using eventlog::HostEvent;
using eventlog::LogHead;

constexpr std::string_view kReason = "reason";
constexpr std::string_view kFirstMissing = "missing_first";
constexpr std::string_view kLastMissing = "missing_last";
constexpr std::string_view kPreviousSize = "previous_size";
constexpr std::string_view kPreviousHead = "previous_head";
constexpr std::string_view kLogPcr = "log_pcr";
constexpr size_t kHeadSize = 32;

absl::Status Wrong(std::string_view fact) {
  return absl::InvalidArgumentError(fmt::format("fact {}: wrong", fact));
}

std::string_view FactOf(const HostEvent& event, std::string_view name) {
  const auto found = event.facts.find(std::string(name));
  return found == event.facts.end() ? std::string_view()
                                    : std::string_view(found->second);
}

absl::StatusOr<uint64_t> NumberOf(const HostEvent& event,
                                  std::string_view name) {
  const std::string_view text = FactOf(event, name);
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Wrong(name);
  }
  return value;
}

// One record after the other, as long as each is the next one.
class Walk {
 public:
  explicit Walk(HashAlgorithm bank)
      : bank_(bank), pcr_value_(DigestSize(bank), 0) {}

  absl::Status Take(const CelRecord& record, LogFileContent& content) {
    ASSIGN_OR_RETURN(
        const HostEvent event,
        eventlog::ParseHostEvent(AsText(ByteView(record.content))));
    // Not PCR and bank: the configuration may have changed since.
    const Bytes digest =
        eventlog::RecordDigest(HashAlgorithm::kSha256, record.content);
    const auto said = record.digests.find(kTpmAlgIdSha256);
    if (said == record.digests.end() || said->second != digest) {
      return absl::InvalidArgumentError(
          fmt::format("record {} has another digest", record.number));
    }
    RETURN_IF_ERROR(GoTo(event, record.number, content));
    if (record.number != head_.size + 1) {
      return absl::InvalidArgumentError(fmt::format(
          "record {} where {} was next", record.number, head_.size + 1));
    }
    FileRecord& added = content.records.emplace_back();
    added.digest = eventlog::RecordDigest(bank_, record.content);
    added.before = head_;
    added.pcr_before = pcr_value_;
    head_.Extend(digest);
    pcr_value_ = eventlog::ExtendPcr(bank_, pcr_value_, added.digest);
    added.after = head_;
    added.pcr_after = pcr_value_;
    content.closed = event.kind == kStoppedEvent;
    return absl::OkStatus();
  }

 private:
  // Some records say themselves what they stand on.
  absl::Status GoTo(const HostEvent& event, uint64_t number,
                    LogFileContent& content) {
    if (content.records.empty() != (event.kind == kBootEvent)) {
      return absl::InvalidArgumentError(
          fmt::format("record {} is a '{}'", number, event.kind));
    }
    if (event.kind == kBootEvent) {
      ASSIGN_OR_RETURN(content.boot, eventlog::ParseBootEvent(event));
      content.boot_record = number;
      head_ = content.boot.previous;
    } else if (event.kind == kLossEvent) {
      ASSIGN_OR_RETURN(LossFacts loss, ParseLossEvent(event));
      head_ = loss.previous;
      if (!loss.log_pcr.empty()) {
        pcr_value_ = std::move(loss.log_pcr);
      }
      content.losses.push_back(
          fmt::format("record {}: {}", number, loss.reason));
    }
    return absl::OkStatus();
  }

  const HashAlgorithm bank_;
  LogHead head_;
  Bytes pcr_value_;
};

}  // namespace

HostEvent MakeLossEvent(const LossFacts& facts, int64_t time_unix_ms) {
  HostEvent event{.kind = std::string(kLossEvent),
                  .facts = {},
                  .time_unix_ms = time_unix_ms};
  const auto add = [&event](std::string_view name, std::string value) {
    event.facts.emplace(name, std::move(value));
  };
  add(kReason, facts.reason);
  add(kPreviousSize, std::to_string(facts.previous.size));
  add(kPreviousHead, ToHex(facts.previous.head));
  if (facts.last_missing != 0) {
    add(kFirstMissing, std::to_string(facts.first_missing));
    add(kLastMissing, std::to_string(facts.last_missing));
  }
  if (!facts.log_pcr.empty()) {
    add(kLogPcr, ToHex(facts.log_pcr));
  }
  return event;
}

absl::StatusOr<LossFacts> ParseLossEvent(const HostEvent& event) {
  LossFacts facts;
  facts.reason = FactOf(event, kReason);
  ASSIGN_OR_RETURN(facts.previous.size, NumberOf(event, kPreviousSize));
  ASSIGN_OR_RETURN(facts.previous.head, ParseHex(FactOf(event, kPreviousHead)));
  if (facts.previous.head.size() != kHeadSize) {
    return Wrong(kPreviousHead);
  }
  if (!FactOf(event, kLastMissing).empty()) {
    ASSIGN_OR_RETURN(facts.first_missing, NumberOf(event, kFirstMissing));
    ASSIGN_OR_RETURN(facts.last_missing, NumberOf(event, kLastMissing));
  }
  ASSIGN_OR_RETURN(facts.log_pcr, ParseHex(FactOf(event, kLogPcr)));
  return facts;
}

LogFileContent ReadLogFile(ByteView file, HashAlgorithm bank) {
  LogFileContent content;
  Walk walk(bank);
  eventlog::CelReader reader(file);
  while (true) {
    const auto record = reader.Next();
    if (!record.ok()) {
      content.damage = std::string(record.status().message());
      return content;
    }
    if (!*record) {
      return content;
    }
    if (const absl::Status taken = walk.Take(**record, content); !taken.ok()) {
      content.damage = std::string(taken.message());
      return content;
    }
    content.valid_size = reader.offset();
  }
}

}  // namespace vmattest::signing
