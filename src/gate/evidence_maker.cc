#include "gate/evidence_maker.h"

#include <utility>

#include "attestor/await.h"
#include "evidence/config_tree.h"
#include "evidence/envelope.h"
#include "evidence/evidence.h"
#include "wire/codec.h"

namespace vmattest::gate {
namespace {

evidence::ConfigStatement StatementOf(const EvidenceMaker::Subject& subject) {
  const measurement::DomainMeasurement& measured = subject.measurement;
  evidence::ConfigStatement statement;
  statement.header.vm_uuid = measured.uuid;
  statement.header.vm_name = measured.name;
  statement.header.nonce = subject.nonce;
  statement.header.measured_at = subject.measured_at;
  statement.algorithm = measured.tree.algorithm;
  statement.leaf_count = measured.tree.leaves.size();
  statement.root = measured.tree.root;
  statement.salt_id = subject.vm_salt ? evidence::SaltId(*subject.vm_salt) : "";
  statement.content = measurement::ToString(subject.content);
  statement.xml_kind = subject.live ? "live" : "inactive";
  statement.vm_state = "shutoff";
  statement.cached = measured.cached;
  statement.inside = inspection::ToString(subject.inside);
  return statement;
}

}  // namespace

absl::StatusOr<TpmClock> EvidenceMaker::ReadClock(MonotonicTime deadline) {
  return attestor::Await<absl::StatusOr<TpmClock>>(deadline, [&](auto done) {
    return signer_.ReadClock(deadline, std::move(done));
  });
}

absl::Status EvidenceMaker::Log(std::string kind,
                                std::map<std::string, std::string> facts,
                                MonotonicTime deadline) {
  eventlog::HostEvent event{
      .kind = std::move(kind),
      .facts = std::move(facts),
      .time_unix_ms = clock_.Now().time_since_epoch().count()};
  return attestor::Await<absl::StatusOr<eventlog::LogHead>>(
             deadline,
             [&](auto done) {
               return signer_.Append(std::move(event), deadline,
                                     std::move(done));
             })
      .status();
}

absl::StatusOr<Bytes> EvidenceMaker::Make(const Subject& subject,
                                          MonotonicTime deadline) {
  evidence::ConfigStatement statement = StatementOf(subject);
  evidence::StatementHeader header = statement.header;
  ASSIGN_OR_RETURN(
      attestor::SealedStatement sealed,
      attestor::Await<absl::StatusOr<attestor::SealedStatement>>(
          deadline, [&](auto done) {
            statements_.Seal(
                evidence::kConfigPayloadType, std::move(header),
                [statement](const evidence::StatementHeader& full) mutable {
                  statement.header = full;
                  return wire::EncodeConfigStatement(statement);
                },
                deadline, std::move(done));
            return absl::OkStatus();
          }));
  evidence::Evidence evidence;
  evidence.envelope = std::move(sealed.envelope);
  evidence.keys = std::move(sealed.keys);
  evidence.leaves = subject.measurement.tree.leaves;
  evidence.subtrees = subject.measurement.tree.subtrees;
  if (subject.vm_salt) {
    evidence.vm_salt = ToBytes(subject.vm_salt->Reveal(SecretAccess()));
  }
  return wire::EncodeEvidence(evidence);
}

}  // namespace vmattest::gate
