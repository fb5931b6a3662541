#include "attestor/host_log_export.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/file.h"
#include "crypto/digest.h"
#include "eventlog/host_log.h"
#include "fmt/format.h"
#include "signing/log_folder.h"
#include "wire/codec.h"

namespace vmattest::attestor {
namespace {

constexpr size_t kMaxBootLog = 16u << 20;
constexpr uint16_t kAlgSha384 = 0x000C;

absl::StatusOr<Bytes> ReadBootLog(const HostLogFiles& files) {
  if (!files.boot_log) {
    return Bytes();
  }
  absl::StatusOr<Bytes> log = ReadFile(*files.boot_log, kMaxBootLog);
  return absl::IsNotFound(log.status()) ? absl::StatusOr<Bytes>(Bytes()) : log;
}

// The newest files of the log, whole, up to the limit; at least the newest.
absl::StatusOr<Bytes> ReadRecords(const HostLogFiles& files, size_t limit) {
  signing::DiskLogFolder folder(files.folder);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, folder.List());
  std::vector<Bytes> contents;
  size_t size = 0;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    ASSIGN_OR_RETURN(Bytes content, folder.Read(*name));
    if (!contents.empty() && size + content.size() > limit) {
      break;
    }
    size += content.size();
    contents.push_back(std::move(content));
  }
  Bytes all;
  all.reserve(size);
  for (auto content = contents.rbegin(); content != contents.rend();
       ++content) {
    all.insert(all.end(), content->begin(), content->end());
  }
  return all;
}

// The records up to the one after which the log PCR was `value`.
absl::StatusOr<Bytes> CutToQuote(const Bytes& log, const HostLogFiles& files,
                                 ByteView value) {
  std::vector<eventlog::CelRecord> records;
  std::vector<size_t> ends;
  eventlog::CelReader reader(log);
  while (true) {
    absl::StatusOr<std::optional<eventlog::CelRecord>> record = reader.Next();
    // A record that is being written now is torn, and not covered.
    if (absl::IsOutOfRange(record.status())) {
      break;
    }
    RETURN_IF_ERROR_WITH(record.status(), "the host event log");
    if (!*record) {
      break;
    }
    records.push_back(**std::move(record));
    ends.push_back(reader.offset());
  }
  const HashAlgorithm bank = files.pcr_bank == kAlgSha384
                                 ? HashAlgorithm::kSha384
                                 : HashAlgorithm::kSha256;
  const eventlog::HostLogReplay replay =
      eventlog::ReplayHostLog(records, files.log_pcr, bank);
  const std::optional<size_t> covered = eventlog::CoveredRecords(replay, value);
  // What does not replay is handed out whole: a verifier says what is wrong.
  const size_t end = covered && *covered > 0 ? ends[*covered - 1] : log.size();
  return Bytes(log.begin(), log.begin() + static_cast<ptrdiff_t>(end));
}

absl::StatusOr<Bytes> QuotedValue(const SealedStatement& sealed, uint32_t pcr) {
  for (const evidence::Signature& signature : sealed.envelope.signatures) {
    const auto* quote =
        std::get_if<evidence::TpmQuoteSignature>(&signature.body);
    if (quote == nullptr) {
      continue;
    }
    for (const PcrValues& bank : quote->pcr_banks) {
      if (const auto value = bank.values.find(pcr);
          value != bank.values.end()) {
        return value->second;
      }
    }
  }
  return absl::InternalError(fmt::format("the quote has no PCR {}", pcr));
}

}  // namespace

struct HostLogExport::Work {
  Bytes nonce;
  MonotonicTime deadline;
  HostLogDone done;
  evidence::HostLogStatement statement;
  Bytes boot_log;
};

HostLogExport::~HostLogExport() {
  const MutexLock lock(mutex_);
  while (pending_ > 0) {
    idle_.Wait(mutex_);
  }
}

void HostLogExport::Make(Bytes nonce, MonotonicTime deadline,
                         HostLogDone done) {
  {
    const MutexLock lock(mutex_);
    ++pending_;
  }
  auto work = std::make_shared<Work>();
  work->nonce = std::move(nonce);
  work->deadline = deadline;
  work->done = std::move(done);
  if (!signer_.state().log) {
    const signing::SignerState state = signer_.state();
    Finish(work, state.tpm.ok()
                     ? absl::FailedPreconditionError("no event log is kept")
                     : state.tpm);
    return;
  }
  ReadClock(work);
}

void HostLogExport::ReadClock(const WorkPtr& work) {
  const absl::Status asked = signer_.ReadClock(
      work->deadline, [this, work](absl::StatusOr<TpmClock> clock) {
        if (!clock.ok()) {
          Finish(work, clock.status());
          return;
        }
        work->statement.header.measured_at = *clock;
        Certify(work);
      });
  if (!asked.ok()) {
    Finish(work, asked);
  }
}

void HostLogExport::Certify(const WorkPtr& work) {
  // Before the anchor, which must not be behind what the statement says.
  work->statement.header.host = statements_.HostNow();
  const absl::Status asked = signer_.CertifyLog(
      work->nonce, work->deadline,
      [this, work](absl::StatusOr<evidence::AnchorCertification> anchor) {
        if (!anchor.ok()) {
          Finish(work, Annotate(anchor.status(), "the log's anchor"));
          return;
        }
        work->statement.anchor = *std::move(anchor);
        Then(work, [this, work] { Seal(work); });
      });
  if (!asked.ok()) {
    Finish(work, asked);
  }
}

void HostLogExport::Seal(const WorkPtr& work) {
  absl::StatusOr<Bytes> boot_log = ReadBootLog(files_);
  if (!boot_log.ok()) {
    Finish(work, Annotate(boot_log.status(), "the firmware's log"));
    return;
  }
  work->boot_log = *std::move(boot_log);
  evidence::HostLogStatement& statement = work->statement;
  statement.header.nonce = work->nonce;
  statement.log_pcr = files_.log_pcr;
  statement.boot_record = signer_.state().boot_record;
  statement.boot_log_size = work->boot_log.size();
  if (!work->boot_log.empty()) {
    statement.boot_log_digest = Hash(HashAlgorithm::kSha256, work->boot_log);
  }
  statements_.Seal(
      evidence::kHostLogPayloadType, statement.header,
      [work](const evidence::StatementHeader& header) {
        work->statement.header = header;
        return wire::EncodeHostLogStatement(work->statement);
      },
      work->deadline,
      [this, work](absl::StatusOr<SealedStatement> sealed) {
        if (!sealed.ok()) {
          Finish(work, Annotate(sealed.status(), "sealing"));
          return;
        }
        Then(work, [this, work, sealed = *std::move(sealed)] {
          Collect(work, sealed);
        });
      });
}

void HostLogExport::Collect(const WorkPtr& work, SealedStatement sealed) {
  const auto collect = [&]() -> absl::StatusOr<HostLogAnswer> {
    ASSIGN_OR_RETURN(const Bytes value, QuotedValue(sealed, files_.log_pcr));
    ASSIGN_OR_RETURN(const Bytes log, ReadRecords(files_, kMaxExport));
    HostLogAnswer answer;
    ASSIGN_OR_RETURN(answer.records, CutToQuote(log, files_, value));
    answer.boot_log = std::move(work->boot_log);
    evidence::Evidence evidence;
    evidence.envelope = std::move(sealed.envelope);
    evidence.keys = std::move(sealed.keys);
    answer.evidence = wire::EncodeEvidence(evidence);
    return answer;
  };
  Finish(work, collect());
}

void HostLogExport::Then(const WorkPtr& work, std::function<void()> step) {
  const absl::Status queued = requests_.Submit(std::move(step));
  if (!queued.ok()) {
    Finish(work, queued);
  }
}

void HostLogExport::Finish(const WorkPtr& work,
                           absl::StatusOr<HostLogAnswer> answer) {
  work->done(answer.ok() ? std::move(answer)
                         : Annotate(answer.status(), "exporting the log"));
  const MutexLock lock(mutex_);
  --pending_;
  idle_.NotifyAll();
}

}  // namespace vmattest::attestor
