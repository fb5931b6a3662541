#include "verifierd/ledger_stack.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "document/key_files.h"
#include "fmt/format.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "ledger/sqlite/sqlite_witness_store.h"
#include "rpc/client/grpc_witness.h"
#include "verifierd/keys.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<SecretBytes> Seed(const fs::path& path) {
  return LoadOrMakeSecret(path, [] {
    return absl::StatusOr<SecretBytes>(SecretBytes(RandomBytes(32)));
  });
}

// Nothing where this process has no ML-DSA.
absl::StatusOr<std::unique_ptr<tlog::NoteSigner>> MlDsaSigner(
    const std::string& name, const fs::path& path) {
  if (!MlDsaProvider::Open().ok()) {
    return nullptr;
  }
  ASSIGN_OR_RETURN(const SecretBytes seed, Seed(path));
  ASSIGN_OR_RETURN(MlDsaKey key, MlDsaKey::FromSeed(MlDsaLevel::k44, seed));
  return tlog::MlDsaNoteSigner(name, std::move(key));
}

absl::StatusOr<std::shared_ptr<tlog::NoteSigner>> LogSigner(
    const std::string& origin, const fs::path& path) {
  ASSIGN_OR_RETURN(
      const SecretBytes pem, LoadOrMakeSecret(path, [] {
        return absl::StatusOr<SecretBytes>(EcPrivateKey::Generate().ToPem());
      }));
  ASSIGN_OR_RETURN_WITH(EcPrivateKey key, EcPrivateKey::FromPem(pem),
                        path.string());
  ASSIGN_OR_RETURN(
      std::unique_ptr<tlog::NoteSigner> signer,
      tlog::EcdsaNoteSigner(
          origin, std::make_shared<const EcPrivateKey>(std::move(key))));
  return signer;
}

// The log's signers, its ECDSA key first.
absl::StatusOr<std::vector<std::shared_ptr<tlog::NoteSigner>>> Signers(
    const fs::path& folder, const std::string& origin) {
  std::vector<std::shared_ptr<tlog::NoteSigner>> signers;
  ASSIGN_OR_RETURN(std::shared_ptr<tlog::NoteSigner> log,
                   LogSigner(origin, folder / "ledger-key.pem"));
  signers.push_back(std::move(log));
  ASSIGN_OR_RETURN(std::unique_ptr<tlog::NoteSigner> pq,
                   MlDsaSigner(origin, folder / "ledger-log.ml-dsa"));
  if (pq != nullptr) {
    signers.push_back(std::move(pq));
  }
  return signers;
}

absl::StatusOr<std::vector<std::unique_ptr<tlog::NoteSigner>>> Cosigners(
    const fs::path& folder, const std::string& name) {
  std::vector<std::unique_ptr<tlog::NoteSigner>> cosigners;
  ASSIGN_OR_RETURN(const SecretBytes seed,
                   Seed(folder / "ledger-witness.seed"));
  ASSIGN_OR_RETURN(Ed25519PrivateKey key, Ed25519PrivateKey::FromSeed(seed));
  ASSIGN_OR_RETURN(
      std::unique_ptr<tlog::NoteSigner> ed25519,
      tlog::Ed25519NoteSigner(name, tlog::NoteKeyType::kEd25519Cosignature,
                              std::move(key)));
  cosigners.push_back(std::move(ed25519));
  ASSIGN_OR_RETURN(std::unique_ptr<tlog::NoteSigner> pq,
                   MlDsaSigner(name, folder / "ledger-witness.ml-dsa"));
  if (pq != nullptr) {
    cosigners.push_back(std::move(pq));
  }
  return cosigners;
}

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

}  // namespace

absl::StatusOr<std::unique_ptr<ledger::LedgerNode>> OpenLedgerNode(
    const fs::path& folder, const config::LedgerSettings& settings,
    const document::PublicKey& authority, size_t max_watchers,
    Executor& checkers, const Clock& clock) {
  ASSIGN_OR_RETURN_WITH(std::vector<std::shared_ptr<tlog::NoteSigner>> signers,
                        Signers(folder, settings.origin), "keys");
  ASSIGN_OR_RETURN_WITH(
      std::vector<std::unique_ptr<tlog::NoteSigner>> cosigners,
      Cosigners(folder, settings.origin + "/witness"), "keys");
  ASSIGN_OR_RETURN(auto store,
                   ledger::SqliteLogStore::Open(folder / "ledger.db"));
  ASSIGN_OR_RETURN(auto memory,
                   ledger::SqliteWitnessStore::Open(folder / "ledger-node.db"));
  ASSIGN_OR_RETURN(auto witness, ledger::SqliteWitnessStore::Open(
                                     folder / "ledger-witness.db"));
  ASSIGN_OR_RETURN(tlog::WitnessPolicy none,
                   tlog::WitnessPolicy::Parse("quorum none\n"));
  ledger::LedgerNode::Parts parts{
      .store = std::move(store),
      .memory = std::move(memory),
      .witness = std::move(witness),
      .policy = {.origin = settings.origin, .authorities = {authority}},
      .witnesses = std::move(none),
      .signers = std::move(signers),
      .cosigners = std::move(cosigners)};
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
  return ledger::LedgerNode::Open(
      std::move(parts), checkers, clock,
      {.sequencer = {.self = settings.origin}, .max_watchers = max_watchers});
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
          metric("vmattest_ledger_queued_entries", "Entries that wait.",
                 Type::kGauge, stats.queued),
          metric("vmattest_ledger_refused_total", "Entries that were refused.",
                 Type::kCounter, stats.refused),
          metric("vmattest_ledger_failed_total",
                 "Entries that the store could not take.", Type::kCounter,
                 stats.failed)};
}

}  // namespace vmattest::verifierd
