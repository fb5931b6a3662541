// Hostile TPM structures. The first byte chooses the parser.

#include <cstdlib>

#include "evidence/tpm_structures.h"
#include "support/soft_tpm.h"

namespace vmattest {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void RunAttest(ByteView bytes) {
  const auto attest = evidence::ParseAttest(bytes);
  if (!attest.ok()) {
    return;
  }
  std::vector<PcrValues> values;
  for (const evidence::PcrSelection& selection : attest->pcr_selections) {
    PcrValues bank{.bank = selection.bank, .values = {}};
    for (const uint32_t index : selection.indexes) {
      bank.values[index] = Bytes(32, 1);
    }
    values.push_back(std::move(bank));
  }
  (void)evidence::PcrDigest(0x000B, attest->pcr_selections, values);
  (void)evidence::PcrDigest(attest->type, attest->pcr_selections, {});
}

void RunSignature(ByteView bytes) {
  const auto signature = evidence::ParseEcdsaSignature(bytes);
  if (!signature.ok()) {
    return;
  }
  const Bytes again = testing::EncodeEcdsaSignature(*signature);
  Require(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  static const auto& key = *new evidence::EccPublicArea(
      evidence::ParseEccPublic(testing::SoftKey().public_area()).value());
  Require(!VerifyEcdsa(key.key, Bytes(32, 7), signature->r, signature->s));
}

void RunPublic(ByteView bytes) {
  const auto name = evidence::NameOf(bytes);
  const auto area = evidence::ParseEccPublic(bytes);
  Require(!area.ok() || (name.ok() && *name == area->name));
  if (area.ok()) {
    (void)ToPem(area->key);
    (void)VerifyEcdsa(area->key, Bytes(32, 7), Bytes(32, 1), Bytes(32, 1));
    Require(
        evidence::PrimaryQualifiedName(evidence::kTpmRhEndorsement, area->name)
            .ok());
  }
  (void)evidence::PrimaryQualifiedName(1, bytes);
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const vmattest::ByteView rest(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      vmattest::RunAttest(rest);
      break;
    case 1:
      vmattest::RunSignature(rest);
      break;
    default:
      vmattest::RunPublic(rest);
      break;
  }
  return 0;
}
