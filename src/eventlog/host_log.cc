#include "eventlog/host_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "crypto/digest.h"
#include "crypto/tpm_digest.h"

namespace vmattest::eventlog {
namespace {

using Kind = HostLogProblem::Kind;

constexpr std::string_view kBoot = "boot";
constexpr std::string_view kDaemonStopped = "daemon-stopped";
constexpr std::string_view kLogLoss = "log-loss";
constexpr size_t kHeadSize = 32;

absl::StatusOr<std::string_view> Fact(const HostEvent& event,
                                      const std::string& name) {
  const auto fact = event.facts.find(name);
  if (fact == event.facts.end()) {
    return absl::InvalidArgumentError(
        fmt::format("{} record without {}", event.kind, name));
  }
  return std::string_view(fact->second);
}

// Decimal, without sign or leading zeros.
template <class T>
absl::StatusOr<T> NumberFact(const HostEvent& event, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string_view text, Fact(event, name));
  T value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() ||
      std::to_string(value) != text) {
    return absl::InvalidArgumentError(fmt::format("{} is not a number", name));
  }
  return value;
}

absl::StatusOr<Bytes> HeadFact(const HostEvent& event) {
  ASSIGN_OR_RETURN(const std::string_view text, Fact(event, "previous_head"));
  ASSIGN_OR_RETURN_WITH(Bytes head, ParseHex(text), "previous_head");
  if (head.size() != kHeadSize || ToHex(head) != text) {
    return absl::InvalidArgumentError(
        "previous_head is not 32 bytes in lower-case hex");
  }
  return head;
}

absl::StatusOr<LogHead> PreviousOf(const HostEvent& event) {
  LogHead previous;
  ASSIGN_OR_RETURN(previous.size, NumberFact<uint64_t>(event, "previous_size"));
  ASSIGN_OR_RETURN(previous.head, HeadFact(event));
  return previous;
}

// Which of the two mistakes it is when a number does not follow the one before.
Kind WrongNumber(std::span<const CelRecord> records) {
  std::vector<uint64_t> numbers;
  numbers.reserve(records.size());
  for (const CelRecord& record : records) {
    numbers.push_back(record.number);
  }
  std::sort(numbers.begin(), numbers.end());
  for (size_t i = 1; i < numbers.size(); ++i) {
    if (numbers[i] == numbers[i - 1]) {
      return Kind::kOrder;
    }
  }
  return numbers.back() - numbers.front() + 1 == numbers.size()
             ? Kind::kOrder
             : Kind::kMissing;
}

class Replayer {
 public:
  Replayer(std::span<const CelRecord> records, uint8_t pcr, HashAlgorithm bank)
      : records_(records), pcr_(pcr), bank_(bank) {}

  HostLogReplay Run() {
    if (records_.empty()) {
      Stop(Kind::kEmpty, 0, "a boot record", "no records");
      return std::move(replay_);
    }
    replay_.heads.reserve(records_.size());
    for (size_t i = 0; i < records_.size() && Step(i); ++i) {
    }
    return std::move(replay_);
  }

 private:
  bool Stop(Kind kind, uint64_t record, std::string expected,
            std::string found) {
    replay_.problem = {kind, record, std::move(expected), std::move(found)};
    return false;
  }

  bool Step(size_t position) {
    const CelRecord& record = records_[position];
    if (record.pcr != pcr_) {
      return Stop(Kind::kPcr, record.number, fmt::format("PCR {}", pcr_),
                  fmt::format("PCR {}", record.pcr));
    }
    if (!CheckDigests(record)) {
      return false;
    }
    if (record.content_type != kCelContentHostEvent) {
      return Stop(Kind::kContent, record.number, "a host event",
                  fmt::format("content of type {}", record.content_type));
    }
    const absl::StatusOr<HostEvent> event =
        ParseHostEvent(AsText(record.content));
    if (!event.ok()) {
      return Stop(Kind::kContent, record.number, "a host event",
                  std::string(event.status().message()));
    }
    const bool taken = event->kind == kBoot      ? TakeBoot(position, *event)
                       : event->kind == kLogLoss ? TakeLoss(position, *event)
                                                 : CheckNumber(position);
    if (!taken) {
      return false;
    }
    Append(record, event->kind);
    return true;
  }

  bool CheckDigests(const CelRecord& record) {
    if (!record.digests.contains(kTpmAlgIdSha256)) {
      return Stop(Kind::kDigest, record.number, "a digest of sha256", "none");
    }
    for (const auto& [algorithm, digest] : record.digests) {
      DigestBytes actual = TpmHash(algorithm, {record.content});
      if (actual != digest) {
        return Stop(Kind::kDigest, record.number,
                    fmt::format("{}:{} (of the content)",
                                TpmDigestName(algorithm), ToHex(actual)),
                    ToHex(digest));
      }
    }
    return true;
  }

  bool CheckNumber(size_t position) {
    const uint64_t number = records_[position].number;
    if (position == 0) {
      return Stop(Kind::kBoot, number, "a boot record first", "another event");
    }
    if (number == head_.size + 1) {
      return true;
    }
    return Stop(WrongNumber(records_), head_.size + 1,
                fmt::format("record {}", head_.size + 1),
                fmt::format("record {}", number));
  }

  bool TakeBoot(size_t position, const HostEvent& event) {
    const uint64_t number = records_[position].number;
    absl::StatusOr<BootFacts> facts = ParseBootEvent(event);
    if (!facts.ok()) {
      return Stop(Kind::kBoot, number, "a boot record",
                  std::string(facts.status().message()));
    }
    if (position == 0) {
      replay_.start = facts->previous;
      head_ = facts->previous;
    }
    if (number == 1 && facts->previous != LogHead()) {
      return Stop(Kind::kBoot, number, "previous_head of an empty log",
                  ToHex(facts->previous.head));
    }
    if (!GoTo(position, facts->previous, "") ||
        !CheckBootCount(position, *facts) || !CheckClosed(number, *facts)) {
      return false;
    }
    replay_.boot = *std::move(facts);
    replay_.boots.push_back(position);
    replay_.pcrs.clear();
    pcr_value_.assign(DigestSize(bank_), 0);
    return true;
  }

  bool TakeLoss(size_t position, const HostEvent& event) {
    const uint64_t number = records_[position].number;
    const absl::StatusOr<LogHead> previous = PreviousOf(event);
    if (!previous.ok()) {
      return Stop(Kind::kBoot, number, "a log-loss record",
                  std::string(previous.status().message()));
    }
    const auto reason = event.facts.find("reason");
    const std::string detail =
        reason == event.facts.end() ? "" : reason->second;
    const size_t before = replay_.facts.size();
    if (!GoTo(position, *previous, detail)) {
      return false;
    }
    if (replay_.facts.size() == before) {
      AddLoss(number, 0, 0, detail);
    }
    const auto pcr = event.facts.find("log_pcr");
    if (pcr != event.facts.end()) {
      absl::StatusOr<Bytes> value = ParseHex(pcr->second);
      if (!value.ok() || value->size() != DigestSize(bank_)) {
        return Stop(Kind::kContent, number, "log_pcr of the log's bank",
                    pcr->second);
      }
      pcr_value_ = *std::move(value);
    }
    return true;
  }

  void AddLoss(uint64_t record, uint64_t first, uint64_t last,
               std::string detail) {
    replay_.facts.push_back({.kind = HostLogFact::Kind::kLost,
                             .record = record,
                             .first_lost = first,
                             .last_lost = last,
                             .detail = std::move(detail)});
  }

  // Moves on to what the record says that the log was before it.
  bool GoTo(size_t position, const LogHead& previous,
            const std::string& detail) {
    const uint64_t number = records_[position].number;
    if (position > 0 && number <= head_.size) {
      return CheckNumber(position);
    }
    if (previous.size != number - 1) {
      return Stop(Kind::kBoot, number,
                  fmt::format("previous_size {}", number - 1),
                  std::to_string(previous.size));
    }
    if (number > head_.size + 1) {
      AddLoss(number, head_.size + 1, number - 1, detail);
      head_ = previous;
      last_kind_.clear();  // whether that boot was closed is lost with it
    } else if (previous.head != head_.head) {
      return Stop(Kind::kBoot, number,
                  fmt::format("previous_head {}", ToHex(head_.head)),
                  ToHex(previous.head));
    }
    return true;
  }

  // Every boot is counted once, by a counter that nobody can turn back: a jump
  // is a boot whose records were hidden. A log-loss record may explain it.
  bool CheckBootCount(size_t position, const BootFacts& facts) {
    const uint64_t number = records_[position].number;
    if (replay_.boots.empty() ||
        facts.boot_count == replay_.boot.boot_count + 1 ||
        LossFollows(position)) {
      return true;
    }
    if (facts.boot_count > replay_.boot.boot_count) {
      AddLoss(number, 0, 0,
              fmt::format("boots {} to {} left no records",
                          replay_.boot.boot_count + 1, facts.boot_count - 1));
      return true;
    }
    return Stop(Kind::kBoot, number,
                fmt::format("boot_count {}", replay_.boot.boot_count + 1),
                std::to_string(facts.boot_count));
  }

  [[nodiscard]] bool LossFollows(size_t position) const {
    if (position + 1 >= records_.size()) {
      return false;
    }
    const auto next = ParseHostEvent(AsText(records_[position + 1].content));
    return next.ok() && next->kind == kLogLoss;
  }

  bool CheckClosed(uint64_t number, const BootFacts& facts) {
    if (facts.closed && !replay_.boots.empty() && !last_kind_.empty() &&
        last_kind_ != kDaemonStopped) {
      return Stop(Kind::kBoot, number, "closed=false: no close record before",
                  "closed=true");
    }
    if (!facts.closed) {
      replay_.facts.push_back(
          {.kind = HostLogFact::Kind::kUncleanBoot, .record = number});
    }
    return true;
  }

  void Append(const CelRecord& record, const std::string& kind) {
    const DigestBytes& digest = record.digests.at(kTpmAlgIdSha256);
    head_.Extend(digest);
    replay_.heads.push_back(head_.head);
    pcr_value_ = ExtendPcr(bank_, pcr_value_,
                           bank_ == HashAlgorithm::kSha256
                               ? digest
                               : RecordDigest(bank_, record.content));
    replay_.pcrs.push_back(pcr_value_);
    last_kind_ = kind;
  }

  std::span<const CelRecord> records_;
  uint8_t pcr_;
  HashAlgorithm bank_;
  LogHead head_;
  DigestBytes pcr_value_;
  std::string last_kind_;
  HostLogReplay replay_;
};

}  // namespace

DigestBytes RecordDigest(HashAlgorithm bank, ByteView content) {
  return Hash(bank, content);
}

CelRecord MakeHostRecord(uint64_t number, uint8_t pcr, HashAlgorithm bank,
                         const HostEvent& event) {
  CelRecord record;
  record.number = number;
  record.pcr = pcr;
  record.content_type = kCelContentHostEvent;
  record.content = ToBytes(EncodeHostEvent(event));
  record.digests[kTpmAlgIdSha256] =
      RecordDigest(HashAlgorithm::kSha256, record.content);
  if (const auto algorithm = TpmAlgorithmOf(bank)) {
    record.digests[*algorithm] = RecordDigest(bank, record.content);
  }
  return record;
}

HostEvent MakeBootEvent(const BootFacts& facts, int64_t time_unix_ms) {
  return {.kind = std::string(kBoot),
          .facts = {{"previous_size", std::to_string(facts.previous.size)},
                    {"previous_head", ToHex(facts.previous.head)},
                    {"boot_count", std::to_string(facts.boot_count)},
                    {"reset_count", std::to_string(facts.reset_count)},
                    {"restart_count", std::to_string(facts.restart_count)},
                    {"closed", facts.closed ? "true" : "false"}},
          .time_unix_ms = time_unix_ms};
}

absl::StatusOr<BootFacts> ParseBootEvent(const HostEvent& event) {
  if (event.kind != kBoot) {
    return absl::InvalidArgumentError("not a boot record");
  }
  BootFacts facts;
  ASSIGN_OR_RETURN(facts.previous, PreviousOf(event));
  ASSIGN_OR_RETURN(facts.boot_count, NumberFact<uint64_t>(event, "boot_count"));
  ASSIGN_OR_RETURN(facts.reset_count,
                   NumberFact<uint32_t>(event, "reset_count"));
  ASSIGN_OR_RETURN(facts.restart_count,
                   NumberFact<uint32_t>(event, "restart_count"));
  ASSIGN_OR_RETURN(const std::string_view closed, Fact(event, "closed"));
  if (closed != "true" && closed != "false") {
    return absl::InvalidArgumentError("closed is neither true nor false");
  }
  facts.closed = closed == "true";
  return facts;
}

HostLogReplay ReplayHostLog(std::span<const CelRecord> records, uint8_t pcr,
                            HashAlgorithm bank) {
  return Replayer(records, pcr, bank).Run();
}

std::optional<size_t> CoveredRecords(const HostLogReplay& replay,
                                     ByteView value) {
  for (size_t i = replay.pcrs.size(); i > 0; --i) {
    const DigestBytes& pcr = replay.pcrs[i - 1];
    if (std::equal(pcr.begin(), pcr.end(), value.begin(), value.end())) {
      return replay.boots.back() + i;
    }
  }
  return std::nullopt;
}

}  // namespace vmattest::eventlog
