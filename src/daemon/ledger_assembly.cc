#include "daemon/ledger_assembly.h"

#include <utility>

#include "attestor/await.h"
#include "base/file.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "crypto/ecdsa_der.h"
#include "evidence/tpm_structures.h"
#include "ledger/checkpoint_follower.h"
#include "outbox/node_ledger.h"
#include "verifierd/keys.h"
#include "wire/messages.h"

namespace vmattest::daemon {
namespace {

namespace fs = std::filesystem;
using outbox::Homes;

constexpr const char* kKeyEvidence = "host-key.evidence";
constexpr size_t kCheckers = 2;
constexpr size_t kMaxChecks = 8'192;
constexpr std::chrono::seconds kReadLimit{10};
constexpr std::chrono::seconds kClockLasts{1};
constexpr std::chrono::seconds kClockLimit{2};

absl::StatusOr<fs::path> MakeFolder(const fs::path& folder) {
  std::error_code error;
  fs::create_directory(folder, error);
  if (!error) {
    fs::permissions(folder, fs::perms(0700), error);
  }
  return error ? absl::StatusOr<fs::path>(
                     ErrnoStatus(error.value(), folder.string()))
               : folder;
}

absl::StatusOr<std::shared_ptr<const EcPrivateKey>> LoadHostKey(
    const fs::path& path) {
  ASSIGN_OR_RETURN(
      const SecretBytes pem, verifierd::LoadOrMakeSecret(path, [] {
        return absl::StatusOr<SecretBytes>(EcPrivateKey::Generate().ToPem());
      }));
  ASSIGN_OR_RETURN_WITH(EcPrivateKey key, EcPrivateKey::FromPem(pem),
                        path.string());
  return std::make_shared<const EcPrivateKey>(std::move(key));
}

}  // namespace

absl::Status LedgerHost::Work::Open(const config::DaemonConfig& config) {
  ASSIGN_OR_RETURN(folder, MakeFolder(config.state_dir / "ledger"));
  ASSIGN_OR_RETURN(key, LoadHostKey(folder / "host-key.pem"));
  // It may be for another ledger; there is a new one once the TPM is reached.
  std::error_code ignored;
  fs::remove(folder / kKeyEvidence, ignored);
  RETURN_IF_ERROR(settings.nodes.empty() ? OpenEmbedded(config) : OpenRemote());
  ASSIGN_OR_RETURN(
      file, outbox::OutboxFile::Open(folder / "outbox.db", settings.origin));
  homes.emplace(
      Homes::Parts{
          .file = *file, .ledger = *ledger, .key = key, .clock = parts.clock},
      settings.origin, settings.home_lasts);
  outbox::Outbox::Parts to{.file = *file,
                           .ledger = *ledger,
                           .homes = *homes,
                           .key = key,
                           .clock = parts.clock,
                           .host_id = [this] { return HostId(); },
                           .tpm_clock = [this] { return ReadTpmClock(); },
                           .authorise = {},
                           .register_vm = {}};
  to.authorise = [this](MonotonicTime deadline) {
    return AuthoriseHost(deadline);
  };
  if (authority) {
    to.register_vm = [this](const Uuid& vm, MonotonicTime deadline) {
      return Register(vm, deadline);
    };
  }
  box = std::make_unique<outbox::Outbox>(
      std::move(to),
      outbox::Outbox::Options{.origin = settings.origin,
                              .max_queued = settings.max_queued,
                              .batch_interval = settings.batch_interval});
  return absl::OkStatus();
}

absl::Status LedgerHost::Work::OpenEmbedded(
    const config::DaemonConfig& config) {
  // One Trust Authority on a host, if a verifier is embedded, too.
  const fs::path key_file =
      config.verification ? config.state_dir / "verifier" / "authority.json"
                          : folder / "authority.json";
  ASSIGN_OR_RETURN(
      document::PrivateKey signer,
      verifierd::LoadOrMakeAuthority(
          key_file, config.signing.post_quantum != config::PostQuantum::kOff));
  checkers.emplace("ledger-check", kCheckers, kMaxChecks);
  ASSIGN_OR_RETURN(stack, verifierd::LedgerStack::Open(
                              {.folder = folder,
                               .settings = {.origin = settings.origin,
                                            .address = "",
                                            .policy = settings.policy,
                                            .authorities = settings.authorities,
                                            .owners = settings.owners,
                                            .witness_tls = {},
                                            .etcd = {},
                                            .archive = {}},
                               .authority = signer.public_key(),
                               .max_watchers = config.max_watchers},
                              *checkers, parts.clock));
  marker.emplace(LedgerMarker::Parts{.log = stack->node().log(),
                                     .signer = parts.signer,
                                     .clock = parts.clock,
                                     .origin = settings.origin,
                                     .event_log = parts.event_log,
                                     .folder = folder});
  if (const absl::Status behind = marker->Compare(); !behind.ok()) {
    log::Error("the ledger is behind what the TPM vouches for",
               {{"why", behind.ToString()}});
    stack->node().Distrust(behind);
  }
  ledger = std::make_unique<outbox::NodeLedger>(stack->node());
  authority.emplace(*ledger, std::move(signer), settings.origin, parts.clock);
  return absl::OkStatus();
}

absl::Status LedgerHost::Work::OpenRemote() {
  std::unique_ptr<ledger::CheckpointFollower> follower;
  if (settings.policy) {
    ASSIGN_OR_RETURN_WITH(const Bytes file,
                          ReadFile(*settings.policy, tlog::kMaxPolicySize),
                          settings.policy->string());
    ASSIGN_OR_RETURN_WITH(const tlog::WitnessPolicy policy,
                          tlog::WitnessPolicy::Parse(AsText(file)),
                          settings.policy->string());
    ASSIGN_OR_RETURN(follower, ledger::CheckpointFollower::Open(
                                   {.origin = settings.origin,
                                    .policy = policy,
                                    .file = folder / "ledger-seen.checkpoint"},
                                   parts.clock));
    RETURN_IF_ERROR_WITH(OpenWitness(policy), "witness");
  } else {
    log::Warning("what the ledger's nodes call witnessed is believed",
                 {{"remedy", "ledger.policy"}});
  }
  ASSIGN_OR_RETURN(
      std::unique_ptr<rpc::GrpcLedger> made,
      rpc::GrpcLedger::Create(settings.nodes,
                              {.certificate = settings.tls->certificate,
                               .private_key = settings.tls->private_key,
                               .ca = settings.tls->ca,
                               .server_name = settings.server_name},
                              std::move(follower)));
  remote = made.get();
  ledger = std::move(made);
  return absl::OkStatus();
}

absl::Status LedgerHost::Work::OpenWitness(const tlog::WitnessPolicy& policy) {
  if (policy.logs().empty()) {
    log::Warning("this host is no witness: its policy names no log",
                 {{"policy", settings.policy->string()}});
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(
      witness,
      verifierd::WitnessStack::Open(
          {.folder = folder, .origin = settings.origin, .policy = policy},
          parts.clock));
  return absl::OkStatus();
}

std::string LedgerHost::Work::HostId() const {
  const auto identity = parts.signer.state().identity;
  return identity ? identity->host_id : "";
}

// Entries that are sent one after the other share a reading: a TPM is slow. It
// is later than that of any entry before, so nothing seems to go back.
std::optional<TpmClock> LedgerHost::Work::ReadTpmClock() {
  const MonotonicTime now = std::chrono::steady_clock::now();
  if (now - tpm_clock_read >= kClockLasts) {
    const MonotonicTime deadline = now + kClockLimit;
    const auto read =
        attestor::Await<absl::StatusOr<TpmClock>>(deadline, [&](auto done) {
          return parts.signer.ReadClock(deadline, std::move(done));
        });
    tpm_clock_read = std::chrono::steady_clock::now();
    tpm_clock = read.ok() ? std::optional(*read) : std::nullopt;
  }
  return tpm_clock;
}

// Once in each life of this process, and for each identity: whoever authorises
// this host gets it from the file.
absl::StatusOr<Bytes> LedgerHost::Work::KeyEvidence(const std::string& host,
                                                    MonotonicTime deadline) {
  if (vouched_for != host) {
    ASSIGN_OR_RETURN(const Bytes spki, EncodeSpki(key->public_key()));
    ASSIGN_OR_RETURN_WITH(evidence, vouch.Make(settings.origin, spki, deadline),
                          "having the TPM vouch for the ledger key");
    RETURN_IF_ERROR(WriteFileAtomic(folder / kKeyEvidence, evidence));
    vouched_for = host;
  }
  return evidence;
}

absl::Status LedgerHost::Work::AuthoriseHost(MonotonicTime deadline) {
  const auto identity = parts.signer.state().identity;
  if (!identity) {
    return absl::UnavailableError("the TPM was not reached");
  }
  ASSIGN_OR_RETURN(const Bytes vouched,
                   KeyEvidence(identity->host_id, deadline));
  if (!authority) {
    return absl::OkStatus();  // somebody else's to do
  }
  v1::LedgerHostAuthorise host;
  host.set_host_id(identity->host_id);
  // The host's id is the digest in its EK's name.
  ASSIGN_OR_RETURN(const Bytes ek, ParseHex(identity->host_id));
  host.set_ek_fingerprint(wire::ToField(ek));
  ASSIGN_OR_RETURN(const Bytes ak, evidence::NameOf(identity->ak_public));
  host.set_ak_name(wire::ToField(ak));
  ASSIGN_OR_RETURN(const Bytes spki, EncodeSpki(key->public_key()));
  host.set_key_spki(wire::ToField(spki));
  host.set_key_evidence_hash(
      wire::ToField(Hash(HashAlgorithm::kSha256, vouched)));
  return authority->Authorise(host, deadline);
}

absl::Status LedgerHost::Work::Register(const Uuid& vm,
                                        MonotonicTime deadline) {
  return authority->Register(vm, settings.owner, deadline);
}

absl::StatusOr<v1::GetTrustResponse> LedgerHost::Work::Ask(const Uuid& vm) {
  if (witness != nullptr) {
    RETURN_IF_ERROR(witness->CheckFork(settings.origin));
  }
  return remote->GetTrust(ToString(vm),
                          std::chrono::steady_clock::now() + kReadLimit);
}

}  // namespace vmattest::daemon
