#include <algorithm>

#include "enrollment/credential.h"
#include "enrollment/ek_public.h"
#include "evidence/tpm_structures.h"
#include "gmock/gmock.h"
#include "support/tpm_proxy.h"
#include "unit/tpm/esys/esys_fixture.h"

namespace vmattest::tpm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

absl::StatusOr<enrollment::Credential> CredentialFor(HostTpm& tpm) {
  ASSIGN_OR_RETURN(const evidence::HostIdentity identity, tpm.GetIdentity());
  ASSIGN_OR_RETURN(const Bytes ak, evidence::NameOf(identity.ak_public));
  return enrollment::MakeCredential(identity.ek_public, ak,
                                    SecretBytes(Bytes(32, 7)));
}

absl::StatusOr<Bytes> ActivateOn(HostTpm& tpm) {
  ASSIGN_OR_RETURN(const enrollment::Credential credential, CredentialFor(tpm));
  ASSIGN_OR_RETURN(const SecretBytes secret,
                   tpm.ActivateCredential(credential.credential_blob,
                                          credential.encrypted_secret));
  return ToBytes(secret.Reveal(SecretAccess()));
}

class EsysActivate : public EsysFixture {};

TEST_F(EsysActivate, LeavesNothingInTheTpm) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  const size_t sessions = swtpm_.Handles(kLoadedSession).size();
  ASSERT_OK_AND_ASSIGN(const Bytes secret, ActivateOn(tpm));
  EXPECT_EQ(secret, Bytes(32, 7));
  EXPECT_THAT(tpm.ActivateCredential(Bytes(3, 1), Bytes(3, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kLoadedSession), SizeIs(sessions));
}

TEST_F(EsysActivate, WorksWithAnEndorsementAuthorisationAndNotWithoutIt) {
  RunTool("tpm2_changeauth", "-c e secret");
  EsysHostTpmOptions options = Options();
  options.endorsement_auth = SecretBytes(ToBytes("secret"));
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(ActivateOn(tpm), IsOk());
  RunTool("tpm2_changeauth", "-c e -p secret other");
  EXPECT_THAT(ActivateOn(tpm), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("authorisation")));
  RunTool("tpm2_changeauth", "-c e -p other secret");
  EXPECT_THAT(ActivateOn(tpm), IsOk());
}

TEST_F(EsysActivate, WorksWithAnEkThatIsPersistent) {
  RunTool("tpm2_createek", "-G ecc -c 0x81010016");
  RunTool("tpm2_flushcontext", "-t");
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(ActivateOn(tpm), IsOk());
  }
}

TEST_F(EsysActivate, WorksAgainAfterAReset) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  swtpm_.Kill();
  swtpm_.Start();
  absl::StatusOr<Bytes> secret = ActivateOn(tpm);
  for (int i = 0; i < 3 && absl::IsUnavailable(secret.status()); ++i) {
    secret = ActivateOn(tpm);
  }
  EXPECT_THAT(secret, IsOk());
}

TEST_F(EsysActivate, WhileTheTpmIsAwayItIsUnavailable) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  swtpm_.Kill();
  EXPECT_THAT(ActivateOn(tpm), StatusIs(absl::StatusCode::kUnavailable));
}

// TPM_CC_ActivateCredential.
constexpr uint32_t kActivateCredential = 0x147;

TEST_F(EsysActivate, NobodyOnTheBusLearnsTheSecretOrAltersTheAnswer) {
  testing::TpmProxy proxy(swtpm_.socket());
  EsysHostTpmOptions options = Options();
  options.tcti = proxy.tcti();
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const Bytes secret, ActivateOn(tpm));
  const Bytes seen = proxy.Recorded();
  EXPECT_EQ(proxy.Count(kActivateCredential), 1);
  EXPECT_EQ(std::search(seen.begin(), seen.end(), secret.begin(), secret.end()),
            seen.end());
  proxy.AlterAnswer(kActivateCredential, [](Bytes& answer) {
    answer.at(20) ^= 1;  // of the secret
  });
  EXPECT_THAT(ActivateOn(tpm), StatusIs(absl::StatusCode::kDataLoss));
  proxy.Behave();
  EXPECT_THAT(ActivateOn(tpm), IsOk());
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kLoadedSession), SizeIs(1));
}

TEST(EsysActivateByTemplateH3, UsesTheEkWithoutPolicy) {
  const testing::TempDir dir;
  const testing::Swtpm swtpm(testing::Swtpm::Setup::kEkCertificate);
  EsysHostTpmOptions options;
  options.tcti = swtpm.tcti();
  options.key_auth = SecretBytes(Bytes(32, 0x5A));
  options.pin_file = dir.path() / "tpm.json";
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  ASSERT_OK_AND_ASSIGN(const auto ek,
                       enrollment::ParseEkPublic(identity.ek_public));
  EXPECT_EQ(enrollment::EkTemplateOf(ek), "H-3");
  for (int i = 0; i < 4; ++i) {
    ASSERT_OK_AND_ASSIGN(const Bytes secret, ActivateOn(tpm));
    EXPECT_EQ(secret, Bytes(32, 7));
  }
}

}  // namespace
}  // namespace vmattest::tpm
