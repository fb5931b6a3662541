#include "ledger/audit.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "base/base64.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "ledger/reason_codes.h"
#include "ledger/tpm_clock_watch.h"
#include "merkle/tree.h"
#include "tlog/tile_tree.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kPage = 256;
constexpr auto kSha256 = HashAlgorithm::kSha256;

// Codes of findings beside the reasons for refusals.
constexpr std::string_view kCheckpoint = "ledger-checkpoint";
constexpr std::string_view kTile = "ledger-tile";
constexpr std::string_view kRoot = "ledger-root";
constexpr std::string_view kFork = "ledger-fork";
constexpr std::string_view kScore = "ledger-score";

// Of one audit: VMs that are not as they are told, TPMs that went back, and
// records after the checkpoint that readings went on to.
constexpr size_t kMostScoreFindings = 1'000;
constexpr size_t kMostTpmClockFindings = 100;
constexpr uint64_t kMostLater = 100'000;

std::string Told(int64_t milli, std::string_view band, int64_t witnessed_milli,
                 uint64_t passes, uint64_t fails, uint64_t silences,
                 bool host_compromised) {
  return fmt::format(
      "{}.{:03} ({}), witnessed {}.{:03}, {} passes, {} failures, {} silent{}",
      milli / trust::kPoint, milli % trust::kPoint, band,
      witnessed_milli / trust::kPoint, witnessed_milli % trust::kPoint, passes,
      fails, silences, host_compromised ? ", on a compromised host" : "");
}

// An entry whose signature is still to be checked.
struct Signed {
  uint64_t index = 0;
  Entry entry;
  WriterKey key;
};

class Auditor {
 public:
  Auditor(AuditSource& source, const AuditOptions& options)
      : source_(source),
        options_(options),
        state_(std::make_unique<LogState>(options.log)) {}

  absl::StatusOr<AuditReport> Run() {
    ASSIGN_OR_RETURN(note_, source_.CheckpointNote());
    const absl::StatusOr<tlog::AcceptedCheckpoint> accepted =
        tlog::OpenCheckpoint(note_, options_.witnesses);
    if (!accepted.ok()) {
      Find("checkpoint", kCheckpoint, "accepted by the policy",
           std::string(accepted.status().message()));
      return std::move(report_);
    }
    const tlog::Checkpoint& checkpoint = accepted->checkpoint;
    report_.origin = checkpoint.origin;
    report_.size = checkpoint.size;
    witnessed_ = checkpoint.size;
    report_.root = checkpoint.root;
    report_.witnessed_unix_s = accepted->witnessed_unix_s;
    report_.unwitnessed = options_.witnesses.threshold() == 0;
    if (checkpoint.origin != options_.log.origin) {
      Find("checkpoint", reason::kOrigin, options_.log.origin,
           checkpoint.origin);
    }
    RETURN_IF_ERROR(TakeFork());
    RETURN_IF_ERROR(TakeKnown());
    RETURN_IF_ERROR(Replay());
    CheckEnd();
    Summarise();
    CompareScores();
    return std::move(report_);
  }

 private:
  void Find(std::string element, std::string_view code, std::string expected,
            std::string found) {
    Reason reason{std::string(code), element, std::move(expected),
                  std::move(found)};
    report_.findings.push_back(
        {.element = std::move(element), .reason = std::move(reason)});
  }

  absl::Status TakeFork() {
    ASSIGN_OR_RETURN(const std::optional<tlog::ForkProof> proof,
                     source_.KnownFork());
    if (proof && tlog::CheckFork(*proof, options_.witnesses.verifiers()).ok()) {
      Find("checkpoint", kFork, "one story", "two, with a proof");
      report_.fork = proof;
    }
    return absl::OkStatus();
  }

  absl::Status TakeKnown() {
    if (!options_.known_checkpoint) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN_WITH(const tlog::OpenedNote opened,
                          tlog::OpenNote(*options_.known_checkpoint,
                                         options_.witnesses.verifiers()),
                          "the checkpoint known before");
    ASSIGN_OR_RETURN(known_, tlog::ParseCheckpoint(opened.note.text));
    if (known_->size > report_.size) {
      Find("known-checkpoint", kFork,
           fmt::format("at least {} records", known_->size),
           fmt::format("{}: rolled back", report_.size));
    }
    return absl::OkStatus();
  }

  // Rules on this thread; signatures meanwhile on others, a page behind.
  absl::Status Replay() {
    std::vector<Signed> checking;
    std::future<size_t> forged;  // over them
    size_t known_findings = report_.findings.size();
    while (good_ && state_->size() < report_.size) {
      const size_t findings = report_.findings.size();
      RETURN_IF_ERROR(TakePage());
      if (const size_t bad = Wait(forged, checking); bad < checking.size()) {
        return Forged(checking[bad], known_findings);
      }
      checking = std::exchange(pending_, {});
      known_findings = findings;
      forged = std::async(std::launch::async,
                          [this, &checking] { return Verify(checking); });
      if (options_.progress) {
        options_.progress(state_->size(), report_.size);
      }
    }
    if (const size_t bad = Wait(forged, checking); bad < checking.size()) {
      return Forged(checking[bad], known_findings);
    }
    return absl::OkStatus();
  }
  static size_t Wait(std::future<size_t>& forged,
                     const std::vector<Signed>& checking) {
    return forged.valid() ? forged.get() : checking.size();
  }

  absl::Status TakePage() {
    absl::StatusOr<std::vector<Bytes>> page = source_.Records(
        state_->size(),
        std::min<uint64_t>(kPage, report_.size - state_->size()), report_.size);
    if (!page.ok() && (absl::IsNotFound(page.status()) ||
                       absl::IsInvalidArgument(page.status()))) {
      good_ = false;
      Find(fmt::format("record {}", state_->size()), reason::kMalformed, "",
           std::string(page.status().message()));
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(page.status());
    pending_.reserve(page->size());
    for (const Bytes& record : *page) {
      if (!TakeRecord(record)) {
        break;
      }
    }
    CheckTiles(false);
    return absl::OkStatus();
  }

  bool TakeRecord(const Bytes& bytes) {
    const uint64_t index = state_->size();
    std::optional<Reason> refusal;
    absl::StatusOr<Record> record = ParseRecord(bytes);
    absl::StatusOr<Entry> entry =
        record.ok() ? ParseEntry(std::move(record->entry)) : record.status();
    WriterKey key;
    if (!entry.ok()) {
      refusal = Reason{std::string(reason::kMalformed), "record", "",
                       std::string(entry.status().message())};
    } else {
      key = state_->KeyFor(*entry);
      refusal = state_->Check(*entry, key, record->time_unix_ms);
    }
    if (refusal) {
      good_ = false;
      report_.findings.push_back({.element = fmt::format("record {}", index),
                                  .reason = *std::move(refusal)});
      return false;
    }
    TakeTpmClock(*entry, key.generation);
    ++report_.types[std::string(TypeName(entry->body))];
    state_->Apply(*entry, record->time_unix_ms);
    edge_.Append(merkle::LeafHash(kSha256, bytes));
    pending_.push_back(
        {.index = index, .entry = *std::move(entry), .key = std::move(key)});
    if (known_ && state_->size() == known_->size &&
        edge_.Root() != known_->root) {
      Find("known-checkpoint", kFork, ToBase64(known_->root),
           ToBase64(edge_.Root()));
      if (known_->size == report_.size) {
        report_.fork = tlog::ForkProof{.first = *options_.known_checkpoint,
                                       .second = note_};
      } else {
        report_.fork = ForkOfTwoSizes();
      }
    }
    return true;
  }

  // The entry counts all the same: the ledger took it.
  void TakeTpmClock(const Entry& entry, uint64_t generation) {
    std::optional<Reason> behind = tpm_clocks_.Take(entry, generation);
    if (behind && told_tpm_clocks_++ < kMostTpmClockFindings) {
      report_.findings.push_back(
          {.element = fmt::format("record {}", state_->size()),
           .reason = *std::move(behind)});
    }
  }

  // At the record after which the known checkpoint was signed.
  std::optional<tlog::ForkProof> ForkOfTwoSizes() {
    if (!source_.has_tiles()) {
      return std::nullopt;
    }
    tlog::TileTree tree(
        [this](uint32_t level, uint64_t index, size_t) {
          return source_.Tile(level, index, report_.size);
        },
        report_.size);
    absl::StatusOr<std::vector<Bytes>> path =
        tree.ConsistencyProof(known_->size);
    if (!path.ok()) {
      return std::nullopt;
    }
    return tlog::ForkProof{.first = *options_.known_checkpoint,
                           .second = note_,
                           .earlier_root = edge_.Root(),
                           .path = *std::move(path)};
  }

  // The first whose signature is wrong; their number: none.
  [[nodiscard]] size_t Verify(const std::vector<Signed>& entries) const {
    std::atomic<size_t> next = 0;
    std::atomic<size_t> first = entries.size();
    const auto work = [&] {
      for (size_t i = next++; i < first; i = next++) {
        if (CheckSignature(options_.log, entries[i].entry, entries[i].key)) {
          size_t known = first;
          while (i < known && !first.compare_exchange_weak(known, i)) {
          }
        }
      }
    };
    std::vector<std::thread> others;
    for (size_t i = 1; i < std::max<size_t>(1, options_.threads); ++i) {
      others.emplace_back(work);
    }
    work();
    for (std::thread& other : others) {
      other.join();
    }
    return first;
  }

  // What follows it does not count: back to the state before.
  absl::Status Forged(const Signed& bad, size_t findings) {
    report_.findings.resize(findings);
    state_ = std::make_unique<LogState>(options_.log);
    edge_ = {};
    tpm_clocks_ = {};
    told_tpm_clocks_ = 0;
    partial_.clear();
    report_.types.clear();
    while (state_->size() < bad.index) {
      ASSIGN_OR_RETURN(
          const std::vector<Bytes> page,
          source_.Records(state_->size(),
                          std::min<uint64_t>(kPage, bad.index - state_->size()),
                          report_.size));
      for (const Bytes& record : page) {
        if (!TakeRecord(record)) {
          return absl::AbortedError("the log changed while it was audited");
        }
      }
    }
    good_ = false;
    report_.findings.push_back(
        {.element = fmt::format("record {}", bad.index),
         .reason = *CheckSignature(options_.log, bad.entry, bad.key)});
    return absl::OkStatus();
  }

  // Full tiles as they complete; the others at the end.
  void CheckTiles(bool last) {
    for (tlog::TreeEdge::Changed& tile : edge_.TakeChanged()) {
      const bool full =
          tile.hashes.size() == tlog::kTileWidth * tlog::kHashSize;
      const std::pair<uint32_t, uint64_t> place(tile.level, tile.index);
      if (full || last) {
        partial_.erase(place);
        CheckTile(tile);
      } else {
        partial_[place] = std::move(tile);
      }
    }
    if (last) {
      for (const auto& [place, tile] : partial_) {
        CheckTile(tile);
      }
    }
  }

  void CheckTile(const tlog::TreeEdge::Changed& tile) {
    if (!source_.has_tiles()) {
      return;
    }
    const absl::StatusOr<Bytes> found =
        source_.Tile(tile.level, tile.index, report_.size);
    const std::string element =
        fmt::format("tile {}/{}", tile.level, tile.index);
    if (!found.ok()) {
      Find(element, kTile, "", std::string(found.status().message()));
    } else if (*found != tile.hashes) {
      Find(element, kTile, "the hashes of its records", "others");
    }
  }

  void CheckEnd() {
    if (!good_ || state_->size() != report_.size) {
      return;
    }
    CheckTiles(true);
    if (edge_.Root() != report_.root) {
      Find("root", kRoot, ToBase64(report_.root), ToBase64(edge_.Root()));
    }
  }

  void Summarise() {
    report_.checked = state_->size();
    state_->Witnessed(state_->size());
    report_.state_root = state_->StateRoot();
    for (const auto& [id, vm] : state_->fold().vms()) {
      const std::optional<trust::Reading> reading =
          state_->Read(id, options_.now_unix_ms);
      report_.vms.push_back({.uuid = vmattest::ToString(id),
                             .owner = vm.owner,
                             .home = vm.host,
                             .milli = reading->milli,
                             .band = std::string(ToString(reading->band)),
                             .passes = vm.passes,
                             .fails = vm.fails,
                             .silences = reading->silences});
    }
    for (const auto& [name, writer] : state_->writers()) {
      const trust::HostState* const host = state_->fold().FindHost(name);
      if (host != nullptr && host->compromised) {
        report_.compromised_hosts.push_back(name);
      }
    }
  }

  void CompareScores() {
    if (!source_.has_trust()) {
      return;
    }
    AuditedScores& scores = report_.scores.emplace();
    if (!good_ || state_->size() != report_.size) {
      scores = {.not_compared = report_.vms.size(),
                .why = "the records are not good"};
      return;
    }
    std::vector<Uuid> vms;
    for (const auto& [id, vm] : state_->fold().vms()) {
      vms.push_back(id);
    }
    // Records after the checkpoint are in nobody's count.
    const std::map<std::string, uint64_t> types = report_.types;
    const size_t before = report_.findings.size();
    for (size_t i = 0; i < vms.size(); ++i) {
      const bool too_many =
          i >= options_.max_compared ||
          report_.findings.size() - before >= kMostScoreFindings;
      if (too_many) {
        scores.why = "there are too many";
      }
      if (too_many || !CompareScore(vms[i], scores)) {
        scores.not_compared = vms.size() - scores.compared;
        break;
      }
    }
    report_.types = types;
  }

  // False: it is of no use to ask about others.
  bool CompareScore(const Uuid& id, AuditedScores& scores) {
    const std::string element = "vm " + vmattest::ToString(id);
    const auto skip = [&scores](std::string why, bool goes_on) {
      ++scores.not_compared;
      scores.why = std::move(why);
      return goes_on;
    };
    const absl::StatusOr<ToldTrust> told = source_.Trust(id);
    if (absl::IsNotFound(told.status())) {
      ++scores.compared;
      Find(element, kScore, "what its records give", "no such VM");
      return true;
    }
    if (!told.ok()) {
      return skip(std::string(told.status().message()), false);
    }
    if (told->size == 0) {
      return skip("the node does not say which records it reads", false);
    }
    if (told->size < state_->size() ||
        told->witnessed < state_->fold().witnessed()) {
      return skip("the node read fewer records than it gave", true);
    }
    const absl::Status later = GoOnTo(told->size);
    if (!later.ok()) {
      return skip(std::string(later.message()), false);
    }
    if (const uint64_t most = MostWitnessed(told->witnessed);
        told->witnessed > most) {
      // Passes that no quorum saw would count.
      ++scores.compared;
      Find(element, kScore, fmt::format("{} witnessed records at most", most),
           fmt::format("{}", told->witnessed));
      return true;
    }
    state_->Witnessed(std::min(told->witnessed, told->size));
    ++scores.compared;
    const trust::Reading reading = *state_->Read(id, told->time_unix_ms);
    const std::string given =
        Told(reading.milli, ToString(reading.band), reading.witnessed_milli,
             reading.vm.passes, reading.vm.fails, reading.silences,
             reading.host_compromised);
    const std::string found =
        Told(told->milli, told->band, told->witnessed_milli, told->passes,
             told->fails, told->silences, told->host_compromised);
    if (given != found) {
      Find(element, kScore, given, found);
    } else if (told->time_unix_ms <
               std::max(state_->time_ms(),
                        options_.now_unix_ms - options_.log.max_skew_ms)) {
      // Neither decay nor silence would show.
      Find(element, kScore, "as of now",
           fmt::format("as of {} ms", told->time_unix_ms));
    }
    return true;
  }

  // What a quorum cosigned by now; asks only if that is less than `wanted`.
  uint64_t MostWitnessed(uint64_t wanted) {
    if (wanted > witnessed_) {
      const absl::StatusOr<std::string> note = source_.CheckpointNote();
      const absl::StatusOr<tlog::AcceptedCheckpoint> accepted =
          note.ok() ? tlog::OpenCheckpoint(*note, options_.witnesses)
                    : note.status();
      if (accepted.ok() && accepted->checkpoint.origin == options_.log.origin) {
        witnessed_ = std::max(witnessed_, accepted->checkpoint.size);
      }
    }
    return witnessed_;
  }

  // Takes in what came after the checkpoint: readings went on to it.
  absl::Status GoOnTo(uint64_t size) {
    if (size - report_.size > kMostLater) {
      return absl::OutOfRangeError("the node went on too far meanwhile");
    }
    while (state_->size() < size) {
      ASSIGN_OR_RETURN(
          const std::vector<Bytes> page,
          source_.Records(state_->size(),
                          std::min<uint64_t>(kPage, size - state_->size()),
                          size));
      if (page.empty()) {
        Find(fmt::format("record {}", state_->size()), kScore,
             "what scores rest on", "no such record");
        return absl::DataLossError("the node does not give what it read");
      }
      pending_.clear();
      for (const Bytes& record : page) {
        if (!TakeRecord(record)) {
          return absl::DataLossError("the newer records are not good");
        }
      }
      (void)edge_.TakeChanged();
      if (const size_t bad = Verify(pending_); bad < pending_.size()) {
        report_.findings.push_back(
            {.element = fmt::format("record {}", pending_[bad].index),
             .reason = *CheckSignature(options_.log, pending_[bad].entry,
                                       pending_[bad].key)});
        return absl::DataLossError("the newer records are not good");
      }
    }
    return absl::OkStatus();
  }

  AuditSource& source_;
  const AuditOptions& options_;
  std::unique_ptr<LogState> state_;
  tlog::TreeEdge edge_;
  std::map<std::pair<uint32_t, uint64_t>, tlog::TreeEdge::Changed> partial_;
  std::string note_;
  std::optional<tlog::Checkpoint> known_;
  std::vector<Signed> pending_;  // signatures of the newest page
  uint64_t witnessed_ = 0;       // as far as a quorum is known to have cosigned
  TpmClockWatch tpm_clocks_;
  size_t told_tpm_clocks_ = 0;
  bool good_ = true;
  AuditReport report_;
};

}  // namespace

absl::StatusOr<AuditReport> Audit(AuditSource& source,
                                  const AuditOptions& options) {
  return Auditor(source, options).Run();
}

}  // namespace vmattest::ledger
