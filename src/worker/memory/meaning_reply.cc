#include "worker/memory/meaning_reply.h"

#include <algorithm>
#include <map>
#include <utility>

#include "fmt/format.h"

namespace vmattest::worker {
namespace {

constexpr size_t kMaxFindings = 128;
constexpr size_t kMaxRecordBytes = 16 << 20;
constexpr size_t kMaxParts = 65536;
constexpr size_t kMaxRuns = 262144;

// Of a process's line ("pid=1 parent=0 ...") what the policy wants to see.
std::string Only(std::string_view line,
                 const std::vector<std::string>& fields) {
  static const std::map<std::string_view, std::string_view> kFieldOf = {
      {"pid", "pid"},  {"parent", "parent"},      {"comm", "comm"},
      {"uid", "uid"},  {"euid", "uid"},           {"gid", "gid"},
      {"egid", "gid"}, {"cap_effective", "caps"}, {"cap_permitted", "caps"}};
  std::string kept;
  while (!line.empty()) {
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(line.size(), word.size() + 1));
    const auto field = kFieldOf.find(word.substr(0, word.find('=')));
    if (field == kFieldOf.end() || std::find(fields.begin(), fields.end(),
                                             field->second) != fields.end()) {
      kept += (kept.empty() ? "" : " ") + std::string(word);
    }
  }
  return kept;
}

}  // namespace

std::string Printable(std::string_view text, size_t most) {
  std::string shown;
  for (const char c : text) {
    if (shown.size() + 7 > most) {
      return shown + "...";
    }
    shown += c >= 0x20 && c < 0x7f && c != '\\'
                 ? std::string(1, c)
                 : fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  }
  return shown;
}

void AddFindings(linuxguest::Findings findings, MeaningReply& reply) {
  std::stable_sort(
      findings.begin(), findings.end(),
      [](const auto& a, const auto& b) { return a.severity > b.severity; });
  if (findings.size() > kMaxFindings) {
    reply.add_notes(
        fmt::format("more-findings: {}", findings.size() - kMaxFindings));
    findings.resize(kMaxFindings);
  }
  for (const linuxguest::Finding& finding : findings) {
    auto& added = *reply.add_findings();
    added.set_code(finding.code);
    added.set_severity(std::string(linuxguest::SeverityName(finding.severity)));
    added.set_element(Printable(finding.element));
    added.set_expected(Printable(finding.expected));
    added.set_found(Printable(finding.found));
  }
}

void AddRecords(const std::vector<linuxguest::Record>& records,
                const std::vector<std::string>& fields, MeaningReply& reply) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const linuxguest::Record& record : records) {
    const bool process = record.name.rfind("process/", 0) == 0;
    if (process && fields.empty()) {
      continue;
    }
    texts.emplace_back(
        Printable(record.name),
        Printable(process ? Only(record.text, fields) : record.text,
                  kMaxRecordText));
  }
  std::sort(texts.begin(), texts.end());
  size_t bytes = 0;
  size_t left_out = 0;
  for (auto& [name, text] : texts) {
    bytes += name.size() + text.size() + 16;
    if (bytes > kMaxRecordBytes) {
      ++left_out;
      continue;
    }
    auto& added = *reply.add_records();
    added.set_name(std::move(name));
    added.set_text(std::move(text));
  }
  if (left_out != 0) {
    reply.add_notes(fmt::format("more-records: {}", left_out));
  }
}

bool AddParts(const std::vector<linuxguest::Region>& found, MeaningReply& reply,
              internal::WorkerReply::MeantRegion& region) {
  size_t parts = found.size();
  size_t runs = 0;
  for (const auto& other : reply.regions()) {
    parts += static_cast<size_t>(other.parts_size());
    for (const auto& part : other.parts()) {
      runs += static_cast<size_t>(part.runs_size());
    }
  }
  for (const linuxguest::Region& one : found) {
    runs += one.runs.size();
  }
  if (parts > kMaxParts || runs > kMaxRuns) {
    return false;
  }
  std::vector<std::pair<std::string, const linuxguest::Region*>> named;
  named.reserve(found.size());
  for (const linuxguest::Region& one : found) {
    named.emplace_back(Printable(one.name), &one);
  }
  std::stable_sort(
      named.begin(), named.end(), [](const auto& a, const auto& b) {
        return std::pair(std::string_view(a.first), a.second->address) <
               std::pair(std::string_view(b.first), b.second->address);
      });
  for (auto& [name, one] : named) {
    auto& part = *region.add_parts();
    part.set_name(std::move(name));
    part.set_content(std::string(linuxguest::ContentName(one->content)));
    part.set_address(one->address);
    part.set_size(one->size);
    part.set_absent(one->absent);
    for (const linuxguest::Run& run : one->runs) {
      auto& range = *part.add_runs();
      range.set_begin(run.physical);
      range.set_end(run.physical + run.size);
    }
  }
  return true;
}

}  // namespace vmattest::worker
