#include "tpm/esys/esys_epochs.h"

#include <algorithm>
#include <tuple>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"

namespace vmattest::tpm {
namespace {

bool IsBefore(const KeyEpoch& a, const KeyEpoch& b) {
  return std::tie(a.certification.purpose, a.certification.epoch) <
         std::tie(b.certification.purpose, b.certification.epoch);
}

}  // namespace

uint32_t EpochHandle(uint32_t base, KeyPurpose purpose, uint32_t epoch) {
  return base + static_cast<uint32_t>(purpose) +
         kHandlesPerEpoch * ((epoch - 1) % kEpochSlots);
}

std::string EpochLabel(KeyPurpose purpose, uint32_t epoch) {
  return fmt::format("{}/{}", ToString(purpose), epoch);
}

bool IsKept(const KeyEpoch& key) {
  return key.state == KeyEpoch::State::kActive ||
         key.state == KeyEpoch::State::kOverlap;
}

KeyEpoch* FindEpoch(std::vector<KeyEpoch>& keys, KeyPurpose purpose,
                    uint32_t epoch) {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const KeyEpoch& key) {
        return key.certification.purpose == purpose &&
               key.certification.epoch == epoch;
      });
  return found == keys.end() ? nullptr : &*found;
}

KeyEpoch* FindActive(std::vector<KeyEpoch>& keys, KeyPurpose purpose) {
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const KeyEpoch& key) {
        return key.certification.purpose == purpose &&
               key.state == KeyEpoch::State::kActive;
      });
  return found == keys.end() ? nullptr : &*found;
}

uint32_t NextEpoch(const std::vector<KeyEpoch>& keys, KeyPurpose purpose) {
  uint32_t last = 0;
  for (const KeyEpoch& key : keys) {
    if (key.certification.purpose == purpose) {
      last = std::max(last, key.certification.epoch);
    }
  }
  return last + 1;
}

void InsertEpoch(std::vector<KeyEpoch>& keys, KeyEpoch key) {
  const auto after = std::upper_bound(keys.begin(), keys.end(), key, IsBefore);
  keys.insert(after, std::move(key));
}

std::vector<evidence::KeyCertification> ListedKeys(
    const std::vector<KeyEpoch>& keys, size_t max) {
  std::vector<const KeyEpoch*> believed;
  for (const KeyEpoch& key : keys) {
    if (key.state != KeyEpoch::State::kRevoked) {
      believed.push_back(&key);
    }
  }
  while (believed.size() > max) {
    believed.erase(
        std::min_element(believed.begin(), believed.end(),
                         [](const KeyEpoch* a, const KeyEpoch* b) {
                           return std::tuple(IsKept(*a), a->since_unix_ms) <
                                  std::tuple(IsKept(*b), b->since_unix_ms);
                         }));
  }
  std::vector<evidence::KeyCertification> listed;
  listed.reserve(believed.size());
  for (const KeyEpoch* key : believed) {
    listed.push_back(key->certification);
  }
  return listed;
}

bool IsWordOfAk(ByteView certify_info, ByteView signature, ByteView ak_public,
                ByteView key_public, ByteView expected) {
  const auto info = evidence::ParseAttest(certify_info);
  const auto parsed = evidence::ParseEcdsaSignature(signature);
  const auto ak = evidence::ParseEccPublic(ak_public);
  const auto name = evidence::NameOf(key_public);
  return info.ok() && parsed.ok() && ak.ok() && name.ok() &&
         info->magic == evidence::kTpmGenerated &&
         info->type == evidence::kTpmStAttestCertify &&
         info->extra_data == ToBytes(expected) &&
         info->certified_name == *name &&
         VerifyEcdsa(ak->key, Hash(HashAlgorithm::kSha256, certify_info),
                     parsed->r, parsed->s);
}

bool Certifies(const evidence::KeyCertification& certification,
               ByteView ak_public) {
  return IsWordOfAk(certification.certify_info, certification.signature,
                    ak_public, certification.public_area,
                    evidence::CertifyQualifyingData(certification.purpose,
                                                    certification.epoch));
}

}  // namespace vmattest::tpm
