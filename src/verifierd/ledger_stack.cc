#include "verifierd/ledger_stack.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "document/key_files.h"
#include "fmt/format.h"
#include "ledger/copy_log.h"
#include "ledger/etcd/etcd_log_store.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "ledger/sqlite/sqlite_witness_store.h"
#include "ledger/tile_directory.h"
#include "rpc/client/grpc_witness.h"
#include "verifierd/etcd_connection.h"
#include "verifierd/fork_proof.h"
#include "verifierd/ledger_keeper.h"
#include "verifierd/ledger_keys.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

constexpr char kFile[] = "ledger.db";
constexpr char kAheadFile[] = "ledger-ahead.checkpoint";
constexpr char kSeenFile[] = "ledger-etcd-seen";

// A policy that an operator can begin with.
std::string OwnPolicy(const ledger::LedgerNode::Parts& parts) {
  std::string text =
      "# Keys of this ledger node. Its own cosignature of its "
      "own log says little:\n# list other witnesses and a "
      "quorum of them.\n";
  text += fmt::format("log {}\n", parts.signers.front()->vkey());
  for (size_t i = 1; i < parts.signers.size(); ++i) {
    text += fmt::format("witness log-pq {}\n", parts.signers[i]->vkey());
  }
  for (size_t i = 0; i < parts.cosigners.size(); ++i) {
    text += fmt::format("witness node-{} {}\n", i, parts.cosigners[i]->vkey());
  }
  return text + "quorum none\n";
}

absl::StatusOr<tlog::WitnessPolicy> LoadPolicy(
    const config::LedgerSettings& settings, const std::string& own) {
  if (!settings.policy) {
    log::Warning("the ledger asks for nobody's cosignature: it is unwitnessed",
                 {{"origin", settings.origin}});
    return tlog::WitnessPolicy::Parse(own);
  }
  ASSIGN_OR_RETURN(const Bytes file,
                   ReadFile(*settings.policy, tlog::kMaxPolicySize));
  return tlog::WitnessPolicy::Parse(AsText(file));
}

// Each address once, whatever number of keys it cosigns with.
absl::StatusOr<std::vector<std::shared_ptr<ledger::WitnessClient>>>
RemoteWitnesses(const config::LedgerSettings& settings,
                const tlog::WitnessPolicy& policy) {
  std::vector<std::shared_ptr<ledger::WitnessClient>> witnesses;
  std::set<std::string> asked;
  for (const tlog::WitnessPolicy::Named& witness : policy.witnesses()) {
    if (witness.url.empty() || !asked.insert(witness.url).second) {
      continue;
    }
    if (!settings.witness_tls) {
      return absl::InvalidArgumentError(
          fmt::format("witness {} has an address: witness_tls says as whom it "
                      "is asked",
                      witness.name));
    }
    ASSIGN_OR_RETURN(std::unique_ptr<ledger::WitnessClient> client,
                     rpc::GrpcWitness::Create(
                         witness.name, witness.url,
                         {.certificate = settings.witness_tls->certificate,
                          .private_key = settings.witness_tls->private_key,
                          .ca = settings.witness_tls->ca}));
    witnesses.push_back(std::move(client));
  }
  return witnesses;
}

absl::StatusOr<std::unique_ptr<ledger::LogStore>> OpenInEtcd(
    etcd::KeyValues& values, const config::EtcdSettings& settings) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<ledger::LogStore> store,
      ledger::EtcdLogStore::Open(values, {.prefix = settings.prefix}));
  return store;
}

absl::StatusOr<std::unique_ptr<ledger::LogStore>> OpenFile(
    const fs::path& file) {
  ASSIGN_OR_RETURN(std::unique_ptr<ledger::LogStore> store,
                   ledger::SqliteLogStore::Open(file));
  return store;
}

absl::StatusOr<std::optional<ledger::Checkpointer::Ahead>> KnownAhead(
    const fs::path& file, const tlog::WitnessPolicy& policy,
    const std::string& origin) {
  const absl::StatusOr<Bytes> bytes = ReadFile(file, tlog::kMaxNoteSize);
  if (absl::IsNotFound(bytes.status())) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(bytes.status());
  ASSIGN_OR_RETURN(ledger::Checkpointer::Ahead ahead,
                   ledger::Checkpointer::OpenAhead(std::string(AsText(*bytes)),
                                                   policy, origin));
  return ahead;
}

void TellAhead(const ledger::Checkpointer::Ahead& ahead, const fs::path& file) {
  log::Error("the ledger was rolled back",
             {{"signed_for", std::to_string(ahead.size)},
              {"checkpoint", file.string()}});
}

absl::StatusOr<ledger::LedgerNode::Parts> MakeParts(
    const LedgerStack::Options& options, EtcdConnection* etcd) {
  const config::LedgerSettings& settings = options.settings;
  const fs::path& folder = options.folder;
  ledger::LedgerNode::Parts parts{
      .policy = {.origin = settings.origin,
                 .authorities = {options.authority}}};
  ASSIGN_OR_RETURN_WITH(parts.signers, LoadLogSigners(folder, settings.origin),
                        "keys");
  ASSIGN_OR_RETURN_WITH(parts.cosigners,
                        LoadWitnessSigners(folder, settings.origin), "keys");
  ASSIGN_OR_RETURN(parts.store, etcd == nullptr ? OpenFile(folder / kFile)
                                                : OpenInEtcd(etcd->values(),
                                                             *settings.etcd));
  ASSIGN_OR_RETURN(parts.memory,
                   ledger::SqliteWitnessStore::Open(folder / "ledger-node.db"));
  ASSIGN_OR_RETURN(parts.witness, ledger::SqliteWitnessStore::Open(
                                      folder / "ledger-witness.db"));
  const std::string own = OwnPolicy(parts);
  RETURN_IF_ERROR(WriteFileAtomic(folder / "ledger.policy", AsBytes(own)));
  ASSIGN_OR_RETURN_WITH(parts.witnesses, LoadPolicy(settings, own), "policy");
  ASSIGN_OR_RETURN_WITH(parts.remote,
                        RemoteWitnesses(settings, parts.witnesses), "witness");
  ASSIGN_OR_RETURN_WITH(std::vector<document::PublicKey> authorities,
                        document::LoadKeysIfAny(settings.authorities),
                        "authorities");
  std::move(authorities.begin(), authorities.end(),
            std::back_inserter(parts.policy.authorities));
  ASSIGN_OR_RETURN_WITH(parts.policy.owners,
                        document::LoadKeysIfAny(settings.owners), "owners");
  if (settings.archive) {
    parts.archive = ledger::DirectorySource::Reader(settings.archive->folder);
  }
  ASSIGN_OR_RETURN(parts.fork, ReadForkProof(folder));
  ASSIGN_OR_RETURN_WITH(
      parts.ahead,
      KnownAhead(folder / kAheadFile, parts.witnesses, settings.origin),
      kAheadFile);
  return parts;
}

}  // namespace

LedgerStack::LedgerStack(fs::path folder) : folder_(std::move(folder)) {}
LedgerStack::~LedgerStack() = default;

absl::StatusOr<std::unique_ptr<LedgerStack>> LedgerStack::Open(
    const Options& options, Executor& checkers, const Clock& clock) {
  const config::LedgerSettings& settings = options.settings;
  std::unique_ptr<LedgerStack> stack(new LedgerStack(options.folder));
  if (settings.etcd) {
    ASSIGN_OR_RETURN_WITH(
        stack->etcd_,
        EtcdConnection::Open(*settings.etcd, options.folder / kSeenFile),
        "etcd");
  }
  ASSIGN_OR_RETURN(ledger::LedgerNode::Parts parts,
                   MakeParts(options, stack->etcd_.get()));
  stack->ahead_noted_ = parts.ahead;
  if (parts.ahead) {
    TellAhead(*parts.ahead, options.folder / kAheadFile);
  }
  ASSIGN_OR_RETURN(
      stack->node_,
      ledger::LedgerNode::Open(
          std::move(parts), checkers, clock,
          {.sequencer = {.self = settings.address.empty() ? settings.origin
                                                          : settings.address},
           .max_watchers = options.max_watchers}));
  if (settings.archive) {
    stack->keeper_ = std::make_unique<LedgerKeeper>(
        *stack->node_, options.authority_key,
        ledger::Retention::Options{.archive = settings.archive->folder,
                                   .name = settings.address.empty()
                                               ? settings.origin
                                               : settings.address,
                                   .keep = settings.archive->keep_records,
                                   .others = settings.archive->others});
  }
  return stack;
}

absl::Status LedgerStack::Tick() {
  const ledger::Checkpointer::State state = node_->checkpoint();
  RETURN_IF_ERROR(NoteAhead(state));
  RETURN_IF_ERROR(NoteFork(state));
  Tell(state);
  if (etcd_ != nullptr) {
    RETURN_IF_ERROR(etcd_->Note());
  }
  return node_->health();
}

// Before a restart, so that it is not forgotten by one, as the next.
absl::Status LedgerStack::NoteAhead(const ledger::Checkpointer::State& state) {
  if (state.ahead == ahead_noted_) {
    return absl::OkStatus();
  }
  const fs::path file = folder_ / kAheadFile;
  if (state.ahead) {
    TellAhead(*state.ahead, file);
    RETURN_IF_ERROR(WriteFileAtomic(file, AsBytes(state.ahead->note)));
  } else {
    log::Warning("the ledger has all again that it was signed for",
                 {{"signed_for", std::to_string(ahead_noted_->size)}});
    std::error_code error;
    fs::remove(file, error);
    if (error) {
      return absl::InternalError(
          fmt::format("{}: {}", file.string(), error.message()));
    }
  }
  ahead_noted_ = state.ahead;
  return absl::OkStatus();
}

absl::Status LedgerStack::NoteFork(const ledger::Checkpointer::State& state) {
  if (!state.fork || fork_noted_) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(KeepForkProof(folder_, *state.fork));
  fork_noted_ = true;
  return absl::OkStatus();
}

void LedgerStack::Tell(const ledger::Checkpointer::State& state) {
  if (state.problems == told_) {
    return;
  }
  for (const std::string& problem : state.problems) {
    log::Warning("a witness of the ledger did not cosign", {{"why", problem}});
  }
  if (state.problems.empty()) {
    log::Info("all witnesses of the ledger cosign", {});
  }
  told_ = state.problems;
}

absl::Status MoveLedgerToEtcd(
    const fs::path& folder, const config::LedgerSettings& settings,
    const std::function<void(uint64_t, uint64_t)>& progress) {
  const fs::path file = folder / kFile;
  if (std::error_code ignored; !fs::exists(file, ignored)) {
    return absl::NotFoundError(fmt::format("there is no {}", file.string()));
  }
  ASSIGN_OR_RETURN(const auto from, OpenFile(file));
  ASSIGN_OR_RETURN_WITH(
      const auto connection,
      EtcdConnection::Open(*settings.etcd, folder / kSeenFile), "ledger.etcd");
  ASSIGN_OR_RETURN_WITH(const auto to,
                        OpenInEtcd(connection->values(), *settings.etcd),
                        "ledger.etcd");
  return Annotate(ledger::CopyLog(*from, *to, progress), "ledger.etcd");
}

std::vector<ops::Metric> ToMetrics(const ledger::LedgerNode& node) {
  using Type = ops::Metric::Type;
  const ledger::Sequencer::Stats stats = node.stats();
  const ledger::Checkpointer::State checkpoint = node.checkpoint();
  const auto metric = [](const char* name, const char* help, Type type,
                         uint64_t value) {
    return ops::Metric{name, help, type, static_cast<double>(value), {}};
  };
  return {metric("vmattest_ledger_records", "Records that are committed.",
                 Type::kGauge, node.log().head().size),
          metric("vmattest_ledger_witnessed_records",
                 "Records in a checkpoint with a quorum.", Type::kGauge,
                 checkpoint.witnessed),
          metric("vmattest_ledger_forked",
                 "1: somebody showed that the ledger told two stories.",
                 Type::kGauge, checkpoint.fork ? 1 : 0),
          metric("vmattest_ledger_witness_problems",
                 "Witnesses that did not cosign in the last round.",
                 Type::kGauge, checkpoint.problems.size()),
          metric("vmattest_ledger_witnessed_time_seconds",
                 "When the newest quorum had cosigned.", Type::kGauge,
                 static_cast<uint64_t>(checkpoint.witnessed_unix_s)),
          metric("vmattest_ledger_leads", "1: this node takes entries.",
                 Type::kGauge, node.leadership().mine ? 1 : 0),
          metric("vmattest_ledger_unwitnessed",
                 "1: the policy asks for nobody's cosignature.", Type::kGauge,
                 checkpoint.unwitnessed ? 1 : 0),
          metric("vmattest_ledger_queued_entries", "Entries that wait.",
                 Type::kGauge, stats.queued),
          metric("vmattest_ledger_refused_total", "Entries that were refused.",
                 Type::kCounter, stats.refused),
          metric("vmattest_ledger_failed_total",
                 "Entries that the store could not take.", Type::kCounter,
                 stats.failed)};
}

}  // namespace vmattest::verifierd
