#include "support/evidence_builder.h"

#include <fmt/format.h>

#include "crypto/digest.h"
#include "evidence/config_tree.h"
#include "merkle/tree.h"
#include "wire/codec.h"

namespace vmattest::testing {

EvidenceBuilder::EvidenceBuilder(const SoftHost& host)
    : payload_type(evidence::kConfigPayloadType), host_(host) {
  leaves = {
      {"cpu/count", LeafType::kInteger, "2"},
      {"disk/vda/source/file", LeafType::kText, "/images/web.qcow2"},
      {"disk/vda/digest", LeafType::kDigest, "sha256:" + std::string(64, 'a')},
      {"memory/max", LeafType::kSize, "536870912"},
      {"name", LeafType::kText, "web-1"}};
  header.module_version = "0.1.0";
  header.host_id = host.host_id();
  header.vm_uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f";
  header.vm_name = "web-1";
  header.nonce = Bytes(32, 0x5A);
  header.time_unix_ms = kTimeUnixMs;
  header.measured_at = {
      .clock_ms = 60'000, .reset_count = 7, .restart_count = 0, .safe = true};
  header.signature_algorithms = {std::string(evidence::kTpmQuoteAlgorithm)};
  header.sequence = 1;
  pcrs.bank = kTpmAlgSha256;
  for (uint32_t index = 0; index < 8; ++index) {
    pcrs.values[index] =
        Hash(HashAlgorithm::kSha256, AsBytes(fmt::format("boot {}", index)));
  }
  pcrs.values[13] = DigestBytes(32, 0);
}

ConfigTree EvidenceBuilder::BuildTree() const {
  const SecretBytes salt(Bytes{vm_salt});
  std::vector<ConfigLeaf> all = leaves;
  std::vector<ConfigSubtree> built;
  for (const auto& [path, below] : subtrees) {
    evidence::BuiltSubtree subtree =
        evidence::BuildSubtree(algorithm, path, below, salt).value();
    all.push_back(std::move(subtree.leaf));
    built.push_back(std::move(subtree.subtree));
  }
  ConfigTree tree =
      evidence::BuildConfigTree(algorithm, std::move(all), salt).value();
  tree.subtrees = std::move(built);
  return tree;
}

evidence::ConfigStatement EvidenceBuilder::BuildStatement(
    const ConfigTree& tree) const {
  evidence::ConfigStatement statement;
  statement.header = header;
  if (ml_dsa != nullptr) {
    statement.header.signature_algorithms.emplace_back(
        ToString(ml_dsa->level()));
  }
  statement.algorithm = algorithm;
  statement.leaf_count = tree.leaves.size();
  statement.root = tree.root;
  statement.salt_id = evidence::SaltId(SecretBytes(Bytes{vm_salt}));
  statement.content = "full";
  statement.xml_kind = "live";
  statement.vm_state = "running";
  statement.cached = cached;
  if (edit_statement) {
    edit_statement(statement);
  }
  return statement;
}

evidence::TpmQuoteSignature EvidenceBuilder::BuildQuote(
    const evidence::Envelope& envelope) const {
  std::vector<DigestBytes> batch;
  for (uint64_t i = 0; i < batch_size; ++i) {
    batch.push_back(evidence::BatchLeaf(
        Hash(HashAlgorithm::kSha256, AsBytes(fmt::format("other {}", i)))));
  }
  batch.at(batch_index) = evidence::BatchLeaf(
      Hash(HashAlgorithm::kSha256,
           evidence::PreAuthEncoding(envelope.payload_type, envelope.payload)));
  const merkle::Tree tree(HashAlgorithm::kSha256, std::move(batch));
  const SoftKey& signer = host_.purpose_keys.at(key);
  evidence::Attest attest;
  attest.magic = evidence::kTpmGenerated;
  attest.type = evidence::kTpmStAttestQuote;
  attest.qualified_signer = signer.qualified_name();
  attest.extra_data = evidence::QualifyingData(key, tree.Root(), batch_size);
  attest.clock = quoted_at;
  attest.firmware_version = 0x2024'0123'0000'0000;
  attest.pcr_selections = {{.bank = pcrs.bank}};
  for (const auto& [index, value] : pcrs.values) {
    attest.pcr_selections.front().indexes.push_back(index);
  }
  attest.pcr_digest =
      evidence::PcrDigest(kTpmAlgSha256, attest.pcr_selections, {pcrs}).value();
  if (edit_quote) {
    edit_quote(attest);
  }
  evidence::TpmQuoteSignature quote;
  quote.key_name = signer.name();
  quote.quoted = EncodeAttest(attest);
  quote.signature = signer.Sign(quote.quoted);
  quote.pcr_banks = {pcrs};
  quote.batch = {.index = batch_index,
                 .size = batch_size,
                 .path = tree.InclusionProof(batch_index)};
  return quote;
}

evidence::RawSignature EvidenceBuilder::BuildMlDsa(
    const evidence::Envelope& envelope) const {
  return {.key_id = ml_dsa->key_id(),
          .signature = ml_dsa
                           ->Sign(evidence::PreAuthEncoding(
                                      envelope.payload_type, envelope.payload),
                                  evidence::kMlDsaContext)
                           .value()};
}

evidence::Evidence EvidenceBuilder::Build() const {
  const ConfigTree tree = BuildTree();
  evidence::Evidence evidence =
      Seal(payload_type, wire::EncodeConfigStatement(BuildStatement(tree)));
  if (!keep_back) {
    evidence.leaves = tree.leaves;
    evidence.subtrees = tree.subtrees;
    evidence.vm_salt = vm_salt;
  }
  return evidence;
}

evidence::Disclosure EvidenceBuilder::BuildDisclosure(
    const std::vector<std::string>& paths) const {
  const ConfigTree tree = BuildTree();
  const SecretBytes salt(Bytes{vm_salt});
  evidence::Evidence evidence = Build();
  evidence::Disclosure disclosure;
  disclosure.envelope = std::move(evidence.envelope);
  disclosure.keys = std::move(evidence.keys);
  for (const std::string& path : paths) {
    disclosure.leaves.push_back(evidence::Disclose(tree, salt, path).value());
  }
  return disclosure;
}

evidence::Evidence EvidenceBuilder::Seal(std::string type,
                                         Bytes payload) const {
  evidence::Evidence evidence;
  evidence.envelope.payload_type = std::move(type);
  evidence.envelope.payload = std::move(payload);
  evidence.envelope.signatures.push_back(
      {.algorithm = std::string(evidence::kTpmQuoteAlgorithm),
       .body = BuildQuote(evidence.envelope)});
  if (ml_dsa != nullptr) {
    evidence.envelope.signatures.push_back(
        {.algorithm = std::string(ToString(ml_dsa->level())),
         .body = BuildMlDsa(evidence.envelope)});
  }
  const SoftKey& signer = host_.purpose_keys.at(key);
  evidence::Attest certification = host_.CertifyInfo(key, signer);
  if (edit_certification) {
    edit_certification(certification);
  }
  evidence.keys.push_back(host_.CertifyWith(key, signer, certification));
  return evidence;
}

Bytes EvidenceBuilder::BuildFile() const {
  return wire::EncodeEvidence(Build());
}

}  // namespace vmattest::testing
