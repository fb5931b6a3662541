#include "tpm/esys/esys_seal.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "evidence/seal_authority.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/tpm_proxy.h"
#include "tpm/esys/handles.h"

// Seeds in a real TPM's keeping, across boots (rules S3, S5, S7).

namespace vmattest::tpm {
namespace {

using namespace testing;  // NOLINT: the whole fixture is test support
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr uint32_t kUnseal = 0x15E;
constexpr uint32_t kVerifySignature = 0x177;
constexpr TPM2_HANDLE kCounter = 0x01C10F02;
constexpr TPM2_HANDLE kAk = 0x81010100;
constexpr uint32_t kTransients = 0x80000000;
constexpr uint32_t kSessions = 0x02000000;
constexpr size_t kMlDsa65PublicKey = 1952;

bool Contains(ByteView haystack, ByteView needle) {
  return std::search(haystack.begin(), haystack.end(), needle.begin(),
                     needle.end()) != haystack.end();
}

Bytes Extended(const Bytes& value, ByteView digest) {
  return HashParts(HashAlgorithm::kSha256, {value, digest});
}

// One connection to the TPM, as the adapter keeps it.
struct Opened {
  std::unique_ptr<EsysContext> context;
  std::unique_ptr<EsysSession> session;
  SigningKey ak;
  std::string host_id;
};

class EsysSeal : public ::testing::Test {
 protected:
  // tpm2-tss writes to stderr whatever a TPM refuses.
  static void SetUpTestSuite() { setenv("TSS2_LOG", "all+none", 0); }

  EsysSeal() { Connect(); }

  void Connect() {
    opened_.reset();
    absl::StatusOr<std::unique_ptr<Tcti>> tcti =
        OpenTcti(proxy_.tcti(), std::chrono::seconds(20));
    ASSERT_THAT(tcti, IsOk());
    opened_.emplace();
    ASSERT_OK_AND_ASSIGN(opened_->context, EsysContext::Open(*std::move(tcti)));
    EsysContext& context = *opened_->context;
    ASSERT_THAT(context.FlushLeftovers(), IsOk());
    {
      ASSERT_OK_AND_ASSIGN(const LoadedEk ek,
                           LoadEk(context, EkTemplates().front(), empty_));
      ASSERT_OK_AND_ASSIGN(opened_->session,
                           EsysSession::Start(context, ek.object));
      opened_->host_id =
          ToHex(ByteView(*evidence::NameOf(ek.public_area)).subspan(2));
    }
    ASSERT_OK_AND_ASSIGN(
        opened_->ak,
        LoadOrCreateSigningKey(context, *opened_->session, {"ak", kAk},
                               {key_auth_, empty_, empty_}));
    ASSERT_THAT(EnsureSealCounter(Tools()), IsOk());
  }

  SealTools Tools() {
    return {.context = *opened_->context,
            .session = *opened_->session,
            .ak = opened_->ak,
            .owner_auth = empty_,
            .key_auth = key_auth_,
            .counter = kCounter,
            .pcrs = {TPM2_ALG_SHA256, {0, 1, 2, 3, 4, 5, 6, 7}},
            .host_id = opened_->host_id};
  }

  // The machine boots; PCR 4 then has `boot_loader` on top, if there is one.
  void Reboot(std::string_view boot_loader = "") {
    opened_.reset();
    swtpm_.Kill();
    swtpm_.Start();
    if (!boot_loader.empty()) {
      swtpm_.ExtendPcr(4, DigestOf(boot_loader));
    }
    Connect();
  }

  static DigestBytes DigestOf(std::string_view text) {
    return Hash(HashAlgorithm::kSha256, AsBytes(text));
  }

  absl::StatusOr<SealedSeed> SealIt() {
    return Seal(Tools(), "ml-dsa-65", KeyPurpose::kConfig, 3, public_key_,
                SecretBytes(Bytes(seed_)), authority_.public_area());
  }

  absl::StatusOr<SecretBytes> UnsealWith(
      const SealedSeed& sealed, std::vector<evidence::SealApproval> approvals) {
    return Unseal(Tools(), sealed, authority_.public_area(), approvals);
  }

  // Of the present boot, good as long as the counter stands.
  evidence::SealApproval Approval() {
    const absl::StatusOr<SealRegisters> now = ReadSealState(Tools());
    EXPECT_THAT(now, IsOk());
    evidence::SealApproval approval;
    approval.host_id = opened_->host_id;
    approval.pcrs = now->pcrs;
    approval.counter_limit = now->counter;
    approval.counter_name = now->counter_name;
    return Signed(approval);
  }

  evidence::SealApproval Signed(evidence::SealApproval approval) {
    EXPECT_THAT(authority_.Sign(approval), IsOk());
    return approval;
  }

  void ExpectUnsealed(const absl::StatusOr<SecretBytes>& seed) {
    ASSERT_THAT(seed, IsOk());
    EXPECT_TRUE(std::ranges::equal(seed->Reveal(SecretAccess()), seed_));
  }

  void UndefineCounter() {
    ASSERT_OK_AND_ASSIGN(const ESYS_TR index,
                         opened_->context->Find(kCounter, "counter"));
    ASSERT_EQ(
        Esys_NV_UndefineSpace(opened_->context->get(), ESYS_TR_RH_OWNER, index,
                              ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
        TSS2_RC_SUCCESS);
  }

  TempDir dir_;
  Swtpm swtpm_;
  TpmProxy proxy_{swtpm_.socket()};
  const SecretBytes empty_;
  SecretBytes key_auth_{Bytes(32, 0x77)};
  evidence::SealAuthority authority_ =
      *evidence::SealAuthority::LoadOrGenerate(dir_.path() / "authority.pem");
  const Bytes seed_ = RandomBytes(32);
  const Bytes public_key_ = Bytes(kMlDsa65PublicKey, 0x5A);
  std::optional<Opened> opened_;
};

TEST_F(EsysSeal, SealedSeedIsAllThatRuleS3Asks) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const Bytes authority = *evidence::NameOf(authority_.public_area());
  EXPECT_THAT(
      evidence::CheckSealedSeed(sealed.key, opened_->host_id, authority),
      IsOk());
  const auto ak = *evidence::ParseEccPublic(opened_->ak.public_area);
  const auto signature = *evidence::ParseEcdsaSignature(sealed.key.signature);
  EXPECT_TRUE(VerifyEcdsa(ak.key,
                          Hash(HashAlgorithm::kSha256, sealed.key.certify_info),
                          signature.r, signature.s));
  EXPECT_EQ(evidence::ParseAttest(sealed.key.certify_info)->qualified_signer,
            *evidence::PrimaryQualifiedName(evidence::kTpmRhEndorsement,
                                            opened_->ak.name));
}

TEST_F(EsysSeal, PoliciesAreWhatTheTpmComputes) {
  ESYS_CONTEXT* esys = opened_->context->get();
  const evidence::SealApproval approval = Approval();
  TPMT_SYM_DEF symmetric{};
  symmetric.algorithm = TPM2_ALG_NULL;
  ESYS_TR policy = ESYS_TR_NONE;
  ASSERT_EQ(
      Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                            ESYS_TR_NONE, ESYS_TR_NONE, nullptr, TPM2_SE_TRIAL,
                            &symmetric, TPM2_ALG_SHA256, &policy),
      TSS2_RC_SUCCESS);
  const TransientObject flushed(*opened_->context, policy);
  const auto digest = [&] {
    EsysPtr<TPM2B_DIGEST> made;
    EXPECT_EQ(Esys_PolicyGetDigest(esys, policy, ESYS_TR_NONE, ESYS_TR_NONE,
                                   ESYS_TR_NONE, EsysOut(made)),
              TSS2_RC_SUCCESS);
    return Bytes(made->buffer, made->buffer + made->size);
  };
  // No digest: a trial session takes what the PCRs are.
  const TPM2B_DIGEST present{};
  TPML_PCR_SELECTION pcrs{};
  pcrs.count = 1;
  pcrs.pcrSelections[0] = {TPM2_ALG_SHA256, 3, {0xFF, 0, 0}};
  ASSERT_EQ(Esys_PolicyPCR(esys, policy, ESYS_TR_NONE, ESYS_TR_NONE,
                           ESYS_TR_NONE, &present, &pcrs),
            TSS2_RC_SUCCESS);
  ASSERT_OK_AND_ASSIGN(const ESYS_TR counter,
                       opened_->context->Find(kCounter, "counter"));
  TPM2B_OPERAND limit{.size = 8, .buffer = {}};
  limit.buffer[7] = static_cast<BYTE>(approval.counter_limit);
  ASSERT_EQ(
      Esys_PolicyNV(esys, ESYS_TR_RH_OWNER, counter, policy, ESYS_TR_PASSWORD,
                    ESYS_TR_NONE, ESYS_TR_NONE, &limit, 0, TPM2_EO_UNSIGNED_LE),
      TSS2_RC_SUCCESS);
  EXPECT_EQ(ToHex(digest()), ToHex(*evidence::ApprovedPolicy(approval)));

  const Bytes name = *evidence::NameOf(authority_.public_area());
  TPM2B_NAME authority{.size = static_cast<UINT16>(name.size()), .name = {}};
  std::copy(name.begin(), name.end(), authority.name);
  const DigestBytes reference =
      evidence::SealPolicyRef(approval.host_id, approval.purpose);
  TPM2B_NONCE policy_ref{.size = 32, .buffer = {}};
  std::copy(reference.begin(), reference.end(), policy_ref.buffer);
  TPMT_TK_VERIFIED ticket{};
  ticket.tag = TPM2_ST_VERIFIED;
  ticket.hierarchy = TPM2_RH_OWNER;
  ASSERT_EQ(Esys_PolicyAuthorize(esys, policy, ESYS_TR_NONE, ESYS_TR_NONE,
                                 ESYS_TR_NONE, &present, &policy_ref,
                                 &authority, &ticket),
            TSS2_RC_SUCCESS);
  ASSERT_EQ(Esys_PolicyAuthValue(esys, policy, ESYS_TR_NONE, ESYS_TR_NONE,
                                 ESYS_TR_NONE),
            TSS2_RC_SUCCESS);
  EXPECT_EQ(ToHex(digest()), ToHex(evidence::SealAuthPolicy(
                                 name, approval.host_id, approval.purpose)));
}

TEST_F(EsysSeal, UnsealsAfterARebootThatMeasuresTheSame) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval approval = Approval();
  ExpectUnsealed(UnsealWith(sealed, {approval}));
  Reboot();
  ExpectUnsealed(UnsealWith(sealed, {approval}));
  EXPECT_THAT(swtpm_.Handles(kTransients), IsEmpty());
  EXPECT_EQ(swtpm_.Handles(kSessions).size(), 1u);  // the connection's own
}

TEST_F(EsysSeal, S5_BootThatNobodyApprovedStaysSealedAndIsNamed) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval approval = Approval();
  Reboot("a new boot loader");
  EXPECT_THAT(
      UnsealWith(sealed, {approval}),
      StatusIs(absl::StatusCode::kPermissionDenied,
               fmt::format("unapproved boot: PCR 4 is {}, approved is {}",
                           ToHex(Extended(approval.pcrs.values.at(4),
                                          DigestOf("a new boot loader"))),
                           ToHex(approval.pcrs.values.at(4)))));
  EXPECT_THAT(UnsealWith(sealed, {}),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       StartsWith("unapproved boot: nobody approved")));
  EXPECT_THAT(swtpm_.Handles(kTransients), IsEmpty());
}

TEST_F(EsysSeal, S5_BootThatWasApprovedBeforehandUnseals) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval old_boot = Approval();
  evidence::SealApproval next_boot = old_boot;
  Bytes& pcr = next_boot.pcrs.values.at(4);
  pcr = Extended(pcr, DigestOf("update"));
  next_boot = Signed(next_boot);
  Reboot("update");
  ExpectUnsealed(UnsealWith(sealed, {old_boot, next_boot}));
}

TEST_F(EsysSeal, OnlyApprovalsThatCanFitCostTheTpmTime) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  std::vector<evidence::SealApproval> approvals(50, Approval());
  const evidence::SealApproval good = approvals.front();
  for (size_t i = 0; i < approvals.size(); ++i) {
    approvals[i].pcrs.values.at(7)[0] ^= static_cast<uint8_t>(i + 1);
  }
  approvals.push_back(good);
  const int before = proxy_.Count(kVerifySignature);
  ExpectUnsealed(UnsealWith(sealed, approvals));
  EXPECT_EQ(proxy_.Count(kVerifySignature), before + 1);
}

TEST_F(EsysSeal, S5_RevokedApprovalIsVoidAlsoAfterAReboot) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval approval = Approval();
  ASSERT_OK_AND_ASSIGN(const uint64_t now, VoidApprovals(Tools()));
  EXPECT_EQ(now, approval.counter_limit + 1);
  EXPECT_THAT(UnsealWith(sealed, {approval}),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       HasSubstr("its approval was revoked")));
  Reboot();
  EXPECT_THAT(UnsealWith(sealed, {approval}),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       HasSubstr("its approval was revoked")));
  ExpectUnsealed(UnsealWith(sealed, {approval, Approval()}));
}

TEST_F(EsysSeal, RaisedLimitDoesNotReviveAnApproval) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  evidence::SealApproval approval = Approval();
  ASSERT_THAT(VoidApprovals(Tools()), IsOk());
  ++approval.counter_limit;  // what is signed says less
  EXPECT_THAT(UnsealWith(sealed, {approval}),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       HasSubstr("not signed by the seal authority")));
}

TEST_F(EsysSeal, ApprovalForAnotherHostOrPurposeIsRefused) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval good = Approval();
  evidence::SealApproval other_host = good;
  other_host.host_id = std::string(64, 'a');
  other_host = Signed(other_host);
  evidence::SealApproval other_purpose = good;
  other_purpose.purpose = KeyPurpose::kLedger;
  other_purpose = Signed(other_purpose);
  for (evidence::SealApproval approval : {other_host, other_purpose}) {
    EXPECT_THAT(UnsealWith(sealed, {approval}),
                StatusIs(absl::StatusCode::kPermissionDenied,
                         HasSubstr("an approval is for purpose")));
    // Relabelled, it is looked at, and the TPM refuses the signature.
    approval.host_id = good.host_id;
    approval.purpose = good.purpose;
    EXPECT_THAT(UnsealWith(sealed, {approval}),
                StatusIs(absl::StatusCode::kPermissionDenied,
                         HasSubstr("not signed by the seal authority")));
  }
}

TEST_F(EsysSeal, ForgedApprovalIsRefused) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval good = Approval();
  evidence::SealApproval forged = good;
  ASSERT_OK_AND_ASSIGN(
      const auto stranger,
      evidence::SealAuthority::LoadOrGenerate(dir_.path() / "stranger.pem"));
  ASSERT_THAT(stranger.Sign(forged), IsOk());
  EXPECT_THAT(UnsealWith(sealed, {forged}),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       HasSubstr("not signed by the seal authority")));
  // The stranger as the authority: the seed is not sealed for it.
  EXPECT_THAT(Unseal(Tools(), sealed, stranger.public_area(), {{forged}}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("another authority")));
  for (const size_t size : {size_t{0}, size_t{1}, good.signature.size() - 1}) {
    forged = good;
    forged.signature.resize(size);
    EXPECT_THAT(UnsealWith(sealed, {forged}),
                StatusIs(absl::StatusCode::kPermissionDenied));
  }
}

// The policy's digest is all that the TPM compares: an attacker who keeps our
// code from looking gets no further.
TEST_F(EsysSeal, PublicAreaWithAnotherPolicyDoesNotLoad) {
  ASSERT_OK_AND_ASSIGN(SealedSeed sealed, SealIt());
  ASSERT_OK_AND_ASSIGN(
      const auto stranger,
      evidence::SealAuthority::LoadOrGenerate(dir_.path() / "stranger.pem"));
  const Bytes ours =
      evidence::SealAuthPolicy(*evidence::NameOf(authority_.public_area()),
                               opened_->host_id, KeyPurpose::kConfig);
  const Bytes theirs =
      evidence::SealAuthPolicy(*evidence::NameOf(stranger.public_area()),
                               opened_->host_id, KeyPurpose::kConfig);
  Bytes& area = sealed.key.sealed_public;
  const auto at =
      std::search(area.begin(), area.end(), ours.begin(), ours.end());
  ASSERT_NE(at, area.end());
  std::copy(theirs.begin(), theirs.end(), at);
  evidence::SealApproval forged = Approval();
  ASSERT_THAT(stranger.Sign(forged), IsOk());
  EXPECT_THAT(Unseal(Tools(), sealed, stranger.public_area(), {{forged}}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("not sealed by this TPM")));
}

TEST_F(EsysSeal, S7_SeedNeedsItsAuthorisationBesideThePolicy) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  // Another key_auth opens neither the counter nor the seed. The counter is
  // made anew under it, so that only the seed is left to refuse.
  UndefineCounter();
  key_auth_ = SecretBytes(Bytes(32, 0x11));
  ASSERT_THAT(EnsureSealCounter(Tools()), IsOk());
  EXPECT_THAT(UnsealWith(sealed, {Approval()}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("refuses the authorisation")));
}

TEST_F(EsysSeal, S5_ChangedPcrDuringUnsealingIsRetried) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval approval = Approval();
  std::atomic<int> races = 0;
  proxy_.AlterCommand(kUnseal, [&](Bytes&) {
    if (races++ < 2) {  // somebody else's event, in a PCR outside the seal
      swtpm_.ExtendPcr(12, DigestOf("event"));
    }
  });
  ExpectUnsealed(UnsealWith(sealed, {approval}));
  EXPECT_EQ(proxy_.Count(kUnseal), 3);
  // One that never rests is given up on.
  proxy_.AlterCommand(kUnseal,
                      [&](Bytes&) { swtpm_.ExtendPcr(12, DigestOf("event")); });
  EXPECT_THAT(UnsealWith(sealed, {approval}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(swtpm_.Handles(kTransients), IsEmpty());
}

TEST_F(EsysSeal, BootPcrThatChangesDuringUnsealingStaysSealed) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval approval = Approval();
  proxy_.AlterCommand(kUnseal,
                      [&](Bytes&) { swtpm_.ExtendPcr(4, DigestOf("late")); });
  EXPECT_THAT(UnsealWith(sealed, {approval}),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       StartsWith("unapproved boot: PCR 4 is")));
}

TEST_F(EsysSeal, S7_SeedIsNeverOnTheBusInClear) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  ExpectUnsealed(UnsealWith(sealed, {Approval()}));
  const Bytes recorded = proxy_.Recorded();
  ASSERT_GT(proxy_.Count(kUnseal), 0);
  EXPECT_FALSE(Contains(recorded, seed_));
  EXPECT_FALSE(Contains(recorded, ByteView(seed_).first(16)));
  EXPECT_FALSE(Contains(recorded, ByteView(seed_).last(16)));
  // The proxy does see what is not secret.
  EXPECT_TRUE(Contains(recorded, evidence::SealPolicyRef(opened_->host_id,
                                                         KeyPurpose::kConfig)));
}

TEST_F(EsysSeal, AlteredSeedIsDataLoss) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval approval = Approval();
  proxy_.AlterAnswer(kUnseal, [](Bytes& answer) { answer[20] ^= 1; });
  EXPECT_THAT(UnsealWith(sealed, {approval}),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(EsysSeal, SeedOfAClearedTpmIsNamed) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const std::string old_host = opened_->host_id;
  opened_.reset();
  swtpm_.ReplaceWithFreshOne();
  Connect();
  opened_->host_id = old_host;
  EXPECT_THAT(UnsealWith(sealed, {Approval()}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("not sealed by this TPM")));
}

TEST_F(EsysSeal, RefusesToSealToWhatChangesOrCanBeReset) {
  for (const uint32_t pcr : {10u, 16u, 17u, 23u}) {
    SealTools tools = Tools();
    tools.pcrs.indexes.push_back(pcr);
    EXPECT_THAT(Seal(tools, "ml-dsa-65", KeyPurpose::kConfig, 1, public_key_,
                     SecretBytes(Bytes(seed_)), authority_.public_area()),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(fmt::format("PCR {}", pcr))));
  }
  SealTools tools = Tools();
  tools.pcrs.indexes.pop_back();
  EXPECT_THAT(
      Seal(tools, "ml-dsa-65", KeyPurpose::kConfig, 1, public_key_,
           SecretBytes(Bytes(seed_)), authority_.public_area()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("boot PCR 7")));
}

TEST_F(EsysSeal, RecreatedCounterNeverGoesBelow) {
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  const evidence::SealApproval approval = Approval();
  ASSERT_THAT(VoidApprovals(Tools()), IsOk());
  ASSERT_OK_AND_ASSIGN(const SealRegisters before, ReadSealState(Tools()));
  UndefineCounter();
  EXPECT_THAT(ReadSealState(Tools()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("there is no seal counter")));
  ASSERT_THAT(EnsureSealCounter(Tools()), IsOk());
  ASSERT_OK_AND_ASSIGN(const SealRegisters after, ReadSealState(Tools()));
  EXPECT_GT(after.counter, before.counter);
  EXPECT_EQ(after.counter_name, before.counter_name);
  EXPECT_THAT(UnsealWith(sealed, {approval}),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(EsysSeal, EnsuringTheCounterTwiceDoesNotCount) {
  ASSERT_OK_AND_ASSIGN(const SealRegisters before, ReadSealState(Tools()));
  ASSERT_THAT(EnsureSealCounter(Tools()), IsOk());
  ASSERT_OK_AND_ASSIGN(const SealRegisters after, ReadSealState(Tools()));
  EXPECT_EQ(after.counter, before.counter);
}

TEST_F(EsysSeal, ForeignIndexAtTheCountersHandleIsLeftAlone) {
  const evidence::SealApproval approval = Approval();
  ASSERT_OK_AND_ASSIGN(const SealedSeed sealed, SealIt());
  UndefineCounter();
  TPM2B_NV_PUBLIC area{};
  area.nvPublic.nvIndex = kCounter;
  area.nvPublic.nameAlg = TPM2_ALG_SHA256;
  area.nvPublic.attributes =
      TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD | TPMA_NV_AUTHREAD | TPMA_NV_NO_DA;
  area.nvPublic.dataSize = 8;
  const TPM2B_AUTH no_auth{};
  ESYS_TR index = ESYS_TR_NONE;
  ASSERT_EQ(Esys_NV_DefineSpace(opened_->context->get(), ESYS_TR_RH_OWNER,
                                ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                &no_auth, &area, &index),
            TSS2_RC_SUCCESS);
  EXPECT_THAT(EnsureSealCounter(Tools()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is not vmattest's seal counter")));
  // An ordinary index that says zero: its Name is not the counter's.
  ASSERT_OK_AND_ASSIGN(index, opened_->context->Find(kCounter, "index"));
  TPM2B_MAX_NV_BUFFER zero{.size = 8, .buffer = {}};
  ASSERT_EQ(
      Esys_NV_Write(opened_->context->get(), ESYS_TR_RH_OWNER, index,
                    ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &zero, 0),
      TSS2_RC_SUCCESS);
  EXPECT_FALSE(UnsealWith(sealed, {approval}).ok());
}

TEST_F(EsysSeal, CounterWithAnotherAuthorisationIsNamed) {
  key_auth_ = SecretBytes(Bytes(32, 0x11));
  EXPECT_THAT(EnsureSealCounter(Tools()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("seal counter"),
                             HasSubstr("another authorisation"))));
}

}  // namespace
}  // namespace vmattest::tpm
