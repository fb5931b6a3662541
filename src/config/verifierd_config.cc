#include "config/verifierd_config.h"

#include "config/key_checks.h"
#include "config/shared_schema.h"
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
  verification.set_enabled(true);
  SetVerificationDefaults(verification);
  message.mutable_ledger()->set_node(false);
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
    if (in_.listen().has_tcp()) {
      ASSIGN_OR_RETURN(
          out_.tcp,
          CheckTcp(in_.listen().tcp(),
                   {"host", "customer", "auditor", "operator"}, *this));
    }
    if (!in_.verification().enabled()) {
      return Error("verification.enabled", "it does nothing else");
    }
    ASSIGN_OR_RETURN(out_.verification,
                     CheckVerification(in_.verification(), *this));
    if (in_.store().has_etcd()) {
      ASSIGN_OR_RETURN(out_.etcd, CheckEtcd(in_.store().etcd(), "store.etcd",
                                            "/vmattest/verifier/", *this));
    }
    if (in_.ledger().node()) {
      ASSIGN_OR_RETURN(out_.ledger, CheckLedger(in_.ledger(), "ledger", *this));
    }
    if (!in_.metrics().address().empty()) {
      RETURN_IF_ERROR(HostPort("metrics.address", in_.metrics().address()));
      out_.metrics_address = in_.metrics().address();
    }
    RETURN_IF_ERROR(Limits());
    return std::move(out_);
  }

 private:
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
