#ifndef VMATTEST_ATTESTOR_HOST_LOG_EXPORT_H_
#define VMATTEST_ATTESTOR_HOST_LOG_EXPORT_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "attestor/statement_sealer.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "signing/signer.h"

namespace vmattest::attestor {

// Where the host event log lies, as the signer writes it.
struct HostLogFiles {
  std::filesystem::path folder;
  uint8_t log_pcr = 13;
  uint16_t pcr_bank = 0x000B;  // TPM_ALG_ID
  // The firmware's log; none, or no such file: there is none.
  std::optional<std::filesystem::path> boot_log;
};

// What GetEventLog answers: evidence over a HostLogStatement, and the logs that
// it is about. `records` are those that the quote covers, no more; of a very
// long log the newest boots' (kMaxExport).
struct HostLogAnswer {
  Bytes evidence;
  Bytes records;   // TCG canonical event log, TLV
  Bytes boot_log;  // empty if there is none
};
using HostLogDone = std::function<void(absl::StatusOr<HostLogAnswer>)>;

// Makes that answer: TPM clock, anchor, firmware's log, seal, records.
class HostLogExport {
 public:
  static constexpr size_t kMaxExport = 64u << 20;

  // All must outlive it. Files are read on `requests`.
  HostLogExport(signing::Signer& signer, StatementSealer& statements,
                Executor& requests, HostLogFiles files)
      : signer_(signer),
        statements_(statements),
        requests_(requests),
        files_(std::move(files)) {}
  HostLogExport(const HostLogExport&) = delete;
  HostLogExport& operator=(const HostLogExport&) = delete;
  // Waits until nothing is under way.
  ~HostLogExport() EXCLUDES_LOCK(mutex_);

  // Never blocks; `done` is called once.
  void Make(Bytes nonce, MonotonicTime deadline, HostLogDone done);

 private:
  struct Work;
  using WorkPtr = std::shared_ptr<Work>;
  void ReadClock(const WorkPtr& work);
  void Certify(const WorkPtr& work);
  void Seal(const WorkPtr& work);
  void Collect(const WorkPtr& work, SealedStatement sealed);
  // Runs it on `requests`, or fails the work.
  void Then(const WorkPtr& work, std::function<void()> step);
  void Finish(const WorkPtr& work, absl::StatusOr<HostLogAnswer> answer)
      EXCLUDES_LOCK(mutex_);

  signing::Signer& signer_;
  StatementSealer& statements_;
  Executor& requests_;
  const HostLogFiles files_;
  Mutex mutex_;
  CondVar idle_;
  size_t pending_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_HOST_LOG_EXPORT_H_
