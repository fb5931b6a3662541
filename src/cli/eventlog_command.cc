#include "cli/eventlog_command.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/appraisal_json.h"
#include "cli/exit_code.h"
#include "crypto/tpm_digest.h"
#include "eventlog/boot_log.h"
#include "eventlog/bundle.h"
#include "eventlog/host_event.h"
#include "vmattest/verifier/event_log.h"

namespace vmattest::cli {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMinNonce = 16;
constexpr size_t kMaxNonce = 64;
constexpr size_t kShownRoot = 16;  // hex digits

int Fail(std::ostream& err, std::string_view command,
         const absl::Status& status, int code) {
  err << fmt::format("vmattest eventlog {}: {}\n", command,
                     log::Quote(std::string(status.message())));
  return code;
}

std::string Time(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  if (gmtime_r(&seconds, &utc) == nullptr) {
    return fmt::format("{} ms", unix_ms);
  }
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

// The first byte tells the three kinds apart: TLV begins with type 0.
absl::StatusOr<std::vector<eventlog::CelRecord>> LoadRecords(
    const std::string& file) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(file, eventlog::kMaxBundleSize));
  if (!bytes.empty() && bytes.front() == '{') {
    ASSIGN_OR_RETURN_WITH(eventlog::Bundle bundle,
                          eventlog::ParseBundle(AsText(bytes)), file);
    return std::move(bundle.records);
  }
  if (!bytes.empty() && bytes.front() == '[') {
    ASSIGN_OR_RETURN_WITH(std::vector<eventlog::CelRecord> records,
                          eventlog::ParseCelJsonLog(AsText(bytes)), file);
    return records;
  }
  ASSIGN_OR_RETURN_WITH(std::vector<eventlog::CelRecord> records,
                        eventlog::ParseCel(bytes), file);
  return records;
}

// Facts that have no column of their own.
std::string OtherFacts(const eventlog::HostEvent& event) {
  std::string text;
  for (const auto& [name, value] : event.facts) {
    if (name != "vm_name" && name != "vm_uuid" && name != "root") {
      text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
    }
  }
  return text;
}

std::string Fact(const eventlog::HostEvent& event, const std::string& name) {
  const auto fact = event.facts.find(name);
  return fact == event.facts.end() ? "" : fact->second;
}

void PrintRecord(const eventlog::CelRecord& record, std::ostream& out) {
  const absl::StatusOr<eventlog::HostEvent> event =
      eventlog::ParseHostEvent(AsText(record.content));
  if (record.content_type != eventlog::kCelContentHostEvent || !event.ok()) {
    out << fmt::format("{:>8}  PCR {}, content of type {}, {} bytes\n",
                       record.number, record.pcr, record.content_type,
                       record.content.size());
    return;
  }
  const std::string vm = Fact(*event, "vm_name");
  const std::string root = Fact(*event, "root").substr(0, kShownRoot);
  const std::string facts = OtherFacts(*event);
  std::string line = fmt::format("{:>8}  {:<20}  {:<18}  {:<20}  {:<18}  {}",
                                 record.number, Time(event->time_unix_ms),
                                 event->kind, vm.empty() ? "" : log::Quote(vm),
                                 root.empty() ? "" : log::Quote(root),
                                 facts.empty() ? "" : log::Quote(facts));
  line.erase(line.find_last_not_of(' ') + 1);
  out << line << "\n";
}

absl::StatusOr<verifier::EventLogPolicy> MakePolicy(
    const EventLogVerifyArgs& args) {
  verifier::EventLogPolicy policy;
  policy.from_record = args.from_record;
  policy.evidence.max_age = args.max_age;
  policy.evidence.required_signatures.insert(
      policy.evidence.required_signatures.end(), args.require.begin(),
      args.require.end());
  if (args.nonce) {
    ASSIGN_OR_RETURN_WITH(Bytes nonce, ParseHex(*args.nonce), "--nonce");
    if (nonce.size() < kMinNonce || nonce.size() > kMaxNonce) {
      return absl::InvalidArgumentError(
          fmt::format("--nonce: {} bytes, must be {} to {}", nonce.size(),
                      kMinNonce, kMaxNonce));
    }
    policy.evidence.nonce = std::move(nonce);
  }
  return policy;
}

std::string ToJson(const verifier::EventLogAppraisal& appraisal) {
  const verifier::Appraisal common = {.verdict = appraisal.verdict,
                                      .genuine = appraisal.genuine,
                                      .claims = appraisal.claims};
  ordered_json json = ordered_json::parse(AppraisalToJson(common));
  json["records"] = {{"first", appraisal.first_record},
                     {"last", appraisal.last_record},
                     {"boot", appraisal.boot_record}};
  json["boot_count"] = appraisal.boot_count;
  json["boot_log_events"] = appraisal.boot_log_events;
  json["facts"] = ordered_json::array();
  for (const verifier::EventLogFact& fact : appraisal.facts) {
    json["facts"].push_back({{"code", fact.code},
                             {"record", fact.record},
                             {"detail", fact.detail}});
  }
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

void PrintAppraisal(const verifier::EventLogAppraisal& appraisal,
                    std::ostream& out) {
  const auto line = [&out](std::string_view label, const std::string& text) {
    out << fmt::format("{:<12}{}\n", label, text);
  };
  line("verdict", appraisal.verdict.trusted() ? "trusted" : "NOT TRUSTED");
  for (const Reason& reason : appraisal.verdict.reasons) {
    line("reason", reason.code);
    line("  element", log::Quote(reason.element));
    line("  expected", log::Quote(reason.expected));
    line("  found", log::Quote(reason.found));
  }
  const verifier::Claims& claims = appraisal.claims;
  if (claims.host_id.empty()) {
    return;  // it could not even be read
  }
  if (!appraisal.verdict.trusted()) {
    out << (appraisal.genuine
                ? "The host did sign the log's size and head; the log is not "
                  "what was signed or demanded:\n"
                : "What it says, not to be believed:\n");
  }
  line("host", fmt::format("{} {}", log::Quote(claims.hostname),
                           log::Quote(claims.host_id)));
  line("log", fmt::format("{} records, head {}", claims.log_size,
                          ToHex(claims.log_head)));
  line("records", fmt::format("{} to {}, this boot from {} on (boot {})",
                              appraisal.first_record, appraisal.last_record,
                              appraisal.boot_record, appraisal.boot_count));
  line("boot log", fmt::format("{} events", appraisal.boot_log_events));
  line("made", fmt::format("{} by vmattest {}", Time(claims.time_unix_ms),
                           log::Quote(claims.module_version)));
  line("ak", claims.ak);
  line("freshness", claims.freshness);
  for (const verifier::EventLogFact& fact : appraisal.facts) {
    line("fact",
         fmt::format(
             "{}: {}{}", fact.code,
             fact.record == 0 ? "" : fmt::format("record {}: ", fact.record),
             fact.detail));
  }
}

absl::StatusOr<eventlog::BootLog> LoadBootLog(const std::string& file) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(file, eventlog::kMaxBundleSize));
  if (!bytes.empty() && bytes.front() == '{') {
    ASSIGN_OR_RETURN_WITH(eventlog::Bundle bundle,
                          eventlog::ParseBundle(AsText(bytes)), file);
    bytes = std::move(bundle.boot_log);
  }
  ASSIGN_OR_RETURN_WITH(eventlog::BootLog log, eventlog::ParseBootLog(bytes),
                        file);
  return log;
}

std::string DigestOf(const eventlog::BootEvent& event, uint16_t bank) {
  const auto digest = event.digests.find(bank);
  return digest == event.digests.end() ? "" : ToHex(digest->second);
}

std::string BootToJson(const eventlog::BootLog& log, uint16_t bank,
                       const std::map<uint32_t, Bytes>& registers) {
  ordered_json json = {
      {"format", log.crypto_agile ? "crypto-agile" : "sha1-legacy"},
      {"bank", TpmDigestName(bank)},
      {"startup_locality", log.startup_locality},
      {"trailing_padding", log.trailing_padding}};
  json["registers"] = ordered_json::object();
  for (const auto& [index, value] : registers) {
    json["registers"][std::to_string(index)] = {
        {"value", ToHex(value)},
        {"separator", eventlog::HasSeparator(log, bank, index)}};
  }
  json["events"] = ordered_json::array();
  for (const eventlog::BootEvent& event : log.events) {
    json["events"].push_back(
        {{"register", event.register_index},
         {"claimed_type", eventlog::BootEventTypeName(event.type)},
         {"digest", DigestOf(event, bank)},
         {"data_size", event.data.size()},
         {"offset", event.offset}});
  }
  return json.dump(2);
}

void PrintBoot(const eventlog::BootLog& log, uint16_t bank,
               const std::map<uint32_t, Bytes>& registers, std::ostream& out) {
  out << "   EVENT  PCR  CLAIMED TYPE                      DIGEST\n";
  for (size_t i = 0; i < log.events.size(); ++i) {
    const eventlog::BootEvent& event = log.events[i];
    out << fmt::format("{:>8}  {:>3}  {:<32}  {}\n", i, event.register_index,
                       eventlog::BootEventTypeName(event.type),
                       DigestOf(event, bank));
  }
  out << fmt::format("\nReplayed, bank {}, startup locality {}:\n",
                     TpmDigestName(bank), log.startup_locality);
  for (const auto& [index, value] : registers) {
    out << fmt::format(
        "pcr {:<3} {}{}\n", index, ToHex(value),
        eventlog::HasSeparator(log, bank, index) ? "" : "  no separator");
  }
}

}  // namespace

int RunEventLogShow(const EventLogShowArgs& args, std::ostream& out,
                    std::ostream& err) {
  const absl::StatusOr<std::vector<eventlog::CelRecord>> records =
      LoadRecords(args.file);
  if (!records.ok()) {
    return Fail(err, "show", records.status(), kExitUsage);
  }
  if (!args.json) {
    out << "  RECORD  TIME                  KIND                VM            "
           "        ROOT                FACTS\n";
  }
  for (const eventlog::CelRecord& record : *records) {
    if (args.json) {
      out << eventlog::ToCelJson(record) << "\n";
    } else {
      PrintRecord(record, out);
    }
  }
  return kExitGood;
}

int RunEventLogVerify(const EventLogVerifyArgs& args, std::ostream& out,
                      std::ostream& err) {
  const absl::StatusOr<verifier::EventLogPolicy> policy = MakePolicy(args);
  if (!policy.ok()) {
    return Fail(err, "verify", policy.status(), kExitUsage);
  }
  const absl::StatusOr<Bytes> file =
      ReadFile(args.file, eventlog::kMaxBundleSize);
  if (!file.ok()) {
    return Fail(err, "verify", file.status(), kExitUsage);
  }
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(args.anchors, ignored);
  const absl::StatusOr<verifier::Anchors> anchors =
      verifier::Anchors::LoadFolder(args.anchors);
  if (!anchors.ok()) {
    const bool none = is_folder && absl::IsNotFound(anchors.status());
    return Fail(err, "verify", anchors.status(),
                none ? kExitUndecided : kExitUsage);
  }
  const absl::StatusOr<verifier::EventLogAppraisal> appraisal =
      verifier::VerifyEventLog(AsText(*file), *anchors, *policy,
                               SystemClock().Now());
  if (!appraisal.ok()) {
    return Fail(err, "verify", appraisal.status(), kExitUndecided);
  }
  if (args.json) {
    out << ToJson(*appraisal) << "\n";
  } else {
    PrintAppraisal(*appraisal, out);
  }
  return appraisal->verdict.trusted() ? kExitGood : kExitNotTrustworthy;
}

int RunEventLogBoot(const EventLogBootArgs& args, std::ostream& out,
                    std::ostream& err) {
  const std::optional<uint16_t> bank = ParseTpmDigestName(args.bank);
  if (!bank) {
    return Fail(err, "boot",
                absl::InvalidArgumentError("--bank: not known: " + args.bank),
                kExitUsage);
  }
  const absl::StatusOr<eventlog::BootLog> log = LoadBootLog(args.file);
  if (!log.ok()) {
    return Fail(err, "boot", log.status(), kExitUsage);
  }
  const absl::StatusOr<std::map<uint32_t, Bytes>> registers =
      eventlog::ReplayBootLog(*log, *bank);
  if (!registers.ok()) {
    return Fail(err, "boot", registers.status(), kExitUsage);
  }
  if (args.json) {
    out << BootToJson(*log, *bank, *registers) << "\n";
  } else {
    PrintBoot(*log, *bank, *registers, out);
  }
  return kExitGood;
}

}  // namespace vmattest::cli
