#include "cli/keys_command.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "base/bytes.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "fmt/format.h"
#include "vmattest/types/tpm.h"

namespace vmattest::cli {
namespace {

constexpr KeyPurpose kPurposes[] = {
    KeyPurpose::kConfig,   KeyPurpose::kState,  KeyPurpose::kProfile,
    KeyPurpose::kLiveness, KeyPurpose::kLedger, KeyPurpose::kAuthorization};

absl::StatusOr<std::vector<KeyPurpose>> Purposes(const std::string& name,
                                                 bool all_allowed) {
  if (all_allowed && name == "all") {
    return std::vector<KeyPurpose>(std::begin(kPurposes), std::end(kPurposes));
  }
  for (const KeyPurpose purpose : kPurposes) {
    if (name == ToString(purpose)) {
      return std::vector<KeyPurpose>{purpose};
    }
  }
  return absl::InvalidArgumentError(
      fmt::format("'{}' is no purpose: config, state, profile, liveness, "
                  "ledger or authorization",
                  name));
}

v1::KeyPurpose ToWire(KeyPurpose purpose) {
  return static_cast<v1::KeyPurpose>(purpose);
}

absl::Status List(AttestationClient& client, bool json, std::ostream& out) {
  ASSIGN_OR_RETURN(const v1::ListKeysResponse keys, client.ListKeys());
  for (const v1::KeyEpoch& key : keys.keys()) {
    const std::string purpose(ToString(static_cast<KeyPurpose>(key.purpose())));
    if (json) {
      out << nlohmann::json{{"purpose", purpose},
                            {"epoch", key.epoch()},
                            {"state", key.state()},
                            {"key_name", ToHex(AsBytes(key.key_name()))},
                            {"since_unix_ms", key.since_unix_ms()},
                            {"pq_algorithm", key.pq_algorithm()},
                            {"pq_key_id", ToHex(AsBytes(key.pq_key_id()))}}
                 .dump()
          << "\n";
    } else {
      out << fmt::format(
          "{:<13} epoch {:<3} {:<8} {}  {}\n", purpose, key.epoch(),
          Printable(key.state()), ToHex(AsBytes(key.key_name())),
          Printable(key.pq_algorithm().empty() ? "no post-quantum key"
                                               : key.pq_algorithm()));
    }
  }
  return absl::OkStatus();
}

absl::Status Rotate(AttestationClient& client, const KeysArgs& args,
                    std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<KeyPurpose> purposes,
                   Purposes(args.purpose, true));
  for (const KeyPurpose purpose : purposes) {
    ASSIGN_OR_RETURN(const v1::RotateKeyResponse rotated,
                     client.RotateKey(ToWire(purpose)));
    if (args.json) {
      out << nlohmann::json{{"purpose", std::string(ToString(purpose))},
                            {"epoch", rotated.epoch()}}
                 .dump()
          << "\n";
    } else {
      out << fmt::format("{}: epoch {} signs from now on\n", ToString(purpose),
                         rotated.epoch());
    }
  }
  return absl::OkStatus();
}

absl::Status Run(const KeysArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  AttestationClient client(channel, args.connection.timeout);
  switch (args.action) {
    case KeysArgs::Action::kList:
      return List(client, args.json, out);
    case KeysArgs::Action::kRotate:
      return Rotate(client, args, out);
    case KeysArgs::Action::kRevoke: {
      ASSIGN_OR_RETURN(const std::vector<KeyPurpose> purposes,
                       Purposes(args.purpose, false));
      RETURN_IF_ERROR(client.RevokeKey(ToWire(purposes.front()), args.epoch));
      out << fmt::format(
          "{}: epoch {} is revoked; give verifiers the new host identity\n",
          ToString(purposes.front()), args.epoch);
      return absl::OkStatus();
    }
    case KeysArgs::Action::kReEnroll: {
      ASSIGN_OR_RETURN(const v1::ReEnrollResponse made,
                       client.ReEnroll(args.host_id));
      out << fmt::format("host id: {}\n", made.host_id());
      return absl::OkStatus();
    }
  }
  return absl::InternalError("no such action");
}

}  // namespace

int RunKeys(const KeysArgs& args, std::ostream& out) {
  const absl::Status done = Run(args, out);
  out.flush();
  return done.ok() ? kExitGood : Fail(done);
}

}  // namespace vmattest::cli
