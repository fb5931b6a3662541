#include "verifierd/stack.h"

#include <utility>

#include "base/log.h"
#include "fmt/format.h"
#include "process/state_dir.h"
#include "rpc/client/grpc_host_client.h"
#include "verification/curl/curl_poster.h"
#include "verifierd/keys.h"
#include "verifierd/open_store.h"

namespace vmattest::verifierd {
namespace {

constexpr size_t kMinWebhookSecret = 16;

absl::StatusOr<enrollment::EkRoots> LoadEkRoots(
    const VerificationStack::Options& options) {
  if (!options.enrols) {
    return enrollment::EkRoots();
  }
  const std::filesystem::path& folder = options.settings.ek_roots;
  auto roots = enrollment::EkRoots::LoadFolder(folder.string());
  if (absl::IsNotFound(roots.status())) {
    log::Warning("no TPM's certificate is believed",
                 {{"folder", folder.string()}});
    return enrollment::EkRoots();
  }
  return roots;
}

absl::StatusOr<std::unique_ptr<verification::Webhook>> MakeWebhook(
    const config::WebhookSettings& settings, const Clock& clock) {
  ASSIGN_OR_RETURN(SecretBytes secret,
                   process::LoadSecretFile(settings.secret_file));
  if (secret.size() < kMinWebhookSecret) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: {} bytes are no secret; at least {}",
        settings.secret_file.string(), secret.size(), kMinWebhookSecret));
  }
  ASSIGN_OR_RETURN(auto poster, verification::CurlPoster::Create(settings.ca));
  return std::make_unique<verification::Webhook>(
      verification::Webhook::Options{.url = settings.url,
                                     .refused_only = settings.refused_only},
      std::move(secret), std::move(poster), clock);
}

}  // namespace

// The order of the members is the order of life; they go in reverse.
struct VerificationStack::Owners {
  Owners(const Options& options_in, const Clock& clock_in,
         enrollment::EkRoots roots_in, VerifierKeys keys_in,
         std::vector<document::PublicKey> approvers_in,
         std::unique_ptr<OpenStore> store_in,
         std::unique_ptr<rpc::GrpcHostClient> client_in,
         std::unique_ptr<verification::Webhook> webhook_in)
      : options(options_in),
        clock(clock_in),
        roots(std::move(roots_in)),
        approvers(std::move(approvers_in)),
        keys(std::move(keys_in)),
        opened(std::move(store_in)),
        store(&opened->store()),
        client(std::move(client_in)),
        webhook(std::move(webhook_in)),
        log(*store,
            {.keep_decisions = options.settings.keep_decisions,
             .keep_evidence = options.settings.keep_evidence,
             .max_watchers = options.max_watchers},
            [this](const verification::DecisionEntry& decision) {
              if (webhook != nullptr) {
                webhook->Tell(decision);
              }
            }),
        anchors(*store),
        references({.store = *store,
                    .log = log,
                    .clock = clock,
                    .approvers = approvers}),
        orders({.store = *store,
                .log = log,
                .clock = clock,
                .approvers = approvers}),
        hosts({.store = *store,
               .log = log,
               .ek_roots = roots,
               .authority = keys.authority,
               .clock = clock}),
        appraiser({.store = *store,
                   .hosts = anchors,
                   .references = references,
                   .log = log,
                   .keys = *keys.results,
                   .clock = clock,
                   .host_client = client.get()},
                  {.max_age = options.settings.evidence_max_age}),
        baselines({.store = *store,
                   .log = log,
                   .clock = clock,
                   .approvers = approvers}),
        comparer({.store = *store,
                  .hosts = anchors,
                  .baselines = baselines,
                  .log = log,
                  .keys = *keys.results,
                  .clock = clock},
                 {.max_age = options.settings.evidence_max_age}) {}

  const Options options;
  const Clock& clock;
  Current<enrollment::EkRoots> roots;
  Current<std::vector<document::PublicKey>> approvers;
  const VerifierKeys keys;
  const std::unique_ptr<OpenStore> opened;
  verification::VerifierStore* const store;
  const std::unique_ptr<rpc::GrpcHostClient> client;
  const std::unique_ptr<verification::Webhook> webhook;
  verification::DecisionLog log;
  verification::HostAnchors anchors;
  verification::ReferenceBook references;
  verification::OrderBook orders;
  verification::HostRegistry hosts;
  verification::Appraiser appraiser;
  verification::BaselineBook baselines;
  verification::SnapshotComparer comparer;
};

absl::StatusOr<std::unique_ptr<VerificationStack>> VerificationStack::Open(
    const Options& options, const Clock& clock) {
  const config::VerificationSettings& settings = options.settings;
  ASSIGN_OR_RETURN_WITH(
      VerifierKeys keys,
      LoadVerifierKeys(options.folder, settings.post_quantum, settings.module),
      "keys");
  ASSIGN_OR_RETURN_WITH(enrollment::EkRoots roots, LoadEkRoots(options),
                        "verification.ek_roots");
  ASSIGN_OR_RETURN_WITH(std::vector<document::PublicKey> approvers,
                        LoadApprovers(settings.approvers),
                        "verification.approvers");
  ASSIGN_OR_RETURN(auto store,
                   OpenVerifierStore(options.folder, options.etcd, clock));
  std::unique_ptr<rpc::GrpcHostClient> client;
  if (settings.host_tls) {
    ASSIGN_OR_RETURN_WITH(
        client,
        rpc::GrpcHostClient::Create(
            settings.hosts, {.certificate = settings.host_tls->certificate,
                             .private_key = settings.host_tls->private_key,
                             .ca = settings.host_tls->ca}),
        "verification.host_tls");
  }
  std::unique_ptr<verification::Webhook> webhook;
  if (settings.webhook) {
    ASSIGN_OR_RETURN_WITH(webhook, MakeWebhook(*settings.webhook, clock),
                          "verification.webhook");
  }
  return std::unique_ptr<VerificationStack>(
      new VerificationStack(std::make_unique<Owners>(
          options, clock, std::move(roots), std::move(keys),
          std::move(approvers), std::move(store), std::move(client),
          std::move(webhook))));
}

VerificationStack::VerificationStack(std::unique_ptr<Owners> owners)
    : owners_(std::move(owners)) {}

VerificationStack::~VerificationStack() = default;

rpc::VerificationParts VerificationStack::Parts(Executor& requests,
                                                Executor& watch) const {
  return {.store = *owners_->store,
          .hosts = owners_->hosts,
          .references = owners_->references,
          .orders = owners_->orders,
          .appraiser = owners_->appraiser,
          .baselines = owners_->baselines,
          .comparer = owners_->comparer,
          .result_keys = *owners_->keys.results,
          .log = owners_->log,
          .requests = requests,
          .watch = watch,
          .clock = owners_->clock,
          .max_lag = owners_->options.watcher_lag};
}

verification::Appraiser& VerificationStack::appraiser() const {
  return owners_->appraiser;
}

verification::ReferenceBook& VerificationStack::references() const {
  return owners_->references;
}

verification::OrderBook& VerificationStack::orders() const {
  return owners_->orders;
}

verification::SnapshotComparer& VerificationStack::comparer() const {
  return owners_->comparer;
}

verification::VerifierStore& VerificationStack::store() const {
  return *owners_->store;
}

verification::ResultKeys& VerificationStack::result_keys() const {
  return *owners_->keys.results;
}

const document::PublicKey& VerificationStack::authority() const {
  return owners_->keys.authority.public_key();
}

const document::PrivateKey& VerificationStack::authority_key() const {
  return owners_->keys.authority;
}

verification::HostRegistry& VerificationStack::hosts() const {
  return owners_->hosts;
}

absl::Status VerificationStack::Reload() {
  const config::VerificationSettings& settings = owners_->options.settings;
  ASSIGN_OR_RETURN_WITH(enrollment::EkRoots roots,
                        LoadEkRoots(owners_->options), "verification.ek_roots");
  ASSIGN_OR_RETURN_WITH(std::vector<document::PublicKey> approvers,
                        LoadApprovers(settings.approvers),
                        "verification.approvers");
  owners_->roots.Set(std::move(roots));
  owners_->approvers.Set(std::move(approvers));
  return absl::OkStatus();
}

absl::Status VerificationStack::Tick() {
  RETURN_IF_ERROR(owners_->log.Trim());
  return owners_->opened->Note();
}

VerificationStack::Counters VerificationStack::counters() const {
  Counters counters;
  counters.decisions = owners_->log.counters();
  counters.challenges = owners_->hosts.pending_challenges();
  if (owners_->webhook != nullptr) {
    counters.webhook = owners_->webhook->counters();
  }
  return counters;
}

}  // namespace vmattest::verifierd
