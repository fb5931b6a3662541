#ifndef VMATTEST_TESTS_SUPPORT_EVIDENCE_BUILDER_H_
#define VMATTEST_TESTS_SUPPORT_EVIDENCE_BUILDER_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "crypto/ml_dsa.h"
#include "evidence/disclosure.h"
#include "evidence/evidence.h"
#include "evidence/statement.h"
#include "support/soft_tpm.h"

namespace vmattest::testing {

// Makes evidence that verifies, with every field free to be wrong: the edits
// run before what they change is signed, so the signatures stay sound.
class EvidenceBuilder {
 public:
  static constexpr int64_t kTimeUnixMs = 1'700'000'000'000;

  // `host` must outlive the builder.
  explicit EvidenceBuilder(const SoftHost& host);

  // Configuration leaves without the header leaf.
  std::vector<ConfigLeaf> leaves;
  // Below a tree leaf of each path, which Build() makes.
  std::map<std::string, std::vector<ConfigLeaf>> subtrees;
  Bytes vm_salt;           // empty: public leaves
  bool keep_back = false;  // no leaves in the file, and no salt
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  evidence::StatementHeader header;
  std::vector<evidence::CachedContent> cached;
  std::string payload_type;
  uint64_t batch_size = 1;
  uint64_t batch_index = 0;
  PcrValues pcrs;
  TpmClock quoted_at = {
      .clock_ms = 61'000, .reset_count = 7, .restart_count = 0, .safe = true};
  // The key that signs, and what it is certified for.
  KeyPurpose key = KeyPurpose::kConfig;
  // Signs beside the quote, if set; must outlive the builder.
  const MlDsaKey* ml_dsa = nullptr;
  std::function<void(evidence::ConfigStatement&)> edit_statement;
  std::function<void(evidence::Attest&)> edit_quote;
  std::function<void(evidence::Attest&)> edit_certification;

  [[nodiscard]] evidence::Evidence Build() const;
  // The same, as the bytes of a file.
  [[nodiscard]] Bytes BuildFile() const;
  // Single leaves of the same tree under the same envelope.
  [[nodiscard]] evidence::Disclosure BuildDisclosure(
      const std::vector<std::string>& paths) const;
  // The tree of all leaves, with its subtrees.
  [[nodiscard]] ConfigTree BuildTree() const;
  // Any payload, signed as a configuration is; without leaves.
  [[nodiscard]] evidence::Evidence Seal(std::string type, Bytes payload) const;

 private:
  [[nodiscard]] evidence::ConfigStatement BuildStatement(
      const ConfigTree& tree) const;
  [[nodiscard]] evidence::TpmQuoteSignature BuildQuote(
      const evidence::Envelope& envelope) const;
  [[nodiscard]] evidence::RawSignature BuildMlDsa(
      const evidence::Envelope& envelope) const;

  const SoftHost& host_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_EVIDENCE_BUILDER_H_
