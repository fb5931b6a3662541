#include "tpm/esys/esys_keys.h"

#include <tss2/tss2_mu.h>

#include <algorithm>
#include <cstring>

#include "crypto/digest.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "tpm/esys/handles.h"
#include "tpm/esys/scoped_auth.h"

namespace vmattest::tpm {
namespace {

constexpr TPMA_OBJECT kSigningAttributes =
    TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
    TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT;

// PolicyA and PolicyB of the EK Credential Profile: PolicySecret(endorsement),
// by SHA-256 and by SHA-384 with the owner's alternative.
constexpr std::string_view kPolicyASha256 =
    "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
constexpr std::string_view kPolicyBSha384 =
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09"
    "699646150f9fc000f3f80e12";

void SetPolicy(TPM2B_DIGEST& digest, std::string_view hex) {
  const Bytes policy = *ParseHex(hex);
  digest.size = static_cast<UINT16>(policy.size());
  std::copy(policy.begin(), policy.end(), digest.buffer);
}

TPM2B_PUBLIC EccEk(TPMI_ALG_HASH name_algorithm, TPM2_ECC_CURVE curve,
                   uint16_t aes_bits) {
  TPM2B_PUBLIC area{};
  TPMT_PUBLIC& key = area.publicArea;
  key.type = TPM2_ALG_ECC;
  key.nameAlg = name_algorithm;
  key.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                         TPMA_OBJECT_SENSITIVEDATAORIGIN |
                         TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED |
                         TPMA_OBJECT_DECRYPT;
  TPMS_ECC_PARMS& ecc = key.parameters.eccDetail;
  ecc.symmetric.algorithm = TPM2_ALG_AES;
  ecc.symmetric.keyBits.aes = aes_bits;
  ecc.symmetric.mode.aes = TPM2_ALG_CFB;
  ecc.scheme.scheme = TPM2_ALG_NULL;
  ecc.curveID = curve;
  ecc.kdf.scheme = TPM2_ALG_NULL;
  return area;
}

TPM2B_PUBLIC EkL2() {
  TPM2B_PUBLIC area = EccEk(TPM2_ALG_SHA256, TPM2_ECC_NIST_P256, 128);
  SetPolicy(area.publicArea.authPolicy, kPolicyASha256);
  // The low range templates have a unique field of zeros.
  area.publicArea.unique.ecc.x.size = 32;
  area.publicArea.unique.ecc.y.size = 32;
  return area;
}

TPM2B_PUBLIC EkH3() {
  TPM2B_PUBLIC area = EccEk(TPM2_ALG_SHA384, TPM2_ECC_NIST_P384, 256);
  area.publicArea.objectAttributes |= TPMA_OBJECT_USERWITHAUTH;
  SetPolicy(area.publicArea.authPolicy, kPolicyBSha384);
  return area;
}

TPM2B_PUBLIC SigningKeyTemplate(std::string_view label) {
  TPM2B_PUBLIC area{};
  TPMT_PUBLIC& key = area.publicArea;
  key.type = TPM2_ALG_ECC;
  key.nameAlg = TPM2_ALG_SHA256;
  key.objectAttributes = kSigningAttributes;
  TPMS_ECC_PARMS& ecc = key.parameters.eccDetail;
  ecc.symmetric.algorithm = TPM2_ALG_NULL;
  ecc.scheme.scheme = TPM2_ALG_ECDSA;
  ecc.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  ecc.curveID = TPM2_ECC_NIST_P256;
  ecc.kdf.scheme = TPM2_ALG_NULL;
  ByteWriter input;
  input.Raw("vmattest/tpm-key/v1").U8(0).Raw(label);
  const DigestBytes unique = Hash(HashAlgorithm::kSha256, input.bytes());
  key.unique.ecc.x.size = static_cast<UINT16>(unique.size());
  std::copy(unique.begin(), unique.end(), key.unique.ecc.x.buffer);
  return area;
}

absl::StatusOr<Bytes> EncodePublic(const TPM2B_PUBLIC& area) {
  Bytes bytes(sizeof(area));
  size_t size = 0;
  if (Tss2_MU_TPM2B_PUBLIC_Marshal(&area, bytes.data(), bytes.size(), &size) !=
      TSS2_RC_SUCCESS) {
    return absl::InternalError("a public area that does not marshal");
  }
  bytes.resize(size);
  return bytes;
}

// Whether `found` came from the template: all but the point itself.
absl::StatusOr<bool> MadeFrom(const TPM2B_PUBLIC& made_by, ByteView found) {
  TPM2B_PUBLIC area{};
  size_t offset = 0;
  if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(found.data(), found.size(), &offset,
                                     &area) != TSS2_RC_SUCCESS) {
    return absl::DataLossError("a public area that does not unmarshal");
  }
  TPM2B_PUBLIC expected = made_by;
  expected.size = 0;
  area.size = 0;
  if (area.publicArea.type != TPM2_ALG_ECC) {
    return false;
  }
  area.publicArea.unique = {};
  expected.publicArea.unique = {};
  ASSIGN_OR_RETURN(const Bytes left, EncodePublic(area));
  ASSIGN_OR_RETURN(const Bytes right, EncodePublic(expected));
  return left == right;
}

absl::StatusOr<ESYS_TR> CreatePrimary(EsysContext& context, ESYS_TR session,
                                      const TPM2B_PUBLIC& area,
                                      const SecretBytes& auth) {
  struct Sensitive {
    TPM2B_SENSITIVE_CREATE value{};
    ~Sensitive() { explicit_bzero(&value, sizeof(value)); }
  } sensitive;
  const ScopedAuth user_auth(auth);
  sensitive.value.sensitive.userAuth = user_auth.get();
  const TPM2B_DATA no_outside_info{};
  const TPML_PCR_SELECTION no_pcrs{};
  ESYS_TR object = ESYS_TR_NONE;
  RETURN_IF_ERROR(context.CallAsOwner("creating a key", [&] {
    return Esys_CreatePrimary(context.get(), ESYS_TR_RH_ENDORSEMENT, session,
                              ESYS_TR_NONE, ESYS_TR_NONE, &sensitive.value,
                              &area, &no_outside_info, &no_pcrs, &object,
                              nullptr, nullptr, nullptr, nullptr);
  }));
  return object;
}

// The persistent objects that are there, for whoever has to make room.
absl::Status NoRoom(EsysContext& context, EsysSession& session,
                    const absl::Status& status) {
  ASSIGN_OR_RETURN(const std::vector<TPM2_HANDLE> handles,
                   context.Handles(TPM2_PERSISTENT_FIRST, session.Auditing()));
  std::string list;
  for (const TPM2_HANDLE handle : handles) {
    list += fmt::format("{}{:#x}", list.empty() ? "" : ", ", handle);
  }
  return absl::ResourceExhaustedError(fmt::format(
      "{}: retire keys that are in overlap, or remove persistent objects that "
      "nobody uses (tpm2_evictcontrol -c HANDLE); there are {}",
      std::string_view(status.message().data(), status.message().size()),
      list));
}

absl::StatusOr<ESYS_TR> Persist(EsysContext& context, EsysSession& session,
                                ESYS_TR transient, TPM2_HANDLE handle) {
  ESYS_TR persistent = ESYS_TR_NONE;
  const absl::Status kept =
      context.CallAsOwner(fmt::format("keeping a key at {:#x}", handle), [&] {
        return Esys_EvictControl(context.get(), ESYS_TR_RH_OWNER, transient,
                                 session.Auditing(), ESYS_TR_NONE, ESYS_TR_NONE,
                                 handle, &persistent);
      });
  if (absl::IsResourceExhausted(kept)) {
    return NoRoom(context, session, kept);
  }
  RETURN_IF_ERROR(kept);
  return persistent;
}

absl::StatusOr<ESYS_TR> CreateSigningKey(
    EsysContext& context, EsysSession& session, std::string_view label,
    const KeyAuthorizations& authorizations) {
  RETURN_IF_ERROR(
      SetAuth(context, ESYS_TR_RH_ENDORSEMENT, authorizations.endorsement));
  return CreatePrimary(context, session.Encrypting(), SigningKeyTemplate(label),
                       DeriveAuth(authorizations.key, label));
}

absl::StatusOr<Bytes> NameOfObject(const EsysContext& context, ESYS_TR object) {
  ASSIGN_OR_RETURN(const Bytes area, context.PublicArea(object));
  return evidence::NameOf(area);
}

}  // namespace

const std::vector<EkTemplate>& EkTemplates() {
  static const std::vector<EkTemplate> templates = {{"L-2", 0x01C0000A, EkL2},
                                                    {"H-3", 0x01C00016, EkH3}};
  return templates;
}

absl::StatusOr<LoadedEk> LoadEk(EsysContext& context,
                                const EkTemplate& ek_template,
                                const SecretBytes& endorsement_auth) {
  const TPM2B_PUBLIC area = ek_template.make();
  const absl::StatusOr<ESYS_TR> found =
      context.Find(kPersistentEccEk, "finding the endorsement key");
  if (found.ok()) {
    ASSIGN_OR_RETURN(Bytes public_area, context.PublicArea(*found));
    ASSIGN_OR_RETURN(const bool is_ours, MadeFrom(area, public_area));
    if (is_ours) {
      return LoadedEk{TransientObject(context, ESYS_TR_NONE), *found,
                      std::move(public_area)};
    }
  } else if (context.fault() != EsysFault::kNoHandle) {
    return found.status();
  }
  RETURN_IF_ERROR(SetAuth(context, ESYS_TR_RH_ENDORSEMENT, endorsement_auth));
  ASSIGN_OR_RETURN(const std::unique_ptr<EsysSession> session,
                   EsysSession::Start(context, ESYS_TR_NONE));
  ASSIGN_OR_RETURN_WITH(
      const ESYS_TR object,
      CreatePrimary(context, session->Encrypting(), area, SecretBytes()),
      "endorsement key");
  TransientObject scope(context, object);
  ASSIGN_OR_RETURN(Bytes public_area, context.PublicArea(object));
  return LoadedEk{std::move(scope), object, std::move(public_area)};
}

absl::StatusOr<bool> HasEkCertificate(EsysContext& context,
                                      const EkTemplate& ek_template) {
  ASSIGN_OR_RETURN(const std::vector<TPM2_HANDLE> indexes,
                   context.Handles(ek_template.certificate));
  return !indexes.empty() && indexes.front() == ek_template.certificate;
}

absl::StatusOr<Bytes> ReadEkCertificate(EsysContext& context,
                                        const EkTemplate& ek_template,
                                        EsysSession& session) {
  constexpr size_t kChunk = 512;
  ASSIGN_OR_RETURN(const bool exists, HasEkCertificate(context, ek_template));
  if (!exists) {
    return Bytes();
  }
  const std::string_view doing = "reading the EK certificate";
  ASSIGN_OR_RETURN(const ESYS_TR index,
                   context.Find(ek_template.certificate, doing));
  EsysPtr<TPM2B_NV_PUBLIC> area;
  RETURN_IF_ERROR(context.Call(doing, [&] {
    return Esys_NV_ReadPublic(context.get(), index,
                              session.EncryptingResponse(), ESYS_TR_NONE,
                              ESYS_TR_NONE, EsysOut(area), nullptr);
  }));
  const size_t size = area->nvPublic.dataSize;
  Bytes certificate;
  while (certificate.size() < size) {
    EsysPtr<TPM2B_MAX_NV_BUFFER> part;
    const auto offset = static_cast<UINT16>(certificate.size());
    const auto want = static_cast<UINT16>(std::min(kChunk, size - offset));
    RETURN_IF_ERROR(context.Call(doing, [&] {
      return Esys_NV_Read(context.get(), index, index,
                          session.EncryptingResponse(), ESYS_TR_NONE,
                          ESYS_TR_NONE, want, offset, EsysOut(part));
    }));
    if (part->size != want) {
      return absl::DataLossError("a short read of the EK certificate");
    }
    certificate.insert(certificate.end(), part->buffer,
                       part->buffer + part->size);
  }
  return certificate;
}

absl::StatusOr<SigningKey> LoadOrCreateSigningKey(
    EsysContext& context, EsysSession& session, const SigningKeySpec& spec,
    const KeyAuthorizations& authorizations) {
  const TPM2B_PUBLIC area = SigningKeyTemplate(spec.label);
  SigningKey key;
  const std::string doing = fmt::format("finding key {}", spec.label);
  absl::StatusOr<ESYS_TR> found = context.Find(spec.handle, doing);
  if (!found.ok() && context.fault() == EsysFault::kNoHandle) {
    ASSIGN_OR_RETURN_WITH(
        const ESYS_TR transient,
        CreateSigningKey(context, session, spec.label, authorizations),
        spec.label);
    const TransientObject scope(context, transient);
    RETURN_IF_ERROR(SetAuth(context, ESYS_TR_RH_OWNER, authorizations.owner));
    found = Persist(context, session, transient, spec.handle);
  }
  RETURN_IF_ERROR(found.status());
  key.object = *found;
  ASSIGN_OR_RETURN(key.public_area, context.PublicArea(key.object));
  ASSIGN_OR_RETURN(const bool is_ours, MadeFrom(area, key.public_area));
  if (!is_ours) {
    return absl::FailedPreconditionError(fmt::format(
        "TPM handle {:#x} holds an object that is not vmattest's {} key: "
        "choose another base for the handles, or remove it",
        spec.handle, spec.label));
  }
  ASSIGN_OR_RETURN(key.name, evidence::NameOf(key.public_area));
  RETURN_IF_ERROR(
      SetAuth(context, key.object, DeriveAuth(authorizations.key, spec.label)));
  return key;
}

absl::StatusOr<bool> EvictIfNamed(EsysContext& context, EsysSession& session,
                                  TPM2_HANDLE handle, ByteView name,
                                  const SecretBytes& owner_auth) {
  const std::string doing = fmt::format("removing the key at {:#x}", handle);
  const absl::StatusOr<ESYS_TR> found = context.Find(handle, doing);
  if (!found.ok() && context.fault() == EsysFault::kNoHandle) {
    return false;
  }
  RETURN_IF_ERROR(found.status());
  ASSIGN_OR_RETURN(const Bytes found_name, NameOfObject(context, *found));
  if (!std::equal(name.begin(), name.end(), found_name.begin(),
                  found_name.end())) {
    context.Forget(*found);
    return false;
  }
  RETURN_IF_ERROR(SetAuth(context, ESYS_TR_RH_OWNER, owner_auth));
  ESYS_TR nothing = ESYS_TR_NONE;
  RETURN_IF_ERROR(context.CallAsOwner(doing, [&] {
    return Esys_EvictControl(context.get(), ESYS_TR_RH_OWNER, *found,
                             session.Auditing(), ESYS_TR_NONE, ESYS_TR_NONE,
                             handle, &nothing);
  }));
  return true;
}

absl::StatusOr<bool> EvictIfMade(EsysContext& context, EsysSession& session,
                                 const SigningKeySpec& spec,
                                 const KeyAuthorizations& authorizations) {
  Bytes name;
  {
    ASSIGN_OR_RETURN_WITH(
        const ESYS_TR made,
        CreateSigningKey(context, session, spec.label, authorizations),
        spec.label);
    const TransientObject scope(context, made);
    ASSIGN_OR_RETURN(name, NameOfObject(context, made));
  }
  return EvictIfNamed(context, session, spec.handle, name,
                      authorizations.owner);
}

absl::Status SetAuth(EsysContext& context, ESYS_TR object,
                     const SecretBytes& value) {
  const ScopedAuth auth(value);
  return context.Call("setting an authorisation", [&] {
    return Esys_TR_SetAuth(context.get(), object, &auth.get());
  });
}

SecretBytes DeriveAuth(const SecretBytes& key_auth, std::string_view label) {
  ByteWriter input;
  input.Raw("vmattest/tpm-auth/v1").U8(0).Raw(label);
  Bytes value = HmacSha256(key_auth, input.bytes());
  value.back() |= 1;
  return SecretBytes(std::move(value));
}

absl::StatusOr<Certification> CertifyKey(
    EsysContext& context, EsysSession& key_session, EsysSession& ak_session,
    const SigningKey& key, const SigningKey& ak, ByteView qualifying_data) {
  TPM2B_DATA data{};
  data.size = static_cast<UINT16>(qualifying_data.size());
  std::copy(qualifying_data.begin(), qualifying_data.end(), data.buffer);
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_NULL;
  EsysPtr<TPM2B_ATTEST> info;
  EsysPtr<TPMT_SIGNATURE> signature;
  RETURN_IF_ERROR(context.Call("certifying a purpose key", [&] {
    return Esys_Certify(context.get(), key.object, ak.object,
                        key_session.Encrypting(), ak_session.Plain(),
                        ESYS_TR_NONE, &data, &scheme, EsysOut(info),
                        EsysOut(signature));
  }));
  Certification certification;
  certification.certify_info.assign(info->attestationData,
                                    info->attestationData + info->size);
  ASSIGN_OR_RETURN(certification.signature, EncodeSignature(*signature));
  return certification;
}

absl::StatusOr<Bytes> EncodeSignature(const TPMT_SIGNATURE& signature) {
  Bytes bytes(sizeof(signature));
  size_t size = 0;
  if (Tss2_MU_TPMT_SIGNATURE_Marshal(&signature, bytes.data(), bytes.size(),
                                     &size) != TSS2_RC_SUCCESS) {
    return absl::DataLossError("a signature that does not marshal");
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace vmattest::tpm
