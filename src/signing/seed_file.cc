#include "signing/seed_file.h"

#include <algorithm>

#include "crypto/ml_dsa.h"
#include "fmt/format.h"

namespace vmattest::signing {
namespace {

constexpr std::string_view kMagic("vmattest/sealed-seed/v1\0", 24);
constexpr size_t kMaxPart = 4096;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("sealed seed: {}", what));
}

bool IsPurpose(uint8_t value) {
  return value >= static_cast<uint8_t>(KeyPurpose::kConfig) &&
         value <= static_cast<uint8_t>(KeyPurpose::kAuthorization);
}

Bytes Sized(ByteReader& reader) {
  const uint32_t size = reader.U32();
  return size > kMaxPart ? (reader.Raw(SIZE_MAX), Bytes())
                         : ToBytes(reader.Raw(size));
}

}  // namespace

Bytes EncodeSeedFile(const tpm::SealedSeed& seed) {
  ByteWriter writer;
  writer.Raw(kMagic)
      .Sized(seed.key.algorithm)
      .U8(static_cast<uint8_t>(seed.key.purpose))
      .U32(seed.key.epoch)
      .Sized(seed.key.public_key)
      .Sized(seed.key.sealed_public)
      .Sized(seed.key.creation_data)
      .Sized(seed.key.certify_info)
      .Sized(seed.key.signature)
      .Sized(seed.private_area);
  return std::move(writer).Take();
}

absl::StatusOr<tpm::SealedSeed> ParseSeedFile(ByteView bytes) {
  ByteReader reader(bytes);
  if (AsText(reader.Raw(kMagic.size())) != kMagic) {
    return Malformed("no such file, or of another version");
  }
  tpm::SealedSeed seed;
  const Bytes algorithm = Sized(reader);
  seed.key.algorithm = AsText(algorithm);
  const uint8_t purpose = reader.U8();
  seed.key.epoch = reader.U32();
  for (Bytes* part :
       {&seed.key.public_key, &seed.key.sealed_public, &seed.key.creation_data,
        &seed.key.certify_info, &seed.key.signature, &seed.private_area}) {
    *part = Sized(reader);
  }
  if (!reader.AtEnd()) {
    return Malformed("truncated, too long, or a part is too large");
  }
  const auto level = ParseMlDsaLevel(seed.key.algorithm);
  if (!level || seed.key.public_key.size() != MlDsaPublicKeySize(*level)) {
    return Malformed("algorithm and public key do not fit");
  }
  if (!IsPurpose(purpose) || seed.key.epoch == 0) {
    return Malformed("no such purpose or epoch");
  }
  seed.key.purpose = static_cast<KeyPurpose>(purpose);
  return seed;
}

}  // namespace vmattest::signing
