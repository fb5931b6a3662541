#include "tpm/esys/esys_log.h"

#include <algorithm>
#include <optional>

#include "crypto/digest.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/handles.h"

namespace vmattest::tpm {
namespace {

constexpr uint32_t kFirstStaticPcr = 8;  // those before are firmware's
constexpr uint32_t kLastStaticPcr = 15;
constexpr uint32_t kImaPcr = 10;
constexpr uint16_t kHeadSize = 32;
constexpr uint16_t kAnchorSize = 8 + kHeadSize;
constexpr uint16_t kCounterSize = 8;

std::optional<HashAlgorithm> AlgorithmOf(uint16_t bank) {
  switch (bank) {
    case TPM2_ALG_SHA256:
      return HashAlgorithm::kSha256;
    case TPM2_ALG_SHA384:
      return HashAlgorithm::kSha384;
    case TPM2_ALG_SHA512:
      return HashAlgorithm::kSha512;
    default:
      return std::nullopt;
  }
}

Bytes Encode(const LogAnchor& anchor) {
  ByteWriter writer;
  writer.U64(anchor.size).Raw(anchor.head);
  return std::move(writer).Take();
}

}  // namespace

NvSpec LogAnchorSpec(TPM2_HANDLE handle) {
  return {.label = "log-anchor", .handle = handle, .size = kAnchorSize};
}

NvSpec BootCounterSpec(TPM2_HANDLE handle) {
  return {.label = "boot-counter",
          .handle = handle,
          .is_counter = true,
          .size = kCounterSize};
}

absl::Status CheckLogPcr(uint32_t pcr) {
  if (pcr < kFirstStaticPcr || pcr > kLastStaticPcr || pcr == kImaPcr) {
    return absl::InvalidArgumentError(fmt::format(
        "PCR {} cannot be the event log's: PCRs 0 to 7 are the firmware's, 10 "
        "is the kernel's, those from 16 on can be reset while the host runs",
        pcr));
  }
  return absl::OkStatus();
}

absl::StatusOr<Bytes> Extended(uint16_t bank, ByteView pcr, ByteView digest) {
  const std::optional<HashAlgorithm> algorithm = AlgorithmOf(bank);
  if (!algorithm) {
    return absl::InvalidArgumentError(
        fmt::format("PCR bank {:#06x} cannot carry the event log", bank));
  }
  if (digest.size() != DigestSize(*algorithm)) {
    return absl::InvalidArgumentError(
        fmt::format("a record's digest of {} bytes for a bank of {}",
                    digest.size(), ToString(*algorithm)));
  }
  return HashParts(*algorithm, {pcr, digest});
}

absl::Status ExtendPcr(EsysContext& context, EsysSession& session, uint32_t pcr,
                       uint16_t bank, ByteView digest) {
  TPML_DIGEST_VALUES digests{};
  digests.count = 1;
  digests.digests[0].hashAlg = bank;
  // All algorithms' members begin at the union's first byte.
  std::copy_n(digest.begin(),
              std::min(digest.size(), sizeof(digests.digests[0].digest)),
              reinterpret_cast<uint8_t*>(&digests.digests[0].digest));
  return context.Call("extending the log PCR", [&] {
    return Esys_PCR_Extend(context.get(), ESYS_TR_PCR0 + pcr,
                           session.Auditing(), ESYS_TR_NONE, ESYS_TR_NONE,
                           &digests);
  });
}

absl::StatusOr<LogAnchor> ReadAnchor(EsysContext& context, EsysSession& session,
                                     const NvIndex& index) {
  ASSIGN_OR_RETURN(const Bytes contents,
                   ReadNv(context, session, index, kAnchorSize));
  ByteReader reader(contents);
  LogAnchor anchor;
  anchor.size = reader.U64();
  anchor.head = ToBytes(reader.Raw(kHeadSize));
  return anchor;
}

absl::Status WriteAnchor(EsysContext& context, EsysSession& session,
                         const NvIndex& index, const LogAnchor& anchor) {
  return WriteNv(context, session, index, Encode(anchor));
}

absl::StatusOr<uint64_t> ReadCounter(EsysContext& context, EsysSession& session,
                                     const NvIndex& index) {
  ASSIGN_OR_RETURN(const Bytes contents,
                   ReadNv(context, session, index, kCounterSize));
  return ByteReader(contents).U64();
}

absl::StatusOr<evidence::AnchorCertification> CertifyAnchor(
    EsysContext& context, EsysSession& session, const SigningKey& ak,
    const NvSpec& spec, const NvIndex& index, ByteView qualifying_data) {
  TPM2B_DATA data{};
  data.size = static_cast<UINT16>(qualifying_data.size());
  std::copy(qualifying_data.begin(), qualifying_data.end(), data.buffer);
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_NULL;
  ASSIGN_OR_RETURN(const std::unique_ptr<EsysSession> index_session,
                   EsysSession::Start(context, ESYS_TR_NONE));
  EsysPtr<TPM2B_ATTEST> info;
  EsysPtr<TPMT_SIGNATURE> signature;
  RETURN_IF_ERROR(context.Call("certifying the log's anchor", [&] {
    return Esys_NV_Certify(context.get(), ak.object, index.object, index.object,
                           session.Encrypting(), index_session->Plain(),
                           ESYS_TR_NONE, &data, &scheme, spec.size, 0,
                           EsysOut(info), EsysOut(signature));
  }));
  evidence::AnchorCertification certification;
  certification.certify_info.assign(info->attestationData,
                                    info->attestationData + info->size);
  ASSIGN_OR_RETURN(certification.signature, EncodeSignature(*signature));
  ASSIGN_OR_RETURN(certification.nv_public, WrittenPublic(spec));
  ASSIGN_OR_RETURN(const Bytes name, NvName(certification.nv_public));
  ASSIGN_OR_RETURN(
      const Bytes signer,
      evidence::PrimaryQualifiedName(evidence::kTpmRhEndorsement, ak.name));
  const absl::StatusOr<evidence::Attest> attest =
      evidence::ParseAttest(certification.certify_info);
  if (!attest.ok() || attest->magic != evidence::kTpmGenerated ||
      attest->type != evidence::kTpmStAttestNv ||
      attest->qualified_signer != signer ||
      attest->extra_data != ToBytes(qualifying_data) ||
      attest->nv_index_name != name || attest->nv_offset != 0 ||
      attest->nv_contents.size() != spec.size) {
    return absl::DataLossError("a certification that answers another question");
  }
  return certification;
}

}  // namespace vmattest::tpm
