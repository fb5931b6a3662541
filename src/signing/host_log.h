#ifndef VMATTEST_SIGNING_HOST_LOG_H_
#define VMATTEST_SIGNING_HOST_LOG_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "eventlog/host_event.h"
#include "eventlog/host_log_chain.h"
#include "signing/log_file.h"
#include "signing/log_folder.h"
#include "tpm/host_tpm.h"

namespace vmattest::signing {

// Keeps the host event log (rule S1, docs/formats/host-event-log.md). A batch
// of events becomes, in this order:
//
//   records in the file, synced -> log PCR, record by record -> NV anchor
//
// Whatever stops it in between, Open() finds out how far it came and does the
// rest. What that cannot explain (records that the TPM knows and the file does
// not, another head, a PCR that no record accounts for, no anchor) is a loss:
// it becomes a "log-loss" record that says what is missing, and problem(). One
// file per boot. Blocks; only the `tpm` thread uses it.
class HostLog {
 public:
  // `pcr` is the log PCR's index. All must outlive it.
  HostLog(tpm::HostTpm& tpm, LogFolder& folder, const Clock& clock, uint8_t pcr)
      : tpm_(tpm), folder_(folder), clock_(clock), pcr_index_(pcr) {}

  // Compares file, PCR and anchor; mends; begins the boot if it is a new one.
  // The first time, appends "daemon-started". Cheap if nothing happened since.
  // UNAVAILABLE, DATA_LOSS: the TPM's. Everything else leaves the log closed
  // and says why in status(): the TPM can sign without it.
  absl::Status Open();
  // OK once open. RESOURCE_EXHAUSTED: the disk is full. Open() tries again.
  [[nodiscard]] const absl::Status& status() const { return open_status_; }

  struct Appended {
    absl::Status status;
    // The first event's record number, if the records are in the file for good
    // and will be in the log, also if `status` is an error: Open() does the
    // rest. 0: nothing was appended.
    uint64_t first = 0;
  };
  // One batch. RESOURCE_EXHAUSTED: no room, nothing was appended. Needs an open
  // log. Calls `between` between the TPM's commands.
  Appended Append(
      std::span<const eventlog::HostEvent> events,
      const std::function<void()>& between = [] {});

  // Everything up to here is on disk, in the PCR and in the anchor.
  [[nodiscard]] const eventlog::LogHead& head() const { return head_; }
  [[nodiscard]] uint64_t boot_record() const { return boot_record_; }
  // What this boot's log-loss records say; empty: nothing is missing.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  // Bytes that were kept aside when the log was opened last, or empty.
  [[nodiscard]] const std::string& kept_aside() const { return kept_aside_; }

 private:
  // What file and TPM say when they do not fit.
  struct Finding {
    std::vector<std::string> reasons;
    uint64_t first_missing = 0;
    uint64_t last_missing = 0;
    eventlog::LogHead next;  // what the log goes on from
    Bytes log_pcr;
  };
  struct Tail {
    std::string name;  // empty: there is no file
    LogFileContent content;
  };

  [[nodiscard]] bool IsAsLeft(const tpm::LogRegisters& registers) const;
  absl::Status Recover(const tpm::LogRegisters& registers);
  absl::StatusOr<Tail> LoadTail();
  absl::Status CutOff(const std::string& name, ByteView file,
                      const LogFileContent& content);
  absl::Status CompareAnchor(const tpm::LogRegisters& registers,
                             const Tail& tail, Finding& finding);
  // Whether the log once was what the anchor says.
  absl::StatusOr<bool> WasOnce(const eventlog::LogHead& anchor,
                               const Tail& tail);
  absl::Status CompareBootCount(const tpm::LogRegisters& registers,
                                const Tail& tail, bool same_boot,
                                Finding& finding);
  static bool SameBoot(const tpm::LogRegisters& registers, const Tail& tail);
  absl::Status Resume(const tpm::LogRegisters& registers, const Tail& tail,
                      Finding finding);
  absl::Status FinishExtends(const tpm::LogRegisters& registers,
                             const Tail& tail, Finding& finding);
  absl::Status BeginBoot(const tpm::LogRegisters& registers, const Tail& tail,
                         Finding finding);
  void AddLoss(const Finding& finding,
               std::vector<eventlog::HostEvent>& events);
  void AddStarted(bool closed, std::vector<eventlog::HostEvent>& events) const;
  // Of those that begin at head_: into the file, then into the TPM.
  absl::Status WriteFile(std::span<const eventlog::HostEvent> events);
  absl::Status ExtendAndAnchor(const std::function<void()>& between = [] {});
  [[nodiscard]] int64_t NowUnixMs() const;

  tpm::HostTpm& tpm_;
  LogFolder& folder_;
  const Clock& clock_;
  const uint8_t pcr_index_;

  absl::Status open_status_ =
      absl::UnavailableError("the TPM was not reached yet");
  bool started_ = false;
  eventlog::LogHead head_;
  uint64_t boot_record_ = 0;
  std::string problem_;
  std::string kept_aside_;
  // As they should be found.
  HashAlgorithm bank_ = HashAlgorithm::kSha256;
  Bytes pcr_value_;
  uint32_t reset_count_ = 0;
  uint64_t boot_count_ = 0;
  std::string file_;
  uint64_t file_size_ = 0;
  // In the file, not yet in the TPM.
  std::vector<DigestBytes> to_extend_;
  eventlog::LogHead written_;
};

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_HOST_LOG_H_
