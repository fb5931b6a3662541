#include "config/host_ledger_schema.h"

#include "fmt/format.h"

namespace vmattest::config {
namespace {

constexpr size_t kMaxOrigin = 255;  // tlog-cosignature
constexpr size_t kMaxOwner = 256;

enum class Mode { kOff, kEmbedded, kRemote };

absl::StatusOr<Mode> ModeOf(const v1::HostLedgerConfig& in, bool gated,
                            const KeyChecks& checks) {
  const bool nodes = in.nodes_size() > 0;
  if (in.mode() == "off") {
    return Mode::kOff;
  }
  if (in.mode() == "embedded") {
    return nodes ? absl::StatusOr<Mode>(checks.Error(
                       "ledger.nodes", "an embedded ledger has none"))
                 : Mode::kEmbedded;
  }
  if (in.mode() == "remote") {
    return nodes ? Mode::kRemote
                 : absl::StatusOr<Mode>(checks.Error(
                       "ledger.nodes", "a remote ledger needs one"));
  }
  if (in.mode() != "auto") {
    return checks.Error("ledger.mode", "must be off, embedded, remote or auto");
  }
  if (nodes) {
    return Mode::kRemote;
  }
  return gated ? Mode::kEmbedded : Mode::kOff;
}

absl::Status CheckRemote(const v1::HostLedgerConfig& in,
                         const KeyChecks& checks, HostLedgerSettings& out) {
  for (int i = 0; i < in.nodes_size(); ++i) {
    RETURN_IF_ERROR(
        checks.HostPort(fmt::format("ledger.nodes[{}]", i), in.nodes(i)));
    out.nodes.push_back(in.nodes(i));
  }
  if (!in.has_tls()) {
    return checks.Error("ledger.tls", "a remote ledger needs it");
  }
  HostTls& tls = out.tls.emplace();
  ASSIGN_OR_RETURN(tls.certificate, checks.SecretPath("ledger.tls.certificate",
                                                      in.tls().certificate()));
  ASSIGN_OR_RETURN(tls.private_key, checks.SecretPath("ledger.tls.private_key",
                                                      in.tls().private_key()));
  ASSIGN_OR_RETURN(tls.ca, checks.SecretPath("ledger.tls.ca", in.tls().ca()));
  out.server_name = in.server_name();
  return absl::OkStatus();
}

absl::Status CheckEmbedded(const v1::HostLedgerConfig& in,
                           const KeyChecks& checks, HostLedgerSettings& out) {
  if (in.owner().empty() || in.owner().size() > kMaxOwner) {
    return checks.Error("ledger.owner", "1 to 256 characters");
  }
  out.owner = in.owner();
  if (!in.authorities().empty()) {
    ASSIGN_OR_RETURN(out.authorities, checks.AbsolutePath("ledger.authorities",
                                                          in.authorities()));
  }
  if (!in.owners().empty()) {
    ASSIGN_OR_RETURN(out.owners,
                     checks.AbsolutePath("ledger.owners", in.owners()));
  }
  return absl::OkStatus();
}

}  // namespace

void SetHostLedgerDefaults(v1::HostLedgerConfig& ledger) {
  ledger.set_mode("auto");
  ledger.set_origin("vmattest.local/ledger");
  ledger.set_home_hours(24);
  ledger.set_batch_seconds(5);
  ledger.set_max_queued(10'000);
  ledger.set_owner("local");
}

absl::StatusOr<std::optional<HostLedgerSettings>> CheckHostLedger(
    const v1::HostLedgerConfig& in, bool gated, const KeyChecks& checks) {
  ASSIGN_OR_RETURN(const Mode mode, ModeOf(in, gated, checks));
  if (mode == Mode::kOff) {
    return std::nullopt;
  }
  if (in.origin().empty() || in.origin().size() > kMaxOrigin ||
      in.origin().find_first_of(" +\t\n") != std::string::npos) {
    return checks.Error("ledger.origin",
                        "the ledger's name, 1 to 255 characters, without "
                        "spaces and '+'");
  }
  HostLedgerSettings out;
  out.origin = in.origin();
  RETURN_IF_ERROR(mode == Mode::kRemote ? CheckRemote(in, checks, out)
                                        : CheckEmbedded(in, checks, out));
  if (!in.policy().empty()) {
    ASSIGN_OR_RETURN(out.policy,
                     checks.AbsolutePath("ledger.policy", in.policy()));
  }
  out.one_home = !in.any_home();
  RETURN_IF_ERROR(checks.Range("ledger.home_hours", in.home_hours(), 1, 8'760));
  RETURN_IF_ERROR(
      checks.Range("ledger.batch_seconds", in.batch_seconds(), 1, 45));
  RETURN_IF_ERROR(
      checks.Range("ledger.max_queued", in.max_queued(), 16, 10'000'000));
  out.home_lasts = std::chrono::hours(in.home_hours());
  out.batch_interval = std::chrono::seconds(in.batch_seconds());
  out.max_queued = in.max_queued();
  return std::optional<HostLedgerSettings>(std::move(out));
}

}  // namespace vmattest::config
