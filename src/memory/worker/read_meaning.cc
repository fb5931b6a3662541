#include "memory/worker/read_meaning.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "fmt/format.h"

namespace vmattest::memory {
namespace {

using Message = internal::WorkerReply::GuestMeaning;

constexpr size_t kMaxText = 512;
constexpr size_t kMaxRecordText = 4096;
constexpr size_t kMaxSymbolName = 64;
constexpr size_t kMaxSymbols = 65536;  // of one part
constexpr size_t kMaxFindings = 128;
constexpr int kMaxNotes = 16;
constexpr size_t kHashSize = 32;
constexpr size_t kMaxBuildId = 64;
constexpr const char* kChanging =
    "unavailable: the text changed while it was looked at";
constexpr std::string_view kCodeRecord = "code/";
constexpr std::array<std::string_view, 4> kContents = {"text", "rodata",
                                                       "ro_after_init", "data"};
constexpr std::array<std::string_view, 5> kSeverities = {
    "info", "low", "medium", "high", "critical"};

absl::Status Lies(std::string_view what) {
  return absl::DataLossError(
      fmt::format("vmattest-memory-worker: {} that cannot be", what));
}

bool IsText(std::string_view text, size_t most = kMaxText) {
  return text.size() <= most &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c < 0x7f; });
}

template <class Words>
bool IsOneOf(std::string_view word, const Words& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

absl::Status ReadSymbols(const internal::WorkerReply::NamedPart& message,
                         NamedPart& part) {
  if (static_cast<size_t>(message.symbols_size()) > kMaxSymbols ||
      (message.symbols_size() != 0 && part.absent != 0)) {
    return Lies(fmt::format("a number of symbols of {}", part.name));
  }
  for (const internal::WorkerReply::PartSymbol& symbol : message.symbols()) {
    if (symbol.name().empty() || !IsText(symbol.name(), kMaxSymbolName) ||
        symbol.offset() >= part.size ||
        (!part.symbols.empty() &&
         symbol.offset() <= part.symbols.back().offset)) {
      return Lies(fmt::format("a symbol of {}", part.name));
    }
    part.symbols.push_back({symbol.offset(), symbol.name()});
  }
  return absl::OkStatus();
}

absl::StatusOr<NamedPart> ReadPart(
    const internal::WorkerReply::NamedPart& message,
    const std::vector<AddressRange>& ram) {
  NamedPart part{message.name(),
                 message.content(),
                 message.address(),
                 message.size(),
                 message.absent(),
                 {},
                 {}};
  if (part.name.empty() || !IsText(part.name) ||
      !IsOneOf(part.content, kContents) || part.absent > part.size) {
    return Lies("a part");
  }
  uint64_t left = part.size - part.absent;
  for (const internal::GuestRange& range : message.runs()) {
    const AddressRange run{range.begin(), range.end()};
    if (run.begin >= run.end || run.end - run.begin > left ||
        std::none_of(ram.begin(), ram.end(), [&](const AddressRange& one) {
          return one.begin <= run.begin && run.end <= one.end;
        })) {
      return Lies(fmt::format("a run of {}", part.name));
    }
    left -= run.end - run.begin;
    part.runs.push_back(run);
  }
  if (left != 0) {
    return Lies(fmt::format("the size of {}", part.name));
  }
  RETURN_IF_ERROR(ReadSymbols(message, part));
  return part;
}

absl::StatusOr<MeantRegion> ReadRegion(
    const internal::WorkerReply::MeantRegion& message,
    const std::vector<AddressRange>& ram) {
  MeantRegion region;
  region.unavailable = message.unavailable();
  if (!IsText(region.unavailable) ||
      (!region.unavailable.empty() && message.parts_size() != 0)) {
    return Lies("a region");
  }
  for (const auto& part : message.parts()) {
    ASSIGN_OR_RETURN(NamedPart read, ReadPart(part, ram));
    if (!region.parts.empty() &&
        std::pair(std::string_view(read.name), read.address) <
            std::pair(std::string_view(region.parts.back().name),
                      region.parts.back().address)) {
      return Lies("an order of parts");
    }
    region.parts.push_back(std::move(read));
  }
  return region;
}

absl::Status ReadFindings(const Message& message, GuestMeaning& meaning) {
  if (static_cast<size_t>(message.findings_size()) > kMaxFindings) {
    return Lies("a number of findings");
  }
  for (const auto& finding : message.findings()) {
    if (finding.code().empty() || !IsText(finding.code()) ||
        !IsOneOf(finding.severity(), kSeverities) ||
        !IsText(finding.element()) || !IsText(finding.expected()) ||
        !IsText(finding.found())) {
      return Lies("a finding");
    }
    meaning.findings.push_back({finding.code(), finding.severity(),
                                finding.element(), finding.expected(),
                                finding.found()});
  }
  return absl::OkStatus();
}

absl::Status ReadRecords(const Message& message, GuestMeaning& meaning) {
  for (const auto& record : message.records()) {
    if (record.name().empty() || !IsText(record.name()) ||
        !IsText(record.text(), kMaxRecordText) ||
        (!meaning.records.empty() &&
         record.name() < meaning.records.back().name)) {
      return Lies("a record");
    }
    meaning.records.push_back({record.name(), record.text()});
  }
  return absl::OkStatus();
}

bool SameFinding(const GuestFinding& a, const GuestFinding& b) {
  return a.code == b.code && a.element == b.element;
}

bool Has(const std::vector<GuestFinding>& findings,
         const GuestFinding& wanted) {
  return std::any_of(
      findings.begin(), findings.end(),
      [&](const GuestFinding& one) { return SameFinding(one, wanted); });
}

}  // namespace

absl::StatusOr<GuestMeaning> ReadMeaning(const Message& message, size_t regions,
                                         const std::vector<AddressRange>& ram) {
  if (static_cast<size_t>(message.regions_size()) != regions) {
    return Lies("a number of regions");
  }
  if (message.semantics().empty() || !IsText(message.semantics()) ||
      !IsText(message.kernel_release()) ||
      message.kernel_build_id().size() > kMaxBuildId ||
      !IsText(message.code_hash_state()) || !IsText(message.cpu_state()) ||
      (!message.code_hash().empty() &&
       message.code_hash().size() != kHashSize)) {
    return Lies("a kernel");
  }
  GuestMeaning meaning;
  meaning.semantics = message.semantics();
  meaning.kernel_release = message.kernel_release();
  meaning.kernel_build_id.assign(message.kernel_build_id().begin(),
                                 message.kernel_build_id().end());
  meaning.code_hash.assign(message.code_hash().begin(),
                           message.code_hash().end());
  meaning.code_hash_state = message.code_hash_state();
  meaning.cpu_state = message.cpu_state();
  for (const auto& region : message.regions()) {
    ASSIGN_OR_RETURN(MeantRegion read, ReadRegion(region, ram));
    meaning.regions.push_back(std::move(read));
  }
  RETURN_IF_ERROR(ReadFindings(message, meaning));
  RETURN_IF_ERROR(ReadRecords(message, meaning));
  if (message.notes_size() > kMaxNotes) {
    return Lies("a number of notes");
  }
  for (const std::string& note : message.notes()) {
    if (!IsText(note)) {
      return Lies("a note");
    }
    meaning.notes.push_back(note);
  }
  return meaning;
}

GuestMeaning Confirmed(const GuestMeaning& first, GuestMeaning second) {
  const auto changed = [](const std::vector<GuestFinding>& now,
                          const std::vector<GuestFinding>& then) {
    return std::any_of(now.begin(), now.end(), [&](const GuestFinding& one) {
      return (one.code == "code-modified" || one.code == "rodata-modified") &&
             !Has(then, one);
    });
  };
  if (changed(second.findings, first.findings)) {
    second.code_hash.clear();
    second.code_hash_state = kChanging;
    for (GuestRecord& record : second.records) {
      if (record.name.rfind(kCodeRecord, 0) == 0) {
        record.text = kChanging;
      }
    }
  }
  std::erase_if(second.findings, [&](const GuestFinding& finding) {
    return !Has(first.findings, finding);
  });
  return second;
}

}  // namespace vmattest::memory
