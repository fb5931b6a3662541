#include "crypto/digest.h"
#include "evidence/tpm_structures.h"
#include "unit/tpm/esys/esys_fixture.h"

// What a real TPM holds of the host event log (rule S1), and what somebody with
// the owner's authorisation can do to it. The port's own claims are in
// tests/contract/host_tpm_contract_test.cc.

namespace vmattest::tpm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;
using Anchor = LogRegisters::Anchor;

const char* const kDefine =
    "{:#x} -C o -s 40 -p hex:{} -a \"ownerread|authread|authwrite|no_da\"";

class EsysEventLog : public EsysFixture {
 protected:
  void Undefine(uint32_t index) const {
    RunTool("tpm2_nvundefine", fmt::format("{:#x}", index));
  }
  // docs/tpm.md: how an authorisation value is derived.
  static Bytes AuthValue() {
    ByteWriter input;
    input.Raw("vmattest/tpm-auth/v1").U8(0).Raw("log-anchor");
    Bytes value = HmacSha256(SecretBytes(Bytes(32, 0x5A)), input.bytes());
    value.back() |= 1;
    return value;
  }

  const Bytes head_ = Bytes(32, 0x42);
};

TEST_F(EsysEventLog, S1_PcrAndAnchorSurviveTheDaemon) {
  LogRegisters before;
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_THAT(tpm.ExtendLog(data_), IsOk());
    ASSERT_THAT(tpm.WriteLogAnchor(1, head_), IsOk());
    ASSERT_THAT(tpm.CountBoot(), IsOk());
    ASSERT_OK_AND_ASSIGN(before, tpm.ReadLogRegisters());
  }
  EXPECT_EQ(before.pcr,
            HashParts(HashAlgorithm::kSha256, {Bytes(32, 0), data_}));
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto after, tpm.ReadLogRegisters());
  EXPECT_EQ(after.pcr, before.pcr);
  EXPECT_EQ(after.anchor, Anchor::kWritten);
  EXPECT_EQ(after.size, 1U);
  EXPECT_EQ(after.head, head_);
  EXPECT_EQ(after.boot_count, before.boot_count);
}

TEST_F(EsysEventLog, S1_PowerCycleEmptiesThePcrAndKeepsTheAnchor) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.ExtendLog(data_), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(9, head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const uint64_t boots, tpm.CountBoot());
  ASSERT_OK_AND_ASSIGN(const auto before, tpm.ReadLogRegisters());
  swtpm_.Kill();  // no TPM2_Shutdown: an orderly index would be lost
  swtpm_.Start();
  ASSERT_OK_AND_ASSIGN(const auto after, tpm.ReadLogRegisters());
  EXPECT_EQ(after.pcr, Bytes(32, 0));
  EXPECT_EQ(after.anchor, Anchor::kWritten);
  EXPECT_EQ(after.size, 9U);
  EXPECT_EQ(after.head, head_);
  EXPECT_EQ(after.boot_count, boots);
  EXPECT_EQ(after.clock.reset_count, before.clock.reset_count + 1);
}

TEST_F(EsysEventLog, S1_IndexesAreNotOrderly) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(1, head_), IsOk());
  const auto public_file = dir_.path() / "public";
  Run(
      fmt::format("tpm2_nvreadpublic -T {} {:#x} > {} && grep -q 'size: 40' "
                  "{} && ! grep -q orderly {}",
                  swtpm_.tcti(), kLogIndex, public_file.string(),
                  public_file.string(), public_file.string()));
}

TEST_F(EsysEventLog, S1_LogPcrIsInEveryQuote) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(QuoteOn(tpm), IsOk());
  ASSERT_THAT(tpm.ExtendLog(data_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm.ReadLogRegisters());
  ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
  EXPECT_EQ(quote.pcr_banks.at(0).values.at(13), registers.pcr);
}

TEST_F(EsysEventLog, S1_UndefinedIndexIsLossAndNeverMadeByItself) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_THAT(tpm.WriteLogAnchor(5, head_), IsOk());
  }
  Undefine(kLogIndex);
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto lost, tpm.ReadLogRegisters());
  EXPECT_EQ(lost.anchor, Anchor::kUndefined);
  EXPECT_EQ(lost.size, 0U);
  EXPECT_THAT(tpm.CertifyLogAnchor(data_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("0x1810130 is gone")));
  ASSERT_THAT(tpm.WriteLogAnchor(6, head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto again, tpm.ReadLogRegisters());
  EXPECT_EQ(again.anchor, Anchor::kWritten);
  EXPECT_EQ(again.size, 6U);
}

TEST_F(EsysEventLog, S1_IndexThatTheOwnerMadeAgainIsUnwritten) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(5, head_), IsOk());
  Undefine(kLogIndex);
  // Whoever has all our secrets: it still shows.
  RunTool("tpm2_nvdefine",
          fmt::format(fmt::runtime(kDefine), kLogIndex, ToHex(AuthValue())));
  ASSERT_OK_AND_ASSIGN(const auto lost, tpm.ReadLogRegisters());
  EXPECT_EQ(lost.anchor, Anchor::kUnwritten);
  EXPECT_THAT(tpm.CertifyLogAnchor(data_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("never written")));
  ASSERT_THAT(tpm.WriteLogAnchor(6, head_), IsOk());
  EXPECT_THAT(tpm.CertifyLogAnchor(data_), IsOk());
}

TEST_F(EsysEventLog, S1_IndexThatTheOwnerMadeAgainWithAnotherAuthorisation) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(5, head_), IsOk());
  Undefine(kLogIndex);
  RunTool("tpm2_nvdefine", fmt::format(fmt::runtime(kDefine), kLogIndex, "11"));
  // Forged with the very contents: the same Name, and not ours all the same.
  Bytes contents(7, 0);
  contents.push_back(5);
  contents.insert(contents.end(), head_.begin(), head_.end());
  dir_.Write("anchor", AsText(contents));
  RunTool("tpm2_nvwrite",
          fmt::format("{:#x} -C {:#x} -P hex:11 -i {}/anchor", kLogIndex,
                      kLogIndex, dir_.path().string()));
  ASSERT_OK_AND_ASSIGN(const auto lost, tpm.ReadLogRegisters());
  EXPECT_EQ(lost.anchor, Anchor::kUndefined);
  ASSERT_THAT(tpm.WriteLogAnchor(6, head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto again, tpm.ReadLogRegisters());
  EXPECT_EQ(again.anchor, Anchor::kWritten);
  EXPECT_EQ(again.size, 6U);
}

TEST_F(EsysEventLog, IndexThatGoesWhileTheDaemonRunsIsDefinedAgain) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(5, head_), IsOk());
  Undefine(kLogIndex);
  ASSERT_THAT(tpm.WriteLogAnchor(6, head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm.ReadLogRegisters());
  EXPECT_EQ(registers.size, 6U);
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kLoadedSession), SizeIs(1));
}

TEST_F(EsysEventLog, ForeignIndexIsNamedAndKept) {
  RunTool("tpm2_nvdefine", fmt::format("{:#x} -C o -s 16", kLogIndex));
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("0x1810130")));
  RunTool("tpm2_nvreadpublic", fmt::format("{:#x}", kLogIndex));
}

TEST_F(EsysEventLog, OwnerCanReadTheAnchorAndNobodyWritesIt) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(0x0102030405060708, head_), IsOk());
  const std::string out = dir_.path() / "out";
  RunTool("tpm2_nvread", fmt::format("{:#x} -C o -s 40 -o {}", kLogIndex, out));
  std::ifstream in(out);
  const std::string contents(std::istreambuf_iterator<char>(in), {});
  ASSERT_EQ(contents.size(), 40U);
  EXPECT_EQ(contents.substr(0, 8), "\x01\x02\x03\x04\x05\x06\x07\x08");
  EXPECT_EQ(ToBytes(std::string_view(contents).substr(8)), head_);
  EXPECT_NE(TryRun(fmt::format("tpm2_nvwrite -T {} {:#x} -C o -i {}",
                               swtpm_.tcti(), kLogIndex, out)),
            0);
  EXPECT_NE(TryRun(fmt::format("tpm2_nvwrite -T {} {:#x} -C {:#x} -i {}",
                               swtpm_.tcti(), kLogIndex, kLogIndex, out)),
            0);
}

TEST_F(EsysEventLog, BootCounterNeverGoesBackEvenIfItIsMadeAgain) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto fresh, tpm.ReadLogRegisters());
  EXPECT_EQ(fresh.boot_count, 0U);
  uint64_t last = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const uint64_t now, tpm.CountBoot());
    EXPECT_GT(now, last);
    last = now;
  }
  Undefine(kBootCounter);
  ASSERT_OK_AND_ASSIGN(const auto gone, tpm.ReadLogRegisters());
  EXPECT_EQ(gone.boot_count, 0U);
  ASSERT_OK_AND_ASSIGN(const uint64_t again, tpm.CountBoot());
  EXPECT_GT(again, last);
}

TEST_F(EsysEventLog, LogPcrOfTheSha384BankTakesItsOwnSize) {
  EsysHostTpmOptions options = Options();
  options.pcr_bank = 0x000C;
  options.log_pcr = 12;
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(tpm.ExtendLog(data_),
              StatusIs(absl::StatusCode::kInvalidArgument));
  const Bytes digest(48, 0x33);
  ASSERT_THAT(tpm.ExtendLog(digest), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm.ReadLogRegisters());
  EXPECT_EQ(registers.pcr,
            HashParts(HashAlgorithm::kSha384, {Bytes(48, 0), digest}));
  ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
  EXPECT_EQ(quote.pcr_banks.at(0).values.at(12), registers.pcr);
}

TEST_F(EsysEventLog, ResetThatNobodyNoticedDoesNotStartALogInItsMiddle) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.ReadLogRegisters(), IsOk());
  ASSERT_THAT(tpm.ExtendLog(data_), IsOk());
  swtpm_.Kill();
  swtpm_.Start();
  ASSERT_THAT(QuoteOn(tpm), IsOk());  // reopens
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(tpm.ExtendLog(data_), StatusIs(absl::StatusCode::kUnavailable,
                                               HasSubstr("was reset")));
  }
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm.ReadLogRegisters());
  EXPECT_EQ(registers.pcr, Bytes(32, 0));
  EXPECT_THAT(tpm.ExtendLog(data_), IsOk());
}

TEST_F(EsysEventLog, SessionLostBetweenExtendsLosesAndDoublesNone) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  Bytes expected(32, 0);
  for (int i = 0; i < 4; ++i) {
    RunTool("tpm2_flushcontext", "-l");
    ASSERT_THAT(tpm.ExtendLog(data_), IsOk());
    expected = HashParts(HashAlgorithm::kSha256, {expected, data_});
  }
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm.ReadLogRegisters());
  EXPECT_EQ(registers.pcr, expected);
}

TEST_F(EsysEventLog, TpmWithoutRoomForTheAnchorIsSaid) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  Undefine(kLogIndex);
  uint32_t index = 0x01B00000;
  for (const int size : {2000, 100, 1}) {
    while (TryRun(fmt::format("tpm2_nvdefine -T {} {:#x} -C o -s {}",
                              swtpm_.tcti(), index, size)) == 0) {
      ASSERT_LT(++index, 0x01B01000U);
    }
  }
  EXPECT_THAT(tpm.WriteLogAnchor(1, head_),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("defining the log-anchor index")));
  EXPECT_THAT(QuoteOn(tpm), IsOk());
}

TEST_F(EsysEventLog, Tpm2ToolsAgreeOnTheNameThatIsCertified) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(3, head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  ASSERT_OK_AND_ASSIGN(const auto made, tpm.CertifyLogAnchor(data_));
  EXPECT_EQ(made.nv_public, identity.log_index);
  ASSERT_OK_AND_ASSIGN(const auto attest,
                       evidence::ParseAttest(made.certify_info));
  Run(fmt::format("tpm2_nvreadpublic -T {} {:#x} | grep -q 'name: {}'",
                  swtpm_.tcti(), kLogIndex, ToHex(attest.nv_index_name)));
}

}  // namespace
}  // namespace vmattest::tpm
