#include "ledger/checkpointer.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "merkle/tree.h"

namespace vmattest::ledger {
namespace {

constexpr int kOk = 200;
constexpr int kConflict = 409;

}  // namespace

Checkpointer::Checkpointer(Parts parts)
    : parts_(std::move(parts)), witness_sizes_(parts_.witnesses.size()) {
  const MutexLock lock(mutex_);
  state_.unwitnessed = parts_.policy.threshold() == 0;
  state_.fork = parts_.fork;
  state_.ahead = parts_.ahead;
}

absl::StatusOr<Checkpointer::Ahead> Checkpointer::OpenAhead(
    std::string note, const tlog::WitnessPolicy& policy,
    const std::string& origin) {
  ASSIGN_OR_RETURN(const tlog::OpenedNote opened,
                   tlog::OpenNote(note, policy.verifiers()));
  ASSIGN_OR_RETURN(tlog::Checkpoint checkpoint,
                   tlog::ParseCheckpoint(opened.note.text));
  const bool by_log = std::any_of(
      opened.verified.begin(), opened.verified.end(),
      [&](const tlog::VerifiedSignature& signature) {
        const tlog::NoteVerifier& by = policy.verifiers()[signature.verifier];
        return by.name() == origin && !tlog::IsCosignature(by.type());
      });
  if (!by_log || checkpoint.origin != origin) {
    return absl::InvalidArgumentError(
        fmt::format("no checkpoint by the key of {}", origin));
  }
  return Ahead{.note = std::move(note),
               .size = checkpoint.size,
               .root = std::move(checkpoint.root)};
}

absl::StatusOr<Log::Trusted> Checkpointer::LastSigned(
    tlog::WitnessStore& memory, const std::string& origin) {
  ASSIGN_OR_RETURN(tlog::WitnessStore::Seen seen, memory.Find(origin));
  return Log::Trusted{.size = seen.size, .root = std::move(seen.root)};
}

Checkpointer::State Checkpointer::state() const {
  const MutexLock lock(mutex_);
  return state_;
}

int64_t Checkpointer::witnessed_unix_s() const {
  const MutexLock lock(mutex_);
  return state_.witnessed_unix_s;
}

absl::Status Checkpointer::CheckFork() const {
  const uint64_t size = parts_.log.head().size;
  const MutexLock lock(mutex_);
  if (state_.fork) {
    return absl::DataLossError(
        "the ledger was forked: nothing it says is to be believed");
  }
  if (!state_.ahead) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      state_.ahead->size > size
          ? fmt::format("the ledger has {} records, and a witness shows that "
                        "its key signed for {}: it was rolled back",
                        size, state_.ahead->size)
          : fmt::format("a witness shows that the ledger's key signed for {} "
                        "records, and these are not they as far as is known: "
                        "it was rolled back",
                        state_.ahead->size));
}

absl::Status Checkpointer::CheckTrusted() const {
  RETURN_IF_ERROR(CheckFork());
  const MutexLock lock(mutex_);
  return state_.unwitnessed || confirmed_
             ? absl::OkStatus()
             : absl::UnavailableError(
                   "no quorum of witnesses has cosigned since this node "
                   "started: the ledger might have been rolled back");
}

// Somebody may have put the lost records back, or others in their place.
absl::Status Checkpointer::CompareAhead() {
  const std::optional<Ahead> ahead = state().ahead;
  if (!ahead || ahead->size > parts_.log.head().size) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Bytes root, parts_.log.RootAt(ahead->size));
  if (root == ahead->root) {
    const MutexLock lock(mutex_);
    state_.ahead.reset();
  }
  return absl::OkStatus();
}

// The log grew past what was signed for, as another one. Nobody signs for that;
// but with this node's key under both stories, others can check it.
absl::Status Checkpointer::ConvictItself() {
  const State now = state();
  const LogHead head = parts_.log.head();
  if (now.fork || !now.ahead || now.ahead->size > head.size) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const tlog::Note note, Sign(head));
  TakeFork({.first = now.ahead->note, .second = tlog::EncodeNote(note)},
           head.size);
  return absl::OkStatus();
}

absl::Status Checkpointer::Round() {
  const MutexLock round(round_);
  if (!CheckFork().ok()) {
    // Perhaps this node only had not read all there is.
    RETURN_IF_ERROR(parts_.log.CatchUp());
    RETURN_IF_ERROR(CompareAhead());
    RETURN_IF_ERROR(ConvictItself());
  }
  RETURN_IF_ERROR(CheckFork());
  const LogHead head = parts_.log.head();
  if (head.size == 0) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(tlog::Note note, Sign(head));
  ASSIGN_OR_RETURN(const tlog::Checkpoint checkpoint,
                   tlog::ParseCheckpoint(note.text));
  RETURN_IF_ERROR(Gather(note, checkpoint));
  RETURN_IF_ERROR(CheckFork());
  return Keep(note, checkpoint);
}

absl::Status Checkpointer::Adopt() {
  const MutexLock round(round_);
  RETURN_IF_ERROR(CompareAhead());
  RETURN_IF_ERROR(CheckFork());
  ASSIGN_OR_RETURN(const std::optional<StoredCheckpoint> stored,
                   parts_.log.store().Checkpoint());
  if (!found_) {
    found_ = stored ? stored->note : "";
  }
  if (!stored || stored->note == state().note ||
      stored->size > parts_.log.head().size) {
    return absl::OkStatus();
  }
  const absl::StatusOr<tlog::AcceptedCheckpoint> accepted =
      tlog::OpenCheckpoint(stored->note, parts_.policy);
  if (!accepted.ok()) {
    const MutexLock lock(mutex_);
    state_.problems = {std::string(accepted.status().message())};
    return absl::OkStatus();
  }
  const tlog::Checkpoint& checkpoint = accepted->checkpoint;
  const std::string& origin = parts_.log.policy().origin;
  if (checkpoint.origin != origin || checkpoint.size != stored->size) {
    return absl::DataLossError("the store's checkpoint is another log's");
  }
  ASSIGN_OR_RETURN(const Bytes root, parts_.log.RootAt(checkpoint.size));
  if (root != checkpoint.root) {
    return absl::DataLossError(fmt::format(
        "the leader's checkpoint of {} records is not of those in the store",
        checkpoint.size));
  }
  ASSIGN_OR_RETURN(const tlog::WitnessStore::Seen before,
                   parts_.memory.Find(origin));
  if (before.size < checkpoint.size) {
    RETURN_IF_ERROR(CheckContinues(before, checkpoint.size, root));
    RETURN_IF_ERROR(parts_.memory.Replace(
        origin, before,
        {.size = checkpoint.size, .root = root, .note = stored->note}));
  }
  {
    const MutexLock lock(mutex_);
    state_.problems.clear();
    state_.size = std::max(state_.size, checkpoint.size);
    state_.witnessed = checkpoint.size;
    state_.witnessed_unix_s = accepted->witnessed_unix_s;
    state_.note = stored->note;
    // One that lay there says nothing: it went back with the rest. A new one
    // is from a leader whom a quorum cosigned.
    confirmed_ = confirmed_ || stored->note != *found_;
  }
  parts_.log.Witnessed(checkpoint.size);
  return absl::OkStatus();
}

absl::Status Checkpointer::CheckContinues(
    const tlog::WitnessStore::Seen& before, uint64_t size, const Bytes& root) {
  if (before.size > size) {
    return absl::DataLossError(fmt::format(
        "{} records were signed for, the ledger has {}", before.size, size));
  }
  if (before.size == 0) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<Bytes> path,
                   parts_.log.ConsistencyProof(before.size, size));
  return merkle::VerifyConsistency(HashAlgorithm::kSha256, before.size, size,
                                   before.root, root, path)
             ? absl::OkStatus()
             : absl::DataLossError(fmt::format(
                   "the ledger's {} records do not continue the {} that were "
                   "signed for",
                   size, before.size));
}

absl::StatusOr<tlog::Note> Checkpointer::Sign(const LogHead& head) {
  const std::string& origin = parts_.log.policy().origin;
  ASSIGN_OR_RETURN(const tlog::WitnessStore::Seen before,
                   parts_.memory.Find(origin));
  RETURN_IF_ERROR(CheckContinues(before, head.size, head.root));
  tlog::Note note{
      .text = tlog::EncodeCheckpoint(
          {.origin = origin, .size = head.size, .root = head.root})};
  const int64_t now = parts_.clock.Now().time_since_epoch().count() / 1'000;
  for (const auto& signer : parts_.signers) {
    RETURN_IF_ERROR_WITH(tlog::AddSignature(note, *signer, now),
                         "signing a checkpoint");
  }
  if (before.size != head.size) {
    // Before anybody sees it: after a crash it is known what was signed.
    RETURN_IF_ERROR(parts_.memory.Replace(
        origin, before,
        {.size = head.size, .root = head.root, .note = EncodeNote(note)}));
  }
  return note;
}

absl::Status Checkpointer::Gather(tlog::Note& note,
                                  const tlog::Checkpoint& checkpoint) {
  std::vector<std::string> problems;
  Log::Included newest;
  if (!parts_.witnesses.empty()) {
    ASSIGN_OR_RETURN(
        newest, parts_.log.ReadIncluded(checkpoint.size - 1, checkpoint.size));
  }
  for (size_t i = 0; i < parts_.witnesses.size(); ++i) {
    if (absl::Status asked = Ask(i, newest, note, checkpoint); !asked.ok()) {
      problems.push_back(
          fmt::format("{}: {}", parts_.witnesses[i]->name(), asked.ToString()));
    }
  }
  const MutexLock lock(mutex_);
  state_.problems = std::move(problems);
  return absl::OkStatus();
}

// `size`: of the tree that the witness was asked about.
void Checkpointer::TakeFork(tlog::ForkProof shown, uint64_t size) {
  absl::StatusOr<Ahead> held =
      OpenAhead(shown.first, parts_.policy, parts_.log.policy().origin);
  if (!held.ok()) {
    return;
  }
  if (held->size > size) {
    TakeAhead(*std::move(held));
    return;
  }
  if (held->size > 0 && held->size < size) {
    absl::StatusOr<Bytes> root = parts_.log.RootAt(held->size);
    absl::StatusOr<std::vector<Bytes>> path =
        parts_.log.ConsistencyProof(held->size, size);
    if (!root.ok() || !path.ok()) {
      return;
    }
    shown.earlier_root = *std::move(root);
    shown.path = *std::move(path);
  }
  if (tlog::CheckFork(shown, parts_.policy.verifiers()).ok()) {
    const MutexLock lock(mutex_);
    state_.fork = std::move(shown);
  }
}

void Checkpointer::TakeAhead(Ahead ahead) {
  const MutexLock lock(mutex_);
  if (!state_.ahead || ahead.size > state_.ahead->size) {
    state_.ahead = std::move(ahead);
  }
}

// With the size that the witness holds as far as we know; it says so if it is
// another one.
absl::Status Checkpointer::Ask(size_t witness, const Log::Included& newest,
                               tlog::Note& note,
                               const tlog::Checkpoint& checkpoint) {
  uint64_t held = witness_sizes_[witness];
  for (int attempt = 0; attempt < 2; ++attempt) {
    tlog::AddCheckpoint request{
        .old_size = held,
        .note = tlog::EncodeNote(
            {.text = note.text, .signatures = {note.signatures.front()}})};
    if (held > 0 && held < checkpoint.size) {
      ASSIGN_OR_RETURN(request.proof,
                       parts_.log.ConsistencyProof(held, checkpoint.size));
    }
    ASSIGN_OR_RETURN(const tlog::WitnessReply reply,
                     parts_.witnesses[witness]->Add(
                         {.body = tlog::EncodeAddCheckpoint(request),
                          .newest_record = newest.record_bytes,
                          .inclusion_path = newest.path}));
    if (reply.fork) {
      TakeFork(*reply.fork, checkpoint.size);
    }
    if (reply.status == kOk) {
      ASSIGN_OR_RETURN_WITH(const tlog::Note cosigned,
                            tlog::ParseNote(note.text + "\n" + reply.body),
                            "its cosignature");
      note.signatures.insert(note.signatures.end(), cosigned.signatures.begin(),
                             cosigned.signatures.end());
      witness_sizes_[witness] = checkpoint.size;
      return absl::OkStatus();
    }
    absl::StatusOr<uint64_t> told = absl::UnknownError("");
    if (reply.status == kConflict) {
      std::string_view size = reply.body;
      size.remove_suffix(size.ends_with('\n') ? 1 : 0);
      told = tlog::ParseDecimal(size);
    }
    if (!told.ok() || *told == held || *told > checkpoint.size) {
      return absl::FailedPreconditionError(
          fmt::format("{} {}", reply.status, reply.body.substr(0, 200)));
    }
    held = *told;
  }
  return absl::AbortedError("it holds another size each time");
}

absl::Status Checkpointer::Keep(const tlog::Note& note,
                                const tlog::Checkpoint& checkpoint) {
  const std::string bytes = tlog::EncodeNote(note);
  const absl::StatusOr<tlog::AcceptedCheckpoint> accepted =
      tlog::OpenCheckpoint(bytes, parts_.policy);
  {
    const MutexLock lock(mutex_);
    state_.size = checkpoint.size;
    if (!accepted.ok()) {
      state_.problems.emplace_back(accepted.status().message());
      return absl::OkStatus();  // not yet; the next round asks again
    }
    state_.witnessed = checkpoint.size;
    state_.witnessed_unix_s = accepted->witnessed_unix_s;
    state_.note = bytes;
    confirmed_ = true;
  }
  parts_.log.Witnessed(checkpoint.size);
  const absl::Status put = parts_.log.store().PutCheckpoint(
      {.size = checkpoint.size, .note = bytes});
  return absl::IsAborted(put) ? absl::OkStatus() : put;
}

}  // namespace vmattest::ledger
