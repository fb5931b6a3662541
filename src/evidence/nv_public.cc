#include "evidence/nv_public.h"

#include <fmt/format.h>

#include "crypto/tpm_digest.h"

namespace vmattest::evidence {

absl::StatusOr<NvPublic> ParseNvPublic(ByteView tpm2b_nv_public) {
  ByteReader reader(tpm2b_nv_public);
  const uint16_t size = reader.U16();
  const ByteView area = reader.Raw(size);
  if (!reader.AtEnd()) {
    return absl::InvalidArgumentError(
        "TPM2B_NV_PUBLIC: its size and its bytes do not agree");
  }
  ByteReader fields(area);
  NvPublic nv;
  nv.index = fields.U32();
  nv.name_algorithm = fields.U16();
  nv.attributes = fields.U32();
  const uint16_t policy_size = fields.U16();
  nv.auth_policy = ToBytes(fields.Raw(policy_size));
  nv.data_size = fields.U16();
  if (!fields.AtEnd()) {
    return absl::InvalidArgumentError(
        "TPM2B_NV_PUBLIC: truncated, or trailing bytes");
  }
  if (nv.name_algorithm != kTpmAlgIdSha256 &&
      nv.name_algorithm != kTpmAlgIdSha384) {
    return absl::InvalidArgumentError(
        fmt::format("TPM2B_NV_PUBLIC: name algorithm {:#06x} is not supported",
                    nv.name_algorithm));
  }
  ByteWriter name;
  name.U16(nv.name_algorithm).Raw(TpmHash(nv.name_algorithm, {area}));
  nv.name = std::move(name).Take();
  return nv;
}

}  // namespace vmattest::evidence
