#include "support/verifier_rig.h"

#include "enrollment/credential.h"
#include "evidence/config_tree.h"
#include "wire/codec.h"

namespace vmattest::testing {
namespace {

document::PrivateKey NewKey(const std::string& name) {
  return document::PrivateKey::Generate(name, std::nullopt).value();
}

enrollment::EkRoots RootsOf(const EkPki& manufacturer) {
  enrollment::EkRoots roots;
  roots.Add(manufacturer.root()).IgnoreError();
  roots.Add(manufacturer.intermediate()).IgnoreError();
  return roots;
}

}  // namespace

VerifierRig::VerifierRig(verification::VerifierStore* other_store)
    : ek_roots(RootsOf(manufacturer)),
      authority(NewKey("authority")),
      approver(NewKey("alice")),
      approvers({approver.public_key()}),
      store(other_store != nullptr ? *other_store : fake_store),
      log(store, {.max_watchers = 4}),
      anchors(store),
      references(
          {.store = store, .log = log, .clock = clock, .approvers = approvers}),
      orders(
          {.store = store, .log = log, .clock = clock, .approvers = approvers}),
      hosts({.store = store,
             .log = log,
             .ek_roots = ek_roots,
             .authority = authority,
             .clock = clock}),
      appraiser({.store = store,
                 .hosts = anchors,
                 .references = references,
                 .log = log,
                 .keys = keys,
                 .clock = clock},
                {}) {}

evidence::HostIdentity VerifierRig::IdentityOf(const SoftHost& host,
                                               bool certificate) {
  evidence::HostIdentity identity = host.Identity();
  if (certificate) {
    identity.ek_certificate = manufacturer.Issue(identity.ek_public);
  }
  return identity;
}

absl::StatusOr<verification::HostEntry> VerifierRig::Enroll(
    const std::string& client, const SoftHost& host,
    const evidence::HostIdentity& identity) {
  const Bytes bytes = wire::EncodeHostIdentity(identity);
  ASSIGN_OR_RETURN(const auto begun, hosts.Begin(client, bytes));
  if (!begun.verdict.trusted()) {
    return absl::InternalError(begun.verdict.reasons.front().code);
  }
  ASSIGN_OR_RETURN(
      const SecretBytes secret,
      host.ek.Activate(host.ak.name(),
                       begun.challenge.credential.credential_blob,
                       begun.challenge.credential.encrypted_secret));
  return hosts.Complete(client, begun.challenge.id,
                        enrollment::EnrollmentProof(secret, bytes));
}

reference::Reference VerifierRig::Learned(const EvidenceBuilder& builder,
                                          const std::string& name,
                                          uint64_t revision) const {
  const evidence::Evidence evidence = builder.Build();
  const auto statement =
      wire::ParseConfigStatement(evidence.envelope.payload).value();
  reference::Reference learned = reference::Learn(
      name, statement.header.vm_uuid, statement.algorithm,
      evidence::Flatten(evidence.leaves, evidence.subtrees), statement.root);
  learned.revision = revision;
  learned.content = statement.content;
  learned.inside = statement.inside;
  learned.header.issued_unix_ms = kNow - 1;
  learned.header.not_before_unix_ms = kNow - 1;
  learned.header.not_after_unix_ms = kNow + 86'400'000;
  return learned;
}

Bytes VerifierRig::Sign(reference::Reference reference) const {
  reference.header.signature_algorithms = approver.algorithms();
  return approver
      .Sign(document::kReferencePayloadType, reference::Encode(reference))
      .value();
}

absl::StatusOr<verification::Appraiser::Result> VerifierRig::Appraise(
    const Bytes& evidence) {
  return appraiser.Appraise({.evidence = evidence, .may = AllVms});
}

}  // namespace vmattest::testing
