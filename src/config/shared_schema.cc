#include "config/shared_schema.h"

#include <algorithm>
#include <set>
#include <utility>

#include "fmt/format.h"

namespace vmattest::config {
namespace {

namespace fs = std::filesystem;

// "read or admin"; "host, customer, auditor or operator".
std::string OneOf(const std::vector<std::string_view>& roles) {
  std::string text;
  for (size_t i = 0; i < roles.size(); ++i) {
    text += i == 0 ? "" : i + 1 == roles.size() ? " or " : ", ";
    text += roles[i];
  }
  return text;
}

absl::Status AddVms(const std::string& key, const v1::ClientGrant& grant,
                    const KeyChecks& checks, ClientGrant& to) {
  if (to.role == "host") {
    return grant.vms().empty()
               ? absl::OkStatus()
               : checks.Error(key + ".vms",
                              "a host's VMs are those of its own evidence: "
                              "list none");
  }
  if (grant.vms().empty()) {
    return checks.Error(key + ".vms",
                        "lists no VM: name UUIDs, or \"*\" for all");
  }
  for (int i = 0; i < grant.vms_size(); ++i) {
    if (grant.vms(i) == "*") {
      to.all_vms = true;
      continue;
    }
    const absl::StatusOr<Uuid> uuid = ParseUuid(grant.vms(i));
    if (!uuid.ok()) {
      return checks.Error(
          fmt::format("{}.vms[{}]", key, i),
          fmt::format("'{}' is neither a UUID nor \"*\"", grant.vms(i)));
    }
    to.vms.push_back(*uuid);
  }
  return absl::OkStatus();
}

absl::StatusOr<ClientGrant> CheckGrant(
    const std::string& key, const v1::ClientGrant& grant,
    const std::vector<std::string_view>& roles, const KeyChecks& checks) {
  ClientGrant to;
  to.identity = grant.identity();
  if (to.identity.find(':') == std::string::npos) {
    return checks.Error(key + ".identity",
                        "must be a URI, such as spiffe://example.org/operator");
  }
  if (std::find(roles.begin(), roles.end(), grant.role()) == roles.end()) {
    return checks.Error(key + ".role", fmt::format("must be {}", OneOf(roles)));
  }
  to.role = grant.role();
  RETURN_IF_ERROR(AddVms(key, grant, checks, to));
  return to;
}

absl::Status CheckHosts(const v1::VerificationConfig& in,
                        const KeyChecks& checks, VerificationSettings& to) {
  for (int i = 0; i < in.hosts_size(); ++i) {
    const std::string key = fmt::format("verification.hosts[{}]", i);
    const v1::HostAddress& host = in.hosts(i);
    if (host.host_id().empty()) {
      return checks.Error(key + ".host_id", "must not be empty");
    }
    RETURN_IF_ERROR(checks.HostPort(key + ".address", host.address()));
    if (!to.hosts.emplace(host.host_id(), host.address()).second) {
      return checks.Error(key + ".host_id", "has an address already");
    }
  }
  if (in.has_host_tls()) {
    const v1::HostTlsConfig& from = in.host_tls();
    const std::string key = "verification.host_tls";
    HostTls& tls = to.host_tls.emplace();
    ASSIGN_OR_RETURN(tls.certificate, checks.SecretPath(key + ".certificate",
                                                        from.certificate()));
    ASSIGN_OR_RETURN(tls.private_key, checks.SecretPath(key + ".private_key",
                                                        from.private_key()));
    ASSIGN_OR_RETURN(tls.ca, checks.SecretPath(key + ".ca", from.ca()));
  } else if (!to.hosts.empty()) {
    return checks.Error("verification.host_tls", "is needed to ask hosts");
  }
  return absl::OkStatus();
}

absl::Status CheckWebhook(const v1::VerificationConfig& verification,
                          const KeyChecks& checks, VerificationSettings& out) {
  if (!verification.has_webhook()) {
    return absl::OkStatus();
  }
  const v1::WebhookConfig& in = verification.webhook();
  WebhookSettings& to = out.webhook.emplace();
  if (!in.url().starts_with("http://") && !in.url().starts_with("https://")) {
    return checks.Error("verification.webhook.url",
                        "must be an http or https URL");
  }
  to.url = in.url();
  ASSIGN_OR_RETURN(
      to.secret_file,
      checks.SecretPath("verification.webhook.secret_file", in.secret_file()));
  if (!in.ca().empty()) {
    ASSIGN_OR_RETURN(to.ca,
                     checks.AbsolutePath("verification.webhook.ca", in.ca()));
  }
  to.refused_only = in.refused_only();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TcpListener> CheckTcp(const v1::TcpConfig& tcp,
                                     const std::vector<std::string_view>& roles,
                                     const KeyChecks& checks) {
  TcpListener to;
  RETURN_IF_ERROR(checks.HostPort("listen.tcp.address", tcp.address()));
  to.address = tcp.address();
  ASSIGN_OR_RETURN(to.certificate, checks.SecretPath("listen.tcp.certificate",
                                                     tcp.certificate()));
  ASSIGN_OR_RETURN(to.private_key, checks.SecretPath("listen.tcp.private_key",
                                                     tcp.private_key()));
  ASSIGN_OR_RETURN(to.client_ca,
                   checks.SecretPath("listen.tcp.client_ca", tcp.client_ca()));
  if (tcp.clients().empty()) {
    return checks.Error("listen.tcp.clients",
                        "lists nobody, so nobody could connect");
  }
  std::set<std::string> seen;
  for (int i = 0; i < tcp.clients_size(); ++i) {
    const std::string key = fmt::format("listen.tcp.clients[{}]", i);
    ASSIGN_OR_RETURN(ClientGrant grant,
                     CheckGrant(key, tcp.clients(i), roles, checks));
    if (!seen.insert(grant.identity).second) {
      return checks.Error(
          key + ".identity",
          fmt::format("'{}' has a grant already", grant.identity));
    }
    to.clients.push_back(std::move(grant));
  }
  return to;
}

void SetVerificationDefaults(v1::VerificationConfig& verification) {
  verification.set_ek_roots("/etc/vmattest/ek-roots");
  verification.set_approvers("/etc/vmattest/approvers");
  verification.set_post_quantum("preferred");
  verification.set_evidence_max_age_seconds(300);
  verification.set_keep_decisions(1'000'000);
  verification.set_keep_evidence(4);
}

absl::StatusOr<VerificationSettings> CheckVerification(
    const v1::VerificationConfig& in, const KeyChecks& checks) {
  VerificationSettings to;
  ASSIGN_OR_RETURN(to.ek_roots,
                   checks.AbsolutePath("verification.ek_roots", in.ek_roots()));
  ASSIGN_OR_RETURN(to.approvers, checks.AbsolutePath("verification.approvers",
                                                     in.approvers()));
  if (in.post_quantum() != "off" && in.post_quantum() != "preferred") {
    return checks.Error("verification.post_quantum",
                        "must be preferred or off");
  }
  to.post_quantum = in.post_quantum() == "preferred";
  if (!in.module().empty()) {
    ASSIGN_OR_RETURN(const fs::path module,
                     checks.AbsolutePath("verification.module", in.module()));
    to.module = module.string();
  }
  RETURN_IF_ERROR(checks.Range("verification.evidence_max_age_seconds",
                               in.evidence_max_age_seconds(), 1, 86'400));
  to.evidence_max_age = std::chrono::seconds(in.evidence_max_age_seconds());
  RETURN_IF_ERROR(checks.Range("verification.keep_decisions",
                               in.keep_decisions(), 100, 100'000'000));
  RETURN_IF_ERROR(
      checks.Range("verification.keep_evidence", in.keep_evidence(), 1, 1000));
  to.keep_decisions = in.keep_decisions();
  to.keep_evidence = in.keep_evidence();
  RETURN_IF_ERROR(CheckHosts(in, checks, to));
  RETURN_IF_ERROR(CheckWebhook(in, checks, to));
  return to;
}

absl::StatusOr<EtcdSettings> CheckEtcd(const v1::EtcdConfig& etcd,
                                       const std::string& key,
                                       const std::string& default_prefix,
                                       const KeyChecks& checks) {
  EtcdSettings to;
  if (etcd.endpoints().empty()) {
    return checks.Error(key + ".endpoints", "lists no server");
  }
  for (int i = 0; i < etcd.endpoints_size(); ++i) {
    RETURN_IF_ERROR(checks.HostPort(fmt::format("{}.endpoints[{}]", key, i),
                                    etcd.endpoints(i)));
    to.endpoints.push_back(etcd.endpoints(i));
  }
  ASSIGN_OR_RETURN(to.certificate,
                   checks.SecretPath(key + ".certificate", etcd.certificate()));
  ASSIGN_OR_RETURN(to.private_key,
                   checks.SecretPath(key + ".private_key", etcd.private_key()));
  ASSIGN_OR_RETURN(to.ca, checks.SecretPath(key + ".ca", etcd.ca()));
  to.server_name = etcd.server_name();
  to.prefix = etcd.prefix().empty() ? default_prefix : etcd.prefix();
  if (!to.prefix.starts_with('/') || !to.prefix.ends_with('/')) {
    return checks.Error(key + ".prefix", "must begin and end with /");
  }
  to.allow_unsafe_version = etcd.allow_unsafe_version();
  return to;
}

absl::StatusOr<LedgerSettings> CheckLedger(const v1::LedgerConfig& ledger,
                                           const std::string& key,
                                           const KeyChecks& checks) {
  constexpr size_t kMaxOrigin = 255;  // tlog-cosignature
  if (ledger.origin().empty() || ledger.origin().size() > kMaxOrigin ||
      ledger.origin().find_first_of(" +\t\n") != std::string::npos) {
    return checks.Error(key + ".origin",
                        "the ledger's name, 1 to 255 characters, without "
                        "spaces and '+'");
  }
  LedgerSettings to;
  to.origin = ledger.origin();
  if (!ledger.policy().empty()) {
    ASSIGN_OR_RETURN(to.policy,
                     checks.AbsolutePath(key + ".policy", ledger.policy()));
  }
  if (!ledger.authorities().empty()) {
    ASSIGN_OR_RETURN(to.authorities, checks.AbsolutePath(key + ".authorities",
                                                         ledger.authorities()));
  }
  if (!ledger.owners().empty()) {
    ASSIGN_OR_RETURN(to.owners,
                     checks.AbsolutePath(key + ".owners", ledger.owners()));
  }
  if (ledger.has_witness_tls()) {
    const v1::HostTlsConfig& from = ledger.witness_tls();
    const std::string tls_key = key + ".witness_tls";
    HostTls& tls = to.witness_tls.emplace();
    ASSIGN_OR_RETURN(
        tls.certificate,
        checks.SecretPath(tls_key + ".certificate", from.certificate()));
    ASSIGN_OR_RETURN(
        tls.private_key,
        checks.SecretPath(tls_key + ".private_key", from.private_key()));
    ASSIGN_OR_RETURN(tls.ca, checks.SecretPath(tls_key + ".ca", from.ca()));
  }
  if (!ledger.address().empty()) {
    RETURN_IF_ERROR(checks.HostPort(key + ".address", ledger.address()));
    to.address = ledger.address();
  }
  if (ledger.has_etcd()) {
    ASSIGN_OR_RETURN(
        to.etcd,
        CheckEtcd(ledger.etcd(), key + ".etcd",
                  fmt::format("/vmattest/ledger/{}/", to.origin), checks));
    if (to.address.empty()) {
      return checks.Error(key + ".address",
                          "several nodes share the log: say where this one is");
    }
  }
  if (ledger.has_archive()) {
    const v1::LedgerArchiveConfig& from = ledger.archive();
    constexpr uint64_t kLeast = 1'000;
    if (from.keep_records() != 0 && from.keep_records() < kLeast) {
      return checks.Error(key + ".archive.keep_records",
                          fmt::format("0, or {} at least", kLeast));
    }
    ASSIGN_OR_RETURN(
        const std::filesystem::path folder,
        checks.AbsolutePath(key + ".archive.folder", from.folder()));
    to.archive = {.folder = folder,
                  .keep_records = from.keep_records(),
                  .others = {from.others().begin(), from.others().end()}};
  }
  return to;
}

}  // namespace vmattest::config
