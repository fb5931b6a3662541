#include "tpm/esys/esys_seal.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "evidence/seal_authority.h"
#include "fmt/format.h"
#include "tpm/esys/esys_quote.h"
#include "tpm/esys/handles.h"
#include "tpm/esys/scoped_auth.h"
#include "tpm/esys/seal_counter.h"

namespace vmattest::tpm {
namespace {

constexpr std::string_view kSeedLabel = "seed";
constexpr size_t kSeedSize = 32;
constexpr int kRaceTries = 8;
constexpr size_t kSelectBytes = 3;
constexpr TSS2_RC kFormatOne = 0x080;
constexpr TSS2_RC kFormatOneCode = 0x0BF;

// Without layer, and without the number of a parameter, handle or session.
TSS2_RC Bare(TSS2_RC code) {
  code &= ~TSS2_RC_LAYER_MASK;
  return (code & kFormatOne) != 0 ? code & kFormatOneCode : code;
}

template <class Sized>
void Fill(Sized& target, ByteView bytes) {
  target.size = static_cast<UINT16>(std::min(bytes.size(), sizeof(target) - 2));
  std::copy_n(bytes.begin(), target.size,
              reinterpret_cast<BYTE*>(&target) + sizeof(target.size));
}

template <class T>
absl::StatusOr<Bytes> Marshal(const T& value,
                              TSS2_RC (*marshal)(const T*, uint8_t[], size_t,
                                                 size_t*)) {
  Bytes bytes(sizeof(value));
  size_t size = 0;
  if (marshal(&value, bytes.data(), bytes.size(), &size) != TSS2_RC_SUCCESS) {
    return absl::InternalError("a TPM structure that does not marshal");
  }
  bytes.resize(size);
  return bytes;
}

template <class T>
absl::StatusOr<T> Unmarshal(ByteView bytes, std::string_view what,
                            TSS2_RC (*unmarshal)(const uint8_t[], size_t,
                                                 size_t*, T*)) {
  T value{};
  size_t offset = 0;
  if (unmarshal(bytes.data(), bytes.size(), &offset, &value) !=
          TSS2_RC_SUCCESS ||
      offset != bytes.size()) {
    return absl::InvalidArgumentError(fmt::format("{}: malformed", what));
  }
  return value;
}

TPML_PCR_SELECTION ToTss(uint16_t bank, const std::vector<uint32_t>& indexes) {
  TPML_PCR_SELECTION list{};
  list.count = 1;
  list.pcrSelections[0].hash = bank;
  list.pcrSelections[0].sizeofSelect = kSelectBytes;
  for (const uint32_t index : indexes) {
    list.pcrSelections[0].pcrSelect[index / 8] |=
        static_cast<BYTE>(1U << (index % 8));
  }
  return list;
}

// The TCG's template of a P-256 storage primary: the same key each time.
TPM2B_PUBLIC StoragePrimary() {
  TPM2B_PUBLIC area{};
  TPMT_PUBLIC& key = area.publicArea;
  key.type = TPM2_ALG_ECC;
  key.nameAlg = TPM2_ALG_SHA256;
  key.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                         TPMA_OBJECT_SENSITIVEDATAORIGIN |
                         TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                         TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  TPMS_ECC_PARMS& ecc = key.parameters.eccDetail;
  ecc.symmetric.algorithm = TPM2_ALG_AES;
  ecc.symmetric.keyBits.aes = 128;
  ecc.symmetric.mode.aes = TPM2_ALG_CFB;
  ecc.scheme.scheme = TPM2_ALG_NULL;
  ecc.curveID = TPM2_ECC_NIST_P256;
  ecc.kdf.scheme = TPM2_ALG_NULL;
  key.unique.ecc.x.size = 32;
  key.unique.ecc.y.size = 32;
  return area;
}

absl::StatusOr<TransientObject> MakeStoragePrimary(const SealTools& tools) {
  EsysContext& context = tools.context;
  RETURN_IF_ERROR(SetAuth(context, ESYS_TR_RH_OWNER, tools.owner_auth));
  const TPM2B_PUBLIC area = StoragePrimary();
  const TPM2B_SENSITIVE_CREATE no_auth{};
  const TPM2B_DATA no_outside_info{};
  const TPML_PCR_SELECTION no_pcrs{};
  ESYS_TR object = ESYS_TR_NONE;
  RETURN_IF_ERROR(context.CallAsOwner("creating a storage primary", [&] {
    return Esys_CreatePrimary(
        context.get(), ESYS_TR_RH_OWNER, tools.session.Encrypting(),
        ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &area, &no_outside_info, &no_pcrs,
        &object, nullptr, nullptr, nullptr, nullptr);
  }));
  return TransientObject(context, object);
}

absl::StatusOr<TransientObject> LoadSeed(const SealTools& tools, ESYS_TR parent,
                                         const TPM2B_PRIVATE& private_area,
                                         const TPM2B_PUBLIC& public_area) {
  EsysContext& context = tools.context;
  ESYS_TR object = ESYS_TR_NONE;
  TSS2_RC code = TSS2_RC_SUCCESS;
  const absl::Status loaded = context.Call("loading a sealed seed", [&] {
    return code = Esys_Load(context.get(), parent, tools.session.Encrypting(),
                            ESYS_TR_NONE, ESYS_TR_NONE, &private_area,
                            &public_area, &object);
  });
  if (!loaded.ok() && Bare(code) == TPM2_RC_INTEGRITY) {
    return absl::FailedPreconditionError(
        "the seed was not sealed by this TPM, or its TPM was cleared");
  }
  RETURN_IF_ERROR(loaded);
  return TransientObject(context, object);
}

TPM2B_PUBLIC SeedTemplate(const DigestBytes& policy) {
  TPM2B_PUBLIC area{};
  area.publicArea.type = TPM2_ALG_KEYEDHASH;
  area.publicArea.nameAlg = TPM2_ALG_SHA256;
  area.publicArea.objectAttributes =
      TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
      TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_NODA;
  Fill(area.publicArea.authPolicy, policy);
  area.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
  return area;
}

struct CreatedSeed {
  EsysPtr<TPM2B_PRIVATE> private_area;
  EsysPtr<TPM2B_PUBLIC> public_area;
  EsysPtr<TPM2B_CREATION_DATA> creation_data;
  EsysPtr<TPM2B_DIGEST> creation_hash;
  EsysPtr<TPMT_TK_CREATION> ticket;
};

absl::StatusOr<CreatedSeed> CreateSeed(const SealTools& tools, ESYS_TR parent,
                                       const TPM2B_PUBLIC& area,
                                       const DigestBytes& outside_info,
                                       const SecretBytes& seed) {
  struct Sensitive {
    TPM2B_SENSITIVE_CREATE value{};
    ~Sensitive() { explicit_bzero(&value, sizeof(value)); }
  } sensitive;
  const ScopedAuth auth(DeriveAuth(tools.key_auth, kSeedLabel));
  sensitive.value.sensitive.userAuth = auth.get();
  Fill(sensitive.value.sensitive.data, seed.Reveal(SecretAccess()));
  TPM2B_DATA outside{};
  Fill(outside, outside_info);
  const TPML_PCR_SELECTION pcrs = ToTss(tools.pcrs.bank, tools.pcrs.indexes);
  EsysContext& context = tools.context;
  CreatedSeed made;
  RETURN_IF_ERROR(context.Call("sealing a seed", [&] {
    return Esys_Create(context.get(), parent, tools.session.Encrypting(),
                       ESYS_TR_NONE, ESYS_TR_NONE, &sensitive.value, &area,
                       &outside, &pcrs, EsysOut(made.private_area),
                       EsysOut(made.public_area), EsysOut(made.creation_data),
                       EsysOut(made.creation_hash), EsysOut(made.ticket));
  }));
  return made;
}

absl::Status CertifySeed(const SealTools& tools, ESYS_TR object,
                         const CreatedSeed& made, ByteView qualifying_data,
                         evidence::PqKey& key) {
  TPM2B_DATA data{};
  Fill(data, qualifying_data);
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_NULL;
  EsysContext& context = tools.context;
  EsysPtr<TPM2B_ATTEST> info;
  EsysPtr<TPMT_SIGNATURE> signature;
  RETURN_IF_ERROR(context.Call("certifying a sealed seed", [&] {
    return Esys_CertifyCreation(
        context.get(), tools.ak.object, object, tools.session.Encrypting(),
        ESYS_TR_NONE, ESYS_TR_NONE, &data, made.creation_hash.get(), &scheme,
        made.ticket.get(), EsysOut(info), EsysOut(signature));
  }));
  key.certify_info.assign(info->attestationData,
                          info->attestationData + info->size);
  ASSIGN_OR_RETURN(key.signature, EncodeSignature(*signature));
  return absl::OkStatus();
}

absl::Status Unapproved(std::string_view why) {
  return absl::PermissionDeniedError(fmt::format("unapproved boot: {}", why));
}

// Why an approval does not fit what `now` is; empty if it may.
struct Refusal {
  int closeness = 0;  // the closest one is worth telling
  std::string why;
};

Refusal Compare(const SealTools& tools, KeyPurpose purpose,
                const SealRegisters& now,
                const evidence::SealApproval& approval) {
  if (approval.host_id != tools.host_id || approval.purpose != purpose) {
    return {1, fmt::format("an approval is for purpose {} of host {}",
                           ToString(approval.purpose), approval.host_id)};
  }
  if (approval.counter_name != now.counter_name) {
    return {2, "an approval is for another seal counter than this TPM's"};
  }
  for (const auto& [index, value] : approval.pcrs.values) {
    const auto current = now.pcrs.values.find(index);
    if (approval.pcrs.bank != now.pcrs.bank ||
        current == now.pcrs.values.end()) {
      return {3, fmt::format("an approval is of PCR {} in bank {:#06x}, which "
                             "is not sealed to",
                             index, approval.pcrs.bank)};
    }
    if (current->second != value) {
      return {5, fmt::format("PCR {} is {}, approved is {}", index,
                             ToHex(current->second), ToHex(value))};
    }
  }
  if (approval.counter_limit < now.counter) {
    return {4, fmt::format("its approval was revoked: good up to {}, the "
                           "counter is {}",
                           approval.counter_limit, now.counter)};
  }
  return {};
}

// The TPM's word that the authority signed the approval; none if it did not.
absl::StatusOr<std::optional<TPMT_TK_VERIFIED>> VerifyApproval(
    const SealTools& tools, ByteView authority,
    const evidence::SealApproval& approval) {
  ASSIGN_OR_RETURN(const TPM2B_PUBLIC area,
                   Unmarshal<TPM2B_PUBLIC>(authority, "seal authority",
                                           Tss2_MU_TPM2B_PUBLIC_Unmarshal));
  const auto signature = Unmarshal<TPMT_SIGNATURE>(
      approval.signature, "approval", Tss2_MU_TPMT_SIGNATURE_Unmarshal);
  const auto approved = evidence::ApprovalDigest(approval);
  if (!signature.ok() || !approved.ok()) {
    return std::nullopt;
  }
  EsysContext& context = tools.context;
  ESYS_TR key = ESYS_TR_NONE;
  RETURN_IF_ERROR(context.Call("loading the seal authority's key", [&] {
    return Esys_LoadExternal(context.get(), tools.session.EncryptingCommand(),
                             ESYS_TR_NONE, ESYS_TR_NONE, nullptr, &area,
                             ESYS_TR_RH_OWNER, &key);
  }));
  const TransientObject scope(context, key);
  TPM2B_DIGEST digest{};
  Fill(digest, *approved);
  EsysPtr<TPMT_TK_VERIFIED> ticket;
  TSS2_RC code = TSS2_RC_SUCCESS;
  const absl::Status verified = context.Call("verifying an approval", [&] {
    return code = Esys_VerifySignature(context.get(), key,
                                       tools.session.EncryptingCommand(),
                                       ESYS_TR_NONE, ESYS_TR_NONE, &digest,
                                       &*signature, EsysOut(ticket));
  });
  if (!verified.ok() && context.fault() == EsysFault::kOther) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(verified);
  return *ticket;
}

class PolicySession {
 public:
  static absl::StatusOr<PolicySession> Start(EsysContext& context,
                                             ESYS_TR salt_key) {
    TPMT_SYM_DEF symmetric{};
    symmetric.algorithm = TPM2_ALG_AES;
    symmetric.keyBits.aes = 128;
    symmetric.mode.aes = TPM2_ALG_CFB;
    ESYS_TR session = ESYS_TR_NONE;
    RETURN_IF_ERROR(context.Call("starting a policy session", [&] {
      return Esys_StartAuthSession(context.get(), salt_key, ESYS_TR_NONE,
                                   ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                   nullptr, TPM2_SE_POLICY, &symmetric,
                                   TPM2_ALG_SHA256, &session);
    }));
    // Kept past its use, so that one flush serves success and failure.
    (void)Esys_TRSess_SetAttributes(context.get(), session,
                                    TPMA_SESSION_CONTINUESESSION, 0xFF);
    return PolicySession(context, session);
  }

  [[nodiscard]] ESYS_TR get() const { return session_.get(); }

 private:
  PolicySession(EsysContext& context, ESYS_TR session)
      : session_(context, session) {}

  TransientObject session_;  // a session is flushed as an object is
};

// What happened to one attempt that no error tells.
enum class Attempt { kDone, kRaced };

absl::StatusOr<Attempt> ComparePcrs(const SealTools& tools, ESYS_TR policy,
                                    const PcrValues& approved) {
  evidence::PcrSelection selection{.bank = approved.bank, .indexes = {}};
  for (const auto& [index, value] : approved.values) {
    selection.indexes.push_back(index);
  }
  ASSIGN_OR_RETURN(
      const Bytes values,
      evidence::PcrDigest(TPM2_ALG_SHA256, {selection}, {approved}));
  TPM2B_DIGEST digest{};
  Fill(digest, values);
  const TPML_PCR_SELECTION pcrs = ToTss(selection.bank, selection.indexes);
  EsysContext& context = tools.context;
  TSS2_RC code = TSS2_RC_SUCCESS;
  const absl::Status compared = context.Call("comparing the boot PCRs", [&] {
    return code = Esys_PolicyPCR(context.get(), policy, ESYS_TR_NONE,
                                 ESYS_TR_NONE, ESYS_TR_NONE, &digest, &pcrs);
  });
  if (!compared.ok() && Bare(code) == TPM2_RC_VALUE) {
    return Attempt::kRaced;
  }
  RETURN_IF_ERROR(compared);
  return Attempt::kDone;
}

absl::StatusOr<Attempt> CompareCounter(const SealTools& tools, ESYS_TR policy,
                                       uint64_t counter_limit) {
  ASSIGN_OR_RETURN(const SealCounter counter, SealCounter::Open(tools));
  ByteWriter limit;
  limit.U64(counter_limit);
  TPM2B_OPERAND operand{};
  Fill(operand, limit.bytes());
  EsysContext& context = tools.context;
  TSS2_RC code = TSS2_RC_SUCCESS;
  const absl::Status compared = context.Call("comparing the counter", [&] {
    return code = Esys_PolicyNV(context.get(), counter.get(), counter.get(),
                                policy, tools.session.EncryptingCommand(),
                                ESYS_TR_NONE, ESYS_TR_NONE, &operand, 0,
                                TPM2_EO_UNSIGNED_LE);
  });
  if (!compared.ok() && Bare(code) == TPM2_RC_POLICY) {
    return Attempt::kRaced;
  }
  RETURN_IF_ERROR(compared);
  return Attempt::kDone;
}

absl::Status ShowApproval(const SealTools& tools, ESYS_TR policy,
                          ByteView authority,
                          const evidence::SealApproval& approval,
                          const TPMT_TK_VERIFIED& ticket) {
  ASSIGN_OR_RETURN(const DigestBytes approved,
                   evidence::ApprovedPolicy(approval));
  ASSIGN_OR_RETURN(const Bytes name, evidence::NameOf(authority));
  TPM2B_DIGEST approved_policy{};
  Fill(approved_policy, approved);
  TPM2B_NONCE policy_ref{};
  Fill(policy_ref, evidence::SealPolicyRef(approval.host_id, approval.purpose));
  TPM2B_NAME key_name{};
  Fill(key_name, name);
  EsysContext& context = tools.context;
  RETURN_IF_ERROR(context.Call("showing an approval", [&] {
    return Esys_PolicyAuthorize(context.get(), policy, ESYS_TR_NONE,
                                ESYS_TR_NONE, ESYS_TR_NONE, &approved_policy,
                                &policy_ref, &key_name, &ticket);
  }));
  return context.Call("showing an authorisation", [&] {
    return Esys_PolicyAuthValue(context.get(), policy, ESYS_TR_NONE,
                                ESYS_TR_NONE, ESYS_TR_NONE);
  });
}

absl::StatusOr<Attempt> SatisfyPolicy(const SealTools& tools, ESYS_TR policy,
                                      ByteView authority,
                                      const evidence::SealApproval& approval,
                                      const TPMT_TK_VERIFIED& ticket) {
  ASSIGN_OR_RETURN(const Attempt pcrs,
                   ComparePcrs(tools, policy, approval.pcrs));
  if (pcrs == Attempt::kRaced) {
    return Attempt::kRaced;
  }
  ASSIGN_OR_RETURN(const Attempt counter,
                   CompareCounter(tools, policy, approval.counter_limit));
  if (counter == Attempt::kRaced) {
    return Attempt::kRaced;
  }
  RETURN_IF_ERROR(ShowApproval(tools, policy, authority, approval, ticket));
  return Attempt::kDone;
}

// The seed, unless a PCR or the counter changed meanwhile.
absl::StatusOr<std::optional<SecretBytes>> Release(
    const SealTools& tools, ESYS_TR storage, ESYS_TR object, ByteView authority,
    const evidence::SealApproval& approval, const TPMT_TK_VERIFIED& ticket) {
  EsysContext& context = tools.context;
  ASSIGN_OR_RETURN(const PolicySession policy,
                   PolicySession::Start(context, storage));
  ASSIGN_OR_RETURN(
      const Attempt attempt,
      SatisfyPolicy(tools, policy.get(), authority, approval, ticket));
  if (attempt == Attempt::kRaced) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(
      SetAuth(context, object, DeriveAuth(tools.key_auth, kSeedLabel)));
  EsysPtr<TPM2B_SENSITIVE_DATA> data;
  TSS2_RC code = TSS2_RC_SUCCESS;
  const absl::Status unsealed = context.Call("unsealing a seed", [&] {
    return code = Esys_Unseal(context.get(), object, policy.get(),
                              tools.session.EncryptingResponse(), ESYS_TR_NONE,
                              EsysOut(data));
  });
  if (!unsealed.ok() && Bare(code) == TPM2_RC_PCR_CHANGED) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(unsealed);
  SecretBytes seed(Bytes(data->buffer, data->buffer + data->size));
  explicit_bzero(data.get(), sizeof(*data));
  if (seed.size() != kSeedSize) {
    return absl::DataLossError("an unsealed seed of another size");
  }
  return seed;
}

// Tries the approvals in turn, once. Nothing: PCRs changed meanwhile.
absl::StatusOr<std::optional<SecretBytes>> TryApprovals(
    const SealTools& tools, ESYS_TR storage, ESYS_TR object, KeyPurpose purpose,
    ByteView authority, std::span<const evidence::SealApproval> approvals) {
  ASSIGN_OR_RETURN(const SealRegisters now, ReadSealState(tools));
  Refusal closest{0, fmt::format("nobody approved a boot for purpose {}",
                                 ToString(purpose))};
  bool raced = false;
  for (const evidence::SealApproval& approval : approvals) {
    Refusal refusal = Compare(tools, purpose, now, approval);
    if (refusal.why.empty()) {
      ASSIGN_OR_RETURN(const auto ticket,
                       VerifyApproval(tools, authority, approval));
      if (ticket) {
        ASSIGN_OR_RETURN(
            std::optional<SecretBytes> seed,
            Release(tools, storage, object, authority, approval, *ticket));
        if (seed) {
          return seed;
        }
        raced = true;
        continue;
      }
      refusal = {6, "an approval of it is not signed by the seal authority"};
    }
    if (refusal.closeness > closest.closeness) {
      closest = std::move(refusal);
    }
  }
  if (raced) {
    return std::nullopt;
  }
  return Unapproved(closest.why);
}

absl::Status CheckSealedFor(const SealTools& tools, const evidence::PqKey& key,
                            ByteView authority) {
  RETURN_IF_ERROR(evidence::CheckAuthority(authority));
  ASSIGN_OR_RETURN(const Bytes name, evidence::NameOf(authority));
  ASSIGN_OR_RETURN(const evidence::SealedPublicArea area,
                   evidence::ParseSealedPublic(key.sealed_public));
  if (area.auth_policy !=
      evidence::SealAuthPolicy(name, tools.host_id, key.purpose)) {
    return absl::FailedPreconditionError(
        fmt::format("the seed for purpose {} is sealed for another authority, "
                    "host or purpose",
                    ToString(key.purpose)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SealRegisters> ReadSealState(const SealTools& tools) {
  ASSIGN_OR_RETURN(const SealCounter counter, SealCounter::Open(tools));
  SealRegisters registers;
  ASSIGN_OR_RETURN(registers.counter, counter.Read());
  ASSIGN_OR_RETURN(registers.counter_name, counter.Name());
  ASSIGN_OR_RETURN(registers.pcrs,
                   ReadPcrs(tools.context, tools.session, tools.pcrs));
  return registers;
}

absl::StatusOr<SealedSeed> Seal(const SealTools& tools,
                                std::string_view algorithm, KeyPurpose purpose,
                                uint32_t epoch, ByteView public_key,
                                const SecretBytes& seed, ByteView authority) {
  RETURN_IF_ERROR(evidence::CheckSealPcrs(tools.pcrs));
  RETURN_IF_ERROR(evidence::CheckAuthority(authority));
  if (seed.size() != kSeedSize) {
    return absl::InvalidArgumentError(
        fmt::format("a seed of {} bytes", seed.size()));
  }
  ASSIGN_OR_RETURN(const Bytes authority_name, evidence::NameOf(authority));
  ASSIGN_OR_RETURN(const TransientObject storage, MakeStoragePrimary(tools));
  const TPM2B_PUBLIC area = SeedTemplate(
      evidence::SealAuthPolicy(authority_name, tools.host_id, purpose));
  ASSIGN_OR_RETURN(const CreatedSeed made,
                   CreateSeed(tools, storage.get(), area,
                              evidence::SeedOutsideInfo(algorithm, purpose,
                                                        epoch, public_key),
                              seed));
  ASSIGN_OR_RETURN(
      const TransientObject object,
      LoadSeed(tools, storage.get(), *made.private_area, *made.public_area));
  SealedSeed sealed;
  evidence::PqKey& key = sealed.key;
  key.algorithm = algorithm;
  key.purpose = purpose;
  key.epoch = epoch;
  key.public_key = ToBytes(public_key);
  ASSIGN_OR_RETURN(sealed.private_area,
                   Marshal(*made.private_area, Tss2_MU_TPM2B_PRIVATE_Marshal));
  ASSIGN_OR_RETURN(key.sealed_public,
                   Marshal(*made.public_area, Tss2_MU_TPM2B_PUBLIC_Marshal));
  ASSIGN_OR_RETURN(
      key.creation_data,
      Marshal(*made.creation_data, Tss2_MU_TPM2B_CREATION_DATA_Marshal));
  RETURN_IF_ERROR(CertifySeed(
      tools, object.get(), made,
      evidence::SeedQualifyingData(algorithm, purpose, epoch, public_key),
      key));
  RETURN_IF_ERROR_WITH(
      evidence::CheckSealedSeed(key, tools.host_id, authority_name),
      "sealing a seed");
  return sealed;
}

absl::StatusOr<SecretBytes> Unseal(
    const SealTools& tools, const SealedSeed& sealed, ByteView authority,
    std::span<const evidence::SealApproval> approvals) {
  RETURN_IF_ERROR(CheckSealedFor(tools, sealed.key, authority));
  ASSIGN_OR_RETURN(
      const TPM2B_PRIVATE private_area,
      Unmarshal<TPM2B_PRIVATE>(sealed.private_area, "private area of the seed",
                               Tss2_MU_TPM2B_PRIVATE_Unmarshal));
  ASSIGN_OR_RETURN(const TPM2B_PUBLIC public_area,
                   Unmarshal<TPM2B_PUBLIC>(sealed.key.sealed_public,
                                           "public area of the seed",
                                           Tss2_MU_TPM2B_PUBLIC_Unmarshal));
  ASSIGN_OR_RETURN(const TransientObject storage, MakeStoragePrimary(tools));
  ASSIGN_OR_RETURN(const TransientObject object,
                   LoadSeed(tools, storage.get(), private_area, public_area));
  for (int attempt = 0; attempt < kRaceTries; ++attempt) {
    ASSIGN_OR_RETURN(std::optional<SecretBytes> seed,
                     TryApprovals(tools, storage.get(), object.get(),
                                  sealed.key.purpose, authority, approvals));
    if (seed) {
      return *std::move(seed);
    }
  }
  return absl::UnavailableError("PCRs change faster than a seed is unsealed");
}

}  // namespace vmattest::tpm
