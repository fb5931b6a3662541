#include "signing/host_log.h"

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "eventlog/host_log.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace vmattest::signing {
namespace {

using eventlog::BootFacts;
using eventlog::HostEvent;
using eventlog::LogHead;
using Anchor = tpm::LogRegisters::Anchor;

constexpr std::string_view kStartedEvent = "daemon-started";

// Whether the sealer has to open the TPM again.
bool IsTheTpms(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDataLoss(status);
}

bool Equal(ByteView a, ByteView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

LogHead AnchorOf(const tpm::LogRegisters& registers) {
  return {.size = registers.size, .head = registers.head};
}

bool Contains(const LogFileContent& content, const LogHead& anchor) {
  return anchor == content.records.front().before ||
         std::any_of(content.records.begin(), content.records.end(),
                     [&](const FileRecord& record) {
                       return record.after == anchor || record.before == anchor;
                     });
}

}  // namespace

int64_t HostLog::NowUnixMs() const {
  return clock_.Now().time_since_epoch().count();
}

absl::Status HostLog::Open() {
  const absl::StatusOr<tpm::LogRegisters> found = tpm_.ReadLogRegisters();
  if (found.ok() && open_status_.ok() && IsAsLeft(*found)) {
    return absl::OkStatus();
  }
  open_status_ = found.ok() ? Recover(*found) : found.status();
  return IsTheTpms(open_status_) ? open_status_ : absl::OkStatus();
}

bool HostLog::IsAsLeft(const tpm::LogRegisters& registers) const {
  return registers.anchor == Anchor::kWritten && AnchorOf(registers) == head_ &&
         registers.pcr == pcr_value_ &&
         registers.clock.reset_count == reset_count_ &&
         registers.boot_count == boot_count_;
}

absl::Status HostLog::Recover(const tpm::LogRegisters& registers) {
  bank_ = registers.pcr.size() == DigestSize(HashAlgorithm::kSha384)
              ? HashAlgorithm::kSha384
              : HashAlgorithm::kSha256;
  to_extend_.clear();
  kept_aside_.clear();
  problem_.clear();
  ASSIGN_OR_RETURN_WITH(const Tail tail, LoadTail(),
                        "reading the host event log");
  const bool first_ever = tail.name.empty() &&
                          registers.anchor != Anchor::kWritten &&
                          registers.boot_count == 0;
  if (first_ever) {
    // So that from now on a missing anchor is a loss.
    RETURN_IF_ERROR(tpm_.WriteLogAnchor(0, LogHead().head));
  }
  Finding finding;
  if (!tail.name.empty()) {
    finding.next = tail.content.records.back().after;
  }
  if (!first_ever) {
    RETURN_IF_ERROR(CompareAnchor(registers, tail, finding));
  }
  const bool same_boot = SameBoot(registers, tail);
  RETURN_IF_ERROR(CompareBootCount(registers, tail, same_boot, finding));
  return same_boot ? Resume(registers, tail, std::move(finding))
                   : BeginBoot(registers, tail, std::move(finding));
}

absl::StatusOr<HostLog::Tail> HostLog::LoadTail() {
  ASSIGN_OR_RETURN(std::vector<std::string> names, folder_.List());
  for (; !names.empty(); names.pop_back()) {
    const std::string& name = names.back();
    ASSIGN_OR_RETURN(const Bytes file, folder_.Read(name));
    Tail tail{.name = name, .content = ReadLogFile(file, bank_)};
    RETURN_IF_ERROR(CutOff(name, file, tail.content));
    if (!tail.content.records.empty()) {
      return tail;
    }
    RETURN_IF_ERROR(folder_.Remove(name));
  }
  return Tail();
}

absl::Status HostLog::CutOff(const std::string& name, ByteView file,
                             const LogFileContent& content) {
  if (content.valid_size == file.size()) {
    return absl::OkStatus();
  }
  kept_aside_ = fmt::format("{}.{}.torn", name, content.valid_size);
  RETURN_IF_ERROR(
      folder_.KeepAside(kept_aside_, file.subspan(content.valid_size)));
  return content.records.empty() ? absl::OkStatus()
                                 : folder_.Truncate(name, content.valid_size);
}

bool HostLog::SameBoot(const tpm::LogRegisters& registers, const Tail& tail) {
  if (tail.name.empty() ||
      tail.content.boot.reset_count != registers.clock.reset_count) {
    return false;
  }
  // A TPM restart clears the PCRs without counting as a reset.
  return tail.content.boot.restart_count == registers.clock.restart_count ||
         std::any_of(registers.pcr.begin(), registers.pcr.end(),
                     [](uint8_t byte) { return byte != 0; });
}

absl::Status HostLog::CompareAnchor(const tpm::LogRegisters& registers,
                                    const Tail& tail, Finding& finding) {
  if (registers.anchor != Anchor::kWritten) {
    finding.reasons.push_back(fmt::format(
        "the TPM's index of the log was {}: nothing but the files says how "
        "long the log was",
        registers.anchor == Anchor::kUndefined ? "removed" : "made anew"));
    return absl::OkStatus();
  }
  const LogHead anchor = AnchorOf(registers);
  const uint64_t have = finding.next.size;
  if (anchor.size > have) {
    finding.first_missing = have + 1;
    finding.last_missing = anchor.size;
    finding.next = anchor;
    finding.reasons.push_back(fmt::format(
        "records {} to {} are missing from the files", have + 1, anchor.size));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const bool was_once, WasOnce(anchor, tail));
  if (!was_once) {
    finding.reasons.push_back(
        fmt::format("after record {} the TPM's index has head {}, which the "
                    "files never had",
                    anchor.size, ToHex(anchor.head)));
  }
  return absl::OkStatus();
}

// Several boots may have ended before their first anchor was written: then it
// is that of an earlier file.
absl::StatusOr<bool> HostLog::WasOnce(const LogHead& anchor, const Tail& tail) {
  if (tail.name.empty()) {
    return anchor == LogHead();
  }
  LogFileContent content = tail.content;
  ASSIGN_OR_RETURN(std::vector<std::string> names, folder_.List());
  while (anchor.size < content.records.front().before.size) {
    const LogHead before = content.records.front().before;
    while (!names.empty() && names.back() >= LogFileName(before.size + 1)) {
      names.pop_back();
    }
    if (names.empty()) {
      return false;
    }
    ASSIGN_OR_RETURN(const Bytes file, folder_.Read(names.back()));
    content = ReadLogFile(file, bank_);
    if (content.records.empty() || content.records.back().after != before) {
      return false;
    }
  }
  return Contains(content, anchor);
}

absl::Status HostLog::CompareBootCount(const tpm::LogRegisters& registers,
                                       const Tail& tail, bool same_boot,
                                       Finding& finding) {
  boot_count_ = registers.boot_count;
  if (tail.name.empty()) {
    return absl::OkStatus();
  }
  const uint64_t recorded = tail.content.boot.boot_count;
  if (boot_count_ + 1 == recorded) {
    ASSIGN_OR_RETURN(boot_count_, tpm_.CountBoot());
  }
  if (same_boot ? boot_count_ != recorded : boot_count_ < recorded) {
    finding.reasons.push_back(
        fmt::format("the TPM counted {} boots, and the last boot record says "
                    "{}",
                    boot_count_, recorded));
  }
  return absl::OkStatus();
}

absl::Status HostLog::Resume(const tpm::LogRegisters& registers,
                             const Tail& tail, Finding finding) {
  const LogFileContent& content = tail.content;
  file_ = tail.name;
  file_size_ = content.valid_size;
  boot_record_ = content.boot_record;
  reset_count_ = registers.clock.reset_count;
  problem_ = fmt::format("{}", fmt::join(content.losses, "; "));
  RETURN_IF_ERROR(FinishExtends(registers, tail, finding));
  head_ = written_ = finding.next;
  std::vector<HostEvent> events;
  AddLoss(finding, events);
  AddStarted(content.closed, events);
  RETURN_IF_ERROR(WriteFile(events));
  started_ = true;
  if (to_extend_.empty() && registers.anchor == Anchor::kWritten &&
      AnchorOf(registers) == written_) {
    return absl::OkStatus();
  }
  return ExtendAndAnchor();
}

absl::Status HostLog::FinishExtends(const tpm::LogRegisters& registers,
                                    const Tail& tail, Finding& finding) {
  const std::vector<FileRecord>& records = tail.content.records;
  pcr_value_ = registers.pcr;
  size_t done = records.size();
  while (done > 0 && !Equal(records[done - 1].pcr_after, registers.pcr)) {
    --done;
    if (Equal(records[done].pcr_before, registers.pcr)) {
      break;
    }
  }
  if (done == 0 && !Equal(records[0].pcr_before, registers.pcr)) {
    finding.log_pcr = registers.pcr;
    finding.reasons.push_back(
        fmt::format("PCR {} is {}, which no record of this boot accounts for",
                    pcr_index_, ToHex(registers.pcr)));
    return absl::OkStatus();
  }
  for (; done < records.size(); ++done) {
    RETURN_IF_ERROR(tpm_.ExtendLog(records[done].digest));
    pcr_value_ = eventlog::ExtendPcr(bank_, pcr_value_, records[done].digest);
  }
  return absl::OkStatus();
}

absl::Status HostLog::BeginBoot(const tpm::LogRegisters& registers,
                                const Tail& tail, Finding finding) {
  // A counter that was never counted may begin anywhere (TPM 2.0 Part 1, NV
  // counters); after that its next value is known.
  const bool count_first = boot_count_ == 0;
  if (count_first) {
    ASSIGN_OR_RETURN(boot_count_, tpm_.CountBoot());
  }
  const uint64_t boot_count = boot_count_ + (count_first ? 0 : 1);
  head_ = written_ = finding.next;
  boot_record_ = head_.size + 1;
  reset_count_ = registers.clock.reset_count;
  pcr_value_ = registers.pcr;
  file_ = LogFileName(boot_record_);
  file_size_ = 0;
  const bool closed =
      finding.reasons.empty() && (tail.name.empty() || tail.content.closed);
  std::vector<HostEvent> events = {
      eventlog::MakeBootEvent({.previous = head_,
                               .boot_count = boot_count,
                               .reset_count = registers.clock.reset_count,
                               .restart_count = registers.clock.restart_count,
                               .closed = closed},
                              NowUnixMs())};
  if (std::any_of(registers.pcr.begin(), registers.pcr.end(),
                  [](uint8_t byte) { return byte != 0; })) {
    finding.reasons.push_back(fmt::format(
        "PCR {} was {} before this boot's first record: others extend it",
        pcr_index_, ToHex(registers.pcr)));
    const eventlog::CelRecord boot = eventlog::MakeHostRecord(
        boot_record_, pcr_index_, bank_, events.front());
    finding.log_pcr = eventlog::ExtendPcr(
        bank_, registers.pcr, eventlog::RecordDigest(bank_, boot.content));
  }
  if (!finding.reasons.empty()) {
    const eventlog::CelRecord boot = eventlog::MakeHostRecord(
        boot_record_, pcr_index_, bank_, events.front());
    finding.next.Extend(
        eventlog::RecordDigest(HashAlgorithm::kSha256, boot.content));
  }
  AddLoss(finding, events);
  AddStarted(closed, events);
  RETURN_IF_ERROR(WriteFile(events));
  started_ = true;
  if (!count_first) {
    ASSIGN_OR_RETURN(boot_count_, tpm_.CountBoot());
  }
  return ExtendAndAnchor();
}

void HostLog::AddLoss(const Finding& finding, std::vector<HostEvent>& events) {
  if (finding.reasons.empty()) {
    return;
  }
  LossFacts facts{.reason = fmt::format("{}", fmt::join(finding.reasons, "; ")),
                  .first_missing = finding.first_missing,
                  .last_missing = finding.last_missing,
                  .previous = finding.next,
                  .log_pcr = finding.log_pcr};
  problem_ += fmt::format("{}record {}: {}", problem_.empty() ? "" : "; ",
                          finding.next.size + 1, facts.reason);
  events.push_back(MakeLossEvent(facts, NowUnixMs()));
}

void HostLog::AddStarted(bool closed, std::vector<HostEvent>& events) const {
  if (!started_) {
    events.push_back({.kind = std::string(kStartedEvent),
                      .facts = {{"version", VMATTEST_VERSION},
                                {"closed", closed ? "true" : "false"}},
                      .time_unix_ms = NowUnixMs()});
  }
}

HostLog::Appended HostLog::Append(std::span<const HostEvent> events,
                                  const std::function<void()>& between) {
  const uint64_t first = head_.size + 1;
  if (absl::Status status = WriteFile(events); !status.ok()) {
    return {.status = std::move(status), .first = 0};
  }
  absl::Status status = ExtendAndAnchor(between);
  if (!status.ok()) {
    open_status_ = status;
  }
  return {.status = std::move(status), .first = first};
}

absl::Status HostLog::WriteFile(std::span<const HostEvent> events) {
  Bytes records;
  LogHead head = written_;
  std::vector<DigestBytes> digests;
  for (const HostEvent& event : events) {
    const eventlog::CelRecord record =
        eventlog::MakeHostRecord(head.size + 1, pcr_index_, bank_, event);
    const Bytes encoded = eventlog::EncodeCel(record);
    records.insert(records.end(), encoded.begin(), encoded.end());
    head.Extend(eventlog::RecordDigest(HashAlgorithm::kSha256, record.content));
    digests.push_back(eventlog::RecordDigest(bank_, record.content));
  }
  if (records.empty()) {
    return absl::OkStatus();
  }
  absl::Status written = folder_.Write(file_, file_size_, records);
  if (!written.ok()) {
    // What is left of it would be taken for records.
    const absl::Status cut = file_size_ == 0
                                 ? folder_.Remove(file_)
                                 : folder_.Truncate(file_, file_size_);
    if (!cut.ok()) {
      open_status_ = cut;
    }
    return Annotate(written, "writing the host event log");
  }
  file_size_ += records.size();
  written_ = std::move(head);
  to_extend_ = std::move(digests);
  return absl::OkStatus();
}

absl::Status HostLog::ExtendAndAnchor(const std::function<void()>& between) {
  for (const DigestBytes& digest : to_extend_) {
    between();
    RETURN_IF_ERROR_WITH(tpm_.ExtendLog(digest), "extending the log PCR");
    pcr_value_ = eventlog::ExtendPcr(bank_, pcr_value_, digest);
  }
  to_extend_.clear();
  between();
  RETURN_IF_ERROR_WITH(tpm_.WriteLogAnchor(written_.size, written_.head),
                       "writing the log's index");
  head_ = written_;
  return absl::OkStatus();
}

}  // namespace vmattest::signing
