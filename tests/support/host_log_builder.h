#ifndef VMATTEST_TESTS_SUPPORT_HOST_LOG_BUILDER_H_
#define VMATTEST_TESTS_SUPPORT_HOST_LOG_BUILDER_H_

#include <string>
#include <utility>
#include <vector>

#include "eventlog/host_log.h"

namespace vmattest::testing {

// Writes a host event log as a daemon does, record by record.
class HostLogBuilder {
 public:
  static constexpr uint8_t kPcr = 13;
  static constexpr int64_t kTimeUnixMs = 1'700'000'000'000;

  explicit HostLogBuilder(HashAlgorithm bank = HashAlgorithm::kSha256)
      : bank_(bank), pcr_(DigestSize(bank), 0) {}

  // `closed` false after records that do not end with a close record.
  void Boot(bool closed) {
    ++boots_;
    pcr_.assign(DigestSize(bank_), 0);
    boot_record_ = head_.size + 1;
    Add(eventlog::MakeBootEvent(
        {.previous = head_,
         .boot_count = boots_,
         .reset_count = static_cast<uint32_t>(kFirstReset + boots_ - 1),
         .restart_count = 0,
         .closed = closed},
        kTimeUnixMs));
  }
  void Launch(const std::string& name) {
    Add({.kind = "vm-started",
         .facts = {{"vm_name", name},
                   {"vm_uuid", "6695eb01-f6a4-8304-79aa-97f2502e193f"},
                   {"algorithm", "sha256"},
                   {"root", std::string(64, 'a')},
                   {"leaf_count", "57"}},
         .time_unix_ms = kTimeUnixMs});
  }
  void Event(const std::string& kind) {
    Add({.kind = kind, .facts = {}, .time_unix_ms = kTimeUnixMs});
  }
  void Add(const eventlog::HostEvent& event) {
    AddRecord(eventlog::MakeHostRecord(head_.size + 1, kPcr, bank_, event));
  }
  void AddRecord(eventlog::CelRecord record) {
    head_.Extend(
        eventlog::RecordDigest(HashAlgorithm::kSha256, record.content));
    pcr_ = eventlog::ExtendPcr(bank_, pcr_,
                               eventlog::RecordDigest(bank_, record.content));
    records.push_back(std::move(record));
  }

  // Two boots, the first closed, and three launches in the second.
  static HostLogBuilder TwoBoots(HashAlgorithm bank = HashAlgorithm::kSha256) {
    HostLogBuilder log(bank);
    log.Boot(true);
    log.Event("daemon-started");
    log.Launch("web-0");
    log.Event("daemon-stopped");
    log.Boot(true);
    log.Event("daemon-started");
    log.Launch("web-1");
    log.Launch("web-2");
    log.Launch("web-3");
    return log;
  }

  std::vector<eventlog::CelRecord> records;
  [[nodiscard]] const eventlog::LogHead& head() const { return head_; }
  [[nodiscard]] const DigestBytes& pcr() const { return pcr_; }
  [[nodiscard]] uint64_t boot_record() const { return boot_record_; }

  static constexpr uint64_t kFirstReset = 6;

 private:
  HashAlgorithm bank_;
  DigestBytes pcr_;
  eventlog::LogHead head_;
  uint64_t boots_ = 0;
  uint64_t boot_record_ = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_HOST_LOG_BUILDER_H_
