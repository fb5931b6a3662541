#include "verifierd/witness_stack.h"

#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "fmt/format.h"
#include "ledger/entry_signature.h"
#include "ledger/sqlite/sqlite_witness_store.h"
#include "verifierd/fork_proof.h"
#include "verifierd/ledger_keys.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

constexpr int kNotConsistent = 422;

// Named by the key's id, so that lines of several hosts go into one policy.
std::string OwnLines(
    const std::vector<std::unique_ptr<tlog::NoteSigner>>& signers) {
  std::string text =
      "# Keys of this host as a witness, for the policies of ledger nodes that "
      "ask for it\n# (with the address HOST:PORT of its listen.tcp at the end "
      "of a line) and of who\n# relies on them.\n";
  for (const std::unique_ptr<tlog::NoteSigner>& signer : signers) {
    text += fmt::format("witness host-{:08x} {}\n", signer->key_id(),
                        signer->vkey());
  }
  return text;
}

// An old checkpoint (409) does not, nor what is held, asked about with a proof
// that there is none of.
bool Contradicts(const tlog::WitnessReply& reply) {
  const auto held = tlog::ParseNote(reply.fork->first);
  const auto shown = tlog::ParseNote(reply.fork->second);
  return reply.status == kNotConsistent && held.ok() && shown.ok() &&
         held->text != shown->text;
}

}  // namespace

WitnessStack::WitnessStack(
    Options options, std::unique_ptr<tlog::WitnessStore> store,
    std::vector<std::unique_ptr<tlog::NoteSigner>> signers, const Clock& clock)
    : options_(std::move(options)),
      store_(std::move(store)),
      witness_(options_.policy, std::move(signers), *store_, clock,
               ledger::LogPolicy().max_skew_ms) {}

WitnessStack::~WitnessStack() = default;

absl::StatusOr<std::unique_ptr<WitnessStack>> WitnessStack::Open(
    Options options, const Clock& clock) {
  if (options.policy.logs().empty()) {
    return absl::FailedPreconditionError("the policy names no log");
  }
  ASSIGN_OR_RETURN_WITH(std::vector<std::unique_ptr<tlog::NoteSigner>> signers,
                        LoadWitnessSigners(options.folder, options.origin),
                        "keys");
  ASSIGN_OR_RETURN(
      std::unique_ptr<tlog::WitnessStore> store,
      ledger::SqliteWitnessStore::Open(options.folder / "ledger-witness.db"));
  RETURN_IF_ERROR(WriteFileAtomic(options.folder / "ledger-witness.policy",
                                  AsBytes(OwnLines(signers))));
  std::unique_ptr<WitnessStack> stack(new WitnessStack(
      std::move(options), std::move(store), std::move(signers), clock));
  RETURN_IF_ERROR(stack->LoadFork());
  return stack;
}

// One that proves nothing by the keys of the policy is another ledger's, from
// before: whoever changed the policy decided about it.
absl::Status WitnessStack::LoadFork() {
  ASSIGN_OR_RETURN(const std::optional<tlog::ForkProof> proof,
                   ReadForkProof(options_.folder));
  if (!proof) {
    return absl::OkStatus();
  }
  const absl::StatusOr<tlog::Fork> fork =
      tlog::CheckFork(*proof, options_.policy.verifiers());
  if (!fork.ok()) {
    log::Warning("a proof of a fork is of no log of the policy",
                 {{"proof", ForkProofFile(options_.folder).string()},
                  {"why", std::string(fork.status().message())}});
    return absl::OkStatus();
  }
  const MutexLock lock(mutex_);
  forked_ = fork->origin;
  return absl::OkStatus();
}

absl::StatusOr<tlog::WitnessReply> WitnessStack::Add(
    const ledger::WitnessRequest& request) {
  ASSIGN_OR_RETURN(tlog::WitnessReply reply, witness_.Add(request));
  if (reply.fork) {
    Take(reply);
  }
  return reply;
}

void WitnessStack::Take(const tlog::WitnessReply& reply) {
  const absl::StatusOr<tlog::Fork> fork =
      tlog::CheckFork(*reply.fork, options_.policy.verifiers());
  const MutexLock lock(mutex_);
  // That of this host's own ledger weighs more than another's.
  if (fork.ok() && (!forked_ || (fork->origin == options_.origin &&
                                 *forked_ != fork->origin))) {
    forked_ = fork->origin;
    fork_ = reply.fork;
    if (const absl::Status kept = KeepFork(); !kept.ok()) {
      log::Error("the proof of a fork is not on disk",
                 {{"why", kept.ToString()}});
    }
  } else if (!fork.ok() && Contradicts(reply)) {
    conflict_ = reply.fork;
  }
}

absl::Status WitnessStack::Tick() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(KeepFork());
  RETURN_IF_ERROR(KeepConflict());
  return Forked();
}

absl::Status WitnessStack::KeepFork() {
  if (fork_) {
    RETURN_IF_ERROR(KeepForkProof(options_.folder, *fork_));
    fork_.reset();
  }
  return absl::OkStatus();
}

absl::Status WitnessStack::KeepConflict() {
  if (!conflict_) {
    return absl::OkStatus();
  }
  const fs::path held = options_.folder / "ledger-conflict.held";
  const fs::path shown = options_.folder / "ledger-conflict.shown";
  log::Warning(
      "a ledger showed a checkpoint without a proof that it continues the one "
      "that this host cosigned: it may have been forked",
      {{"cosigned", held.string()},
       {"shown", shown.string()},
       {"remedy", "vmattest ledger audit COPY --known " + held.string()}});
  RETURN_IF_ERROR(WriteFileAtomic(held, AsBytes(conflict_->first)));
  RETURN_IF_ERROR(WriteFileAtomic(shown, AsBytes(conflict_->second)));
  conflict_.reset();
  return absl::OkStatus();
}

absl::Status WitnessStack::Forked() const {
  return forked_ ? absl::DataLossError(fmt::format(
                       "the ledger {} was forked: {} proves it", *forked_,
                       ForkProofFile(options_.folder).string()))
                 : absl::OkStatus();
}

absl::Status WitnessStack::CheckFork(const std::string& origin) const {
  const MutexLock lock(mutex_);
  return forked_ == origin ? Forked() : absl::OkStatus();
}

bool WitnessStack::knows_fork() const {
  const MutexLock lock(mutex_);
  return forked_.has_value();
}

}  // namespace vmattest::verifierd
