#include "tpm/esys/esys_status.h"

#include <tss2/tss2_tpm2_types.h>

#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::tpm {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

TEST(EsysStatus, BusyTpmIsAskedAgain) {
  for (const TSS2_RC code : {TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING,
                             TPM2_RC_NV_RATE, TPM2_RC_NV_UNAVAILABLE}) {
    EXPECT_EQ(ClassifyFault(code), EsysFault::kBusy) << code;
    EXPECT_THAT(ToStatus(code, "x"), StatusIs(absl::StatusCode::kUnavailable));
  }
}

TEST(EsysStatus, LockoutIsAPreconditionThatSaysWhatToDo) {
  EXPECT_THAT(ToStatus(TPM2_RC_LOCKOUT, "quoting PCRs"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("quoting PCRs: the TPM is in lockout")));
}

TEST(EsysStatus, LostSessionIsReopened) {
  for (const TSS2_RC code :
       {TPM2_RC_CONTEXT_GAP, TPM2_RC_REFERENCE_S0, TPM2_RC_REFERENCE_S1,
        TPM2_RC_HANDLE | TPM2_RC_S | TPM2_RC_1,
        TPM2_RC_VALUE | TPM2_RC_S | TPM2_RC_1}) {
    EXPECT_EQ(ClassifyFault(code), EsysFault::kSessionLost) << code;
  }
}

TEST(EsysStatus, MissingObjectIsNoLostSession) {
  EXPECT_EQ(ClassifyFault(TPM2_RC_HANDLE | TPM2_RC_1), EsysFault::kNoHandle);
}

TEST(EsysStatus, BadParameterIsNeither) {
  EXPECT_EQ(ClassifyFault(TPM2_RC_VALUE | TPM2_RC_P | TPM2_RC_1),
            EsysFault::kOther);
}

TEST(EsysStatus, RefusedAuthorisationIsRecognised) {
  EXPECT_EQ(ClassifyFault(TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_1),
            EsysFault::kRefused);
  EXPECT_EQ(ClassifyFault(TPM2_RC_AUTH_FAIL | TPM2_RC_S | TPM2_RC_2),
            EsysFault::kRefused);
}

TEST(EsysStatus, ResourceManagersCodesAreTheTpms) {
  EXPECT_EQ(ClassifyFault(TSS2_RESMGR_TPM_RC_LAYER | TPM2_RC_RETRY),
            EsysFault::kBusy);
}

TEST(EsysStatus, ResponseThatDoesNotVerifyIsDataLoss) {
  for (const TSS2_RC code :
       {TSS2_ESYS_RC_RSP_AUTH_FAILED, TSS2_ESYS_RC_MALFORMED_RESPONSE,
        TSS2_SYS_RC_MALFORMED_RESPONSE, TSS2_SYS_RC_INSUFFICIENT_RESPONSE}) {
    EXPECT_EQ(ClassifyFault(code), EsysFault::kAltered) << code;
    EXPECT_THAT(ToStatus(code, "x"), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST(EsysStatus, BrokenWayToTheTpmIsUnavailable) {
  for (const TSS2_RC code :
       {TSS2_TCTI_RC_IO_ERROR, TSS2_TCTI_RC_NO_CONNECTION,
        TSS2_TCTI_RC_TRY_AGAIN, TSS2_TCTI_RC_GENERAL_FAILURE}) {
    EXPECT_EQ(ClassifyFault(code), EsysFault::kGone) << code;
    EXPECT_THAT(ToStatus(code, "x"), StatusIs(absl::StatusCode::kUnavailable));
  }
}

TEST(EsysStatus, FailureModeNeedsAPowerCycle) {
  EXPECT_THAT(ToStatus(TPM2_RC_FAILURE, "x"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("power cycle")));
}

TEST(EsysStatus, UnknownCodeIsInternalAndDecoded) {
  EXPECT_THAT(ToStatus(TPM2_RC_SCHEME | TPM2_RC_P | TPM2_RC_2, "x"),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("scheme")));
}

}  // namespace
}  // namespace vmattest::tpm
