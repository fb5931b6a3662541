#include "config/verifierd_config.h"

#include <algorithm>
#include <set>

#include "config/key_checks.h"
#include "fmt/format.h"
#include "vmattest/v1/verifierd_config.pb.h"
#include "yaml/yaml_message.h"

namespace vmattest::config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "VMATTEST_VERIFIERD_";

v1::VerifierdConfig DefaultVerifierdMessage() {
  v1::VerifierdConfig message;
  message.set_state_dir("/var/lib/vmattest-verifierd");
  message.set_log_level("info");
  message.mutable_listen()->set_admin_socket(
      "/run/vmattest-verifierd/admin.sock");
  v1::VerificationConfig& verification = *message.mutable_verification();
  verification.set_ek_roots("/etc/vmattest/ek-roots");
  verification.set_approvers("/etc/vmattest/approvers");
  verification.set_post_quantum("preferred");
  verification.set_evidence_max_age_seconds(300);
  verification.set_keep_decisions(1'000'000);
  verification.set_keep_evidence(4);
  message.mutable_metrics()->set_address("");
  v1::VerifierdLimitsConfig& limits = *message.mutable_limits();
  limits.set_request_threads(4);
  limits.set_max_queued_requests(4096);
  limits.set_max_watchers(64);
  limits.set_watcher_lag(1024);
  limits.set_max_message_bytes(20u << 20);
  return message;
}

class VerifierdChecker : private KeyChecks {
 public:
  VerifierdChecker(const v1::VerifierdConfig& message, const Origins& origins,
                   const Environment& environment)
      : KeyChecks(origins, environment), in_(message) {}

  absl::StatusOr<VerifierdConfig> Run() {
    ASSIGN_OR_RETURN(out_.state_dir,
                     AbsolutePath("state_dir", in_.state_dir()));
    RETURN_IF_ERROR(LogLevel("log_level", in_.log_level()));
    out_.log_level = in_.log_level();
    ASSIGN_OR_RETURN(
        out_.admin_socket,
        SocketPath("listen.admin_socket", in_.listen().admin_socket()));
    out_.reflection = !in_.listen().disable_reflection();
    RETURN_IF_ERROR(Tcp());
    RETURN_IF_ERROR(Verification());
    RETURN_IF_ERROR(Hosts());
    RETURN_IF_ERROR(Webhook());
    if (!in_.metrics().address().empty()) {
      RETURN_IF_ERROR(HostPort("metrics.address", in_.metrics().address()));
      out_.metrics_address = in_.metrics().address();
    }
    RETURN_IF_ERROR(Limits());
    return std::move(out_);
  }

 private:
  absl::Status Tcp() {
    if (!in_.listen().has_tcp()) {
      return absl::OkStatus();
    }
    const v1::TcpConfig& tcp = in_.listen().tcp();
    RoleListener& to = out_.tcp.emplace();
    RETURN_IF_ERROR(HostPort("listen.tcp.address", tcp.address()));
    to.address = tcp.address();
    ASSIGN_OR_RETURN(to.certificate,
                     SecretPath("listen.tcp.certificate", tcp.certificate()));
    ASSIGN_OR_RETURN(to.private_key,
                     SecretPath("listen.tcp.private_key", tcp.private_key()));
    ASSIGN_OR_RETURN(to.client_ca,
                     SecretPath("listen.tcp.client_ca", tcp.client_ca()));
    if (tcp.clients().empty()) {
      return Error("listen.tcp.clients",
                   "lists nobody, so nobody could connect");
    }
    std::set<std::string> seen;
    for (int i = 0; i < tcp.clients_size(); ++i) {
      const std::string key = fmt::format("listen.tcp.clients[{}]", i);
      ASSIGN_OR_RETURN(RoleGrant grant, Grant(key, tcp.clients(i)));
      if (!seen.insert(grant.identity).second) {
        return Error(key + ".identity",
                     fmt::format("'{}' has a grant already", grant.identity));
      }
      to.clients.push_back(std::move(grant));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<RoleGrant> Grant(const std::string& key,
                                  const v1::ClientGrant& grant) const {
    static const std::set<std::string> kRoles = {"host", "customer", "auditor",
                                                 "operator"};
    RoleGrant to{.identity = grant.identity(), .role = grant.role()};
    if (to.identity.find(':') == std::string::npos) {
      return Error(key + ".identity",
                   "must be a URI, such as spiffe://example.org/operator");
    }
    if (!kRoles.contains(to.role)) {
      return Error(key + ".role",
                   "must be host, customer, auditor or operator");
    }
    if (to.role == "host") {
      if (!grant.vms().empty()) {
        return Error(key + ".vms",
                     "a host's VMs are those of its own evidence: list none");
      }
      return to;
    }
    if (grant.vms().empty()) {
      return Error(key + ".vms", "lists no VM: name UUIDs, or \"*\" for all");
    }
    for (int i = 0; i < grant.vms_size(); ++i) {
      if (grant.vms(i) == "*") {
        to.all_vms = true;
        continue;
      }
      const absl::StatusOr<Uuid> uuid = ParseUuid(grant.vms(i));
      if (!uuid.ok()) {
        return Error(
            fmt::format("{}.vms[{}]", key, i),
            fmt::format("'{}' is neither a UUID nor \"*\"", grant.vms(i)));
      }
      to.vms.push_back(*uuid);
    }
    return to;
  }

  absl::Status Verification() {
    const v1::VerificationConfig& in = in_.verification();
    VerificationSettings& to = out_.verification;
    ASSIGN_OR_RETURN(to.ek_roots,
                     AbsolutePath("verification.ek_roots", in.ek_roots()));
    ASSIGN_OR_RETURN(to.approvers,
                     AbsolutePath("verification.approvers", in.approvers()));
    if (in.post_quantum() != "off" && in.post_quantum() != "preferred") {
      return Error("verification.post_quantum", "must be preferred or off");
    }
    to.post_quantum = in.post_quantum() == "preferred";
    if (!in.module().empty()) {
      ASSIGN_OR_RETURN(const fs::path module,
                       AbsolutePath("verification.module", in.module()));
      to.module = module.string();
    }
    RETURN_IF_ERROR(Range("verification.evidence_max_age_seconds",
                          in.evidence_max_age_seconds(), 1, 86'400));
    to.evidence_max_age = std::chrono::seconds(in.evidence_max_age_seconds());
    RETURN_IF_ERROR(Range("verification.keep_decisions", in.keep_decisions(),
                          100, 100'000'000));
    RETURN_IF_ERROR(
        Range("verification.keep_evidence", in.keep_evidence(), 1, 1000));
    to.keep_decisions = in.keep_decisions();
    to.keep_evidence = in.keep_evidence();
    return absl::OkStatus();
  }

  absl::Status Hosts() {
    const v1::VerificationConfig& in = in_.verification();
    VerificationSettings& to = out_.verification;
    for (int i = 0; i < in.hosts_size(); ++i) {
      const std::string key = fmt::format("verification.hosts[{}]", i);
      const v1::HostAddress& host = in.hosts(i);
      if (host.host_id().empty()) {
        return Error(key + ".host_id", "must not be empty");
      }
      RETURN_IF_ERROR(HostPort(key + ".address", host.address()));
      if (!to.hosts.emplace(host.host_id(), host.address()).second) {
        return Error(key + ".host_id", "has an address already");
      }
    }
    if (in.has_host_tls()) {
      HostTls& tls = to.host_tls.emplace();
      ASSIGN_OR_RETURN(tls.certificate,
                       SecretPath("verification.host_tls.certificate",
                                  in.host_tls().certificate()));
      ASSIGN_OR_RETURN(tls.private_key,
                       SecretPath("verification.host_tls.private_key",
                                  in.host_tls().private_key()));
      ASSIGN_OR_RETURN(
          tls.ca, SecretPath("verification.host_tls.ca", in.host_tls().ca()));
    } else if (!to.hosts.empty()) {
      return Error("verification.host_tls", "is needed to ask hosts");
    }
    return absl::OkStatus();
  }

  absl::Status Webhook() {
    if (!in_.verification().has_webhook()) {
      return absl::OkStatus();
    }
    const v1::WebhookConfig& in = in_.verification().webhook();
    WebhookSettings& to = out_.verification.webhook.emplace();
    if (!in.url().starts_with("http://") && !in.url().starts_with("https://")) {
      return Error("verification.webhook.url", "must be an http or https URL");
    }
    to.url = in.url();
    ASSIGN_OR_RETURN(
        to.secret_file,
        SecretPath("verification.webhook.secret_file", in.secret_file()));
    if (!in.ca().empty()) {
      ASSIGN_OR_RETURN(to.ca, AbsolutePath("verification.webhook.ca", in.ca()));
    }
    to.refused_only = in.refused_only();
    return absl::OkStatus();
  }

  absl::Status Limits() {
    const v1::VerifierdLimitsConfig& in = in_.limits();
    struct Limit {
      const char* key;
      uint32_t value, low, high;
      uint32_t VerifierdConfig::*to;
    };
    const Limit limits[] = {
        {"request_threads", in.request_threads(), 1, 256,
         &VerifierdConfig::request_threads},
        {"max_queued_requests", in.max_queued_requests(), 1, 65'536,
         &VerifierdConfig::max_queued_requests},
        {"max_watchers", in.max_watchers(), 1, 4096,
         &VerifierdConfig::max_watchers},
        {"watcher_lag", in.watcher_lag(), 16, 1'000'000,
         &VerifierdConfig::watcher_lag},
        {"max_message_bytes", in.max_message_bytes(), 4096, 64u << 20,
         &VerifierdConfig::max_message_bytes},
    };
    for (const Limit& limit : limits) {
      RETURN_IF_ERROR(Range(fmt::format("limits.{}", limit.key), limit.value,
                            limit.low, limit.high));
      out_.*limit.to = limit.value;
    }
    return absl::OkStatus();
  }

  const v1::VerifierdConfig& in_;
  VerifierdConfig out_;
};

struct Merged {
  v1::VerifierdConfig message;
  Origins origins;
};

absl::StatusOr<Merged> Merge(const fs::path& file,
                             const Environment& environment) {
  Merged merged{DefaultVerifierdMessage(), {}};
  RETURN_IF_ERROR(MergeLayers(file, "verifierd.conf.d", kPrefix, environment,
                              merged.message, merged.origins));
  return merged;
}

}  // namespace

absl::StatusOr<VerifierdConfig> LoadVerifierdConfig(
    const fs::path& file, const Environment& environment) {
  ASSIGN_OR_RETURN(const Merged merged, Merge(file, environment));
  return VerifierdChecker(merged.message, merged.origins, environment).Run();
}

absl::StatusOr<std::string> EffectiveVerifierdConfig(
    const fs::path& file, const Environment& environment) {
  ASSIGN_OR_RETURN(const Merged merged, Merge(file, environment));
  RETURN_IF_ERROR(VerifierdChecker(merged.message, merged.origins, environment)
                      .Run()
                      .status());
  return yaml::ToYaml(merged.message);
}

}  // namespace vmattest::config
