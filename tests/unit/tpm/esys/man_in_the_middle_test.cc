#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "crypto/digest.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/tpm_proxy.h"
#include "tpm/esys/esys_host_tpm.h"

// What somebody on the bus between host and TPM learns and changes: nothing.

namespace vmattest::tpm {
namespace {

using namespace testing;  // NOLINT: the whole fixture is test support
using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr uint32_t kRetry = 0x922;
constexpr uint32_t kContextGap = 0x901;
constexpr uint32_t kLockout = 0x921;
constexpr size_t kHeader = 10;
// TPM_RC_HANDLE about the first handle.
constexpr uint32_t kHandle1 = 0x18B;
// TPM_CC (TPM 2.0 Library, Part 2, 6.5).
constexpr uint32_t kNvIncrement = 0x134;
constexpr uint32_t kNvWrite = 0x137;
constexpr uint32_t kNvRead = 0x14E;
constexpr uint32_t kNvReadPublic = 0x169;
constexpr uint32_t kGetCapability = 0x17A;
constexpr uint32_t kPcrExtend = 0x182;
constexpr uint32_t kNvCertify = 0x184;

Bytes ErrorAnswer(uint32_t code) {
  ByteWriter answer;
  answer.U16(0x8001).U32(kHeader).U32(code);
  return std::move(answer).Take();
}

bool Contains(ByteView haystack, ByteView needle) {
  return std::search(haystack.begin(), haystack.end(), needle.begin(),
                     needle.end()) != haystack.end();
}

// docs/tpm.md: how an authorisation value is derived.
Bytes AuthValue(const SecretBytes& key_auth, std::string_view label) {
  ByteWriter input;
  input.Raw("vmattest/tpm-auth/v1").U8(0).Raw(label);
  Bytes value = HmacSha256(key_auth, input.bytes());
  value.back() |= 1;
  return value;
}

class ManInTheMiddle : public ::testing::Test {
 protected:
  EsysHostTpmOptions Options() const {
    EsysHostTpmOptions options;
    options.tcti = proxy_.tcti();
    options.key_auth = SecretBytes(Bytes(key_auth_));
    options.pin_file = dir_.path() / "tpm.json";
    options.command_timeout = milliseconds(20'000);
    return options;
  }
  absl::StatusOr<Quote> QuoteOn(HostTpm& tpm) const {
    return tpm.MakeQuote(KeyPurpose::kConfig, data_);
  }
  // After an attack ends the adapter works on, and nothing has leaked.
  void ExpectRecovers(EsysHostTpm& tpm) {
    proxy_.Behave();
    EXPECT_THAT(QuoteOn(tpm), IsOk());
    EXPECT_TRUE(swtpm_.Handles(0x80000000).empty());
    EXPECT_EQ(swtpm_.Handles(0x02000000).size(), 1U);
  }

  const Bytes key_auth_ = ToBytes("a key authorisation of many bytes");
  const Bytes data_ = Hash(HashAlgorithm::kSha256, AsBytes("question"));
  TempDir dir_;
  Swtpm swtpm_;
  TpmProxy proxy_{swtpm_.socket()};
};

TEST_F(ManInTheMiddle, LearnsNoSecret) {
  evidence::HostIdentity identity;
  for (int start = 0; start < 2; ++start) {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_THAT(QuoteOn(tpm), IsOk());
    ASSERT_OK_AND_ASSIGN(identity, tpm.GetIdentity());
  }
  const Bytes seen = proxy_.Recorded();
  // It does see the public part of a key that is there already: this test looks
  // in the right place.
  ASSERT_OK_AND_ASSIGN(const auto ak,
                       evidence::ParseEccPublic(identity.ak_public));
  ASSERT_TRUE(Contains(seen, ak.key.x));
  const SecretBytes key_auth{Bytes(key_auth_)};
  EXPECT_FALSE(Contains(seen, key_auth_));
  EXPECT_FALSE(Contains(seen, AuthValue(key_auth, "ak")));
  EXPECT_FALSE(Contains(seen, AuthValue(key_auth, "config/1")));
  EXPECT_FALSE(Contains(seen, data_));
}

TEST_F(ManInTheMiddle, LearnsNoAuthorisationOfTheLogsIndexes) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(1, data_), IsOk());
  ASSERT_THAT(tpm.CountBoot(), IsOk());
  ASSERT_THAT(tpm.ReadLogRegisters(), IsOk());
  ASSERT_THAT(tpm.CertifyLogAnchor(data_), IsOk());
  const SecretBytes key_auth{Bytes(key_auth_)};
  const Bytes anchor = AuthValue(key_auth, "log-anchor");
  const Bytes counter = AuthValue(key_auth, "boot-counter");
  // They are the real ones.
  const auto read = [&](uint32_t index, ByteView auth) {
    return std::system(fmt::format("tpm2_nvread -T {} {:#x} -C {:#x} -P "
                                   "hex:{} >/dev/null 2>&1",
                                   swtpm_.tcti(), index, index, ToHex(auth))
                           .c_str());
  };
  EXPECT_EQ(read(0x01810130, anchor), 0);
  EXPECT_EQ(read(0x01810131, counter), 0);
  EXPECT_NE(read(0x01810130, counter), 0);
  const Bytes seen = proxy_.Recorded();
  EXPECT_FALSE(Contains(seen, anchor));
  EXPECT_FALSE(Contains(seen, counter));
  EXPECT_FALSE(Contains(seen, key_auth_));
}

TEST_F(ManInTheMiddle, AlteredAnswersOfTheLogsCommandsAreDataLoss) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.ReadLogRegisters(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(1, data_), IsOk());
  const std::function<absl::Status()> calls[] = {
      [&] { return tpm.ExtendLog(data_); },
      [&] { return tpm.WriteLogAnchor(2, data_); },
      [&] { return tpm.ReadLogRegisters().status(); },
      [&] { return tpm.CountBoot().status(); },
      [&] { return tpm.CertifyLogAnchor(data_).status(); }};
  const uint32_t commands[] = {kPcrExtend, kNvWrite, kNvRead, kNvIncrement,
                               kNvCertify};
  for (size_t i = 0; i < std::size(commands); ++i) {
    proxy_.AlterAnswer(commands[i], [](Bytes& answer) {
      // In the session's HMAC, or in what it covers.
      answer.at(answer.size() - 5) ^= 1;
    });
    EXPECT_THAT(calls[i](), StatusIs(absl::StatusCode::kDataLoss)) << i;
    ExpectRecovers(tpm);
  }
}

TEST_F(ManInTheMiddle, NoAlteredByteOfACertifiedAnchorPasses) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(1, data_), IsOk());
  size_t size = 0;
  proxy_.AlterAnswer(kNvCertify, [&](Bytes& answer) { size = answer.size(); });
  ASSERT_THAT(tpm.CertifyLogAnchor(data_), IsOk());
  ASSERT_GT(size, 200U);
  for (size_t at = kHeader; at < size; at += 9) {
    bool done = false;
    proxy_.AlterAnswer(kNvCertify, [&, at](Bytes& answer) {
      if (!done && at < answer.size()) {
        answer[at] ^= 0x40;
        done = true;
      }
    });
    EXPECT_THAT(tpm.CertifyLogAnchor(data_),
                StatusIs(absl::StatusCode::kDataLoss))
        << at;
  }
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, CannotClaimThatTheAnchorIsGone) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.WriteLogAnchor(7, data_), IsOk());
  proxy_.AlterAnswer(kGetCapability, [](Bytes& answer) {
    answer.at(kHeader + 4 + 8) = 0;  // the number of handles
  });
  EXPECT_THAT(tpm.ReadLogRegisters(), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
  proxy_.AnswerInstead(kNvReadPublic,
                       [](ByteView) { return ErrorAnswer(kHandle1); });
  EXPECT_FALSE(tpm.ReadLogRegisters().ok());
  ExpectRecovers(tpm);
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm.ReadLogRegisters());
  EXPECT_EQ(registers.size, 7U);
}

TEST_F(ManInTheMiddle, CannotMakeTheLogBeExtendedTwice) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto before, tpm.ReadLogRegisters());
  int left = 1;
  proxy_.AnswerInstead(kPcrExtend, [&](ByteView command) {
    const Bytes answer = TransactTpm(swtpm_.socket(), command);
    return left-- > 0 ? ErrorAnswer(kContextGap) : answer;
  });
  ASSERT_THAT(tpm.ExtendLog(data_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto after, tpm.ReadLogRegisters());
  EXPECT_EQ(after.pcr, HashParts(HashAlgorithm::kSha256, {before.pcr, data_}));
  EXPECT_EQ(proxy_.Count(kPcrExtend), 1);
}

TEST_F(ManInTheMiddle, CannotMakeABootBeCountedTwice) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const uint64_t before, tpm.CountBoot());
  int left = 1;
  proxy_.AnswerInstead(kNvIncrement, [&](ByteView command) {
    const Bytes answer = TransactTpm(swtpm_.socket(), command);
    return left-- > 0 ? ErrorAnswer(kContextGap) : answer;
  });
  ASSERT_OK_AND_ASSIGN(const uint64_t after, tpm.CountBoot());
  EXPECT_EQ(after, before + 1);
}

TEST_F(ManInTheMiddle, AlteredCertificationOfANewEpochIsDataLoss) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AlterAnswer(kTpmCcCertify,
                     [](Bytes& answer) { answer.at(answer.size() / 2) ^= 1; });
  EXPECT_THAT(tpm.RotateKey(KeyPurpose::kConfig),
              StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
  ASSERT_OK_AND_ASSIGN(const auto key, tpm.RotateKey(KeyPurpose::kConfig));
  EXPECT_EQ(key.epoch, 2U);
}

TEST_F(ManInTheMiddle, AuthorisationsThatItMustNotLearnAreTheRealOnes) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
  }
  const SecretBytes key_auth{Bytes(key_auth_)};
  const Bytes ak = AuthValue(key_auth, "ak");
  const Bytes config = AuthValue(key_auth, "config/1");
  EXPECT_EQ(swtpm_.TryQuote(0x81010100, AsText(ak)), 0U);
  EXPECT_EQ(swtpm_.TryQuote(0x81010101, AsText(config)), 0U);
  EXPECT_NE(swtpm_.TryQuote(0x81010101, AsText(ak)), 0U);
}

TEST_F(ManInTheMiddle, LearnsNoHierarchyAuthorisation) {
  const std::string change = fmt::format(
      "tpm2_changeauth -T {} -c owner owner-secret && "
      "tpm2_changeauth -T {} -c endorsement endorsement-secret",
      swtpm_.tcti(), swtpm_.tcti());
  ASSERT_EQ(std::system(change.c_str()), 0);
  EsysHostTpmOptions options = Options();
  options.owner_auth = SecretBytes(ToBytes("owner-secret"));
  options.endorsement_auth = SecretBytes(ToBytes("endorsement-secret"));
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_FALSE(Contains(proxy_.Recorded(), AsBytes("owner-secret")));
  EXPECT_FALSE(Contains(proxy_.Recorded(), AsBytes("endorsement-secret")));
}

TEST_F(ManInTheMiddle, AlteredQuoteAnswerIsDataLoss) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AlterAnswer(kTpmCcQuote,
                     [](Bytes& answer) { answer.at(answer.size() / 2) ^= 1; });
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, NoAlteredByteOfAQuoteAnswerPasses) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(QuoteOn(tpm), IsOk());
  size_t size = 0;
  proxy_.AlterAnswer(kTpmCcQuote, [&](Bytes& answer) { size = answer.size(); });
  ASSERT_THAT(QuoteOn(tpm), IsOk());
  ASSERT_GT(size, 200U);
  // From the end of the header, which says only how the TPM fared.
  for (size_t at = kHeader; at < size; at += 5) {
    bool done = false;
    proxy_.AlterAnswer(kTpmCcQuote, [&, at](Bytes& answer) {
      if (!done && at < answer.size()) {
        answer[at] ^= 0x40;
        done = true;
      }
    });
    EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kDataLoss)) << at;
  }
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, AlteredPcrReadIsDetected) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(QuoteOn(tpm), IsOk());
  swtpm_.ExtendPcr(3, Bytes(32, 9));  // so that they are read again
  proxy_.AlterAnswer(kTpmCcPcrRead, [](Bytes& answer) { answer.at(60) ^= 1; });
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, AlteredClockIsDetected) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AlterAnswer(kTpmCcReadClock, [](Bytes& answer) {
    answer.at(kHeader + 4 + 15) ^= 1;  // the last byte of TPMS_CLOCK_INFO.clock
  });
  EXPECT_THAT(tpm.ReadClock(), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, AnswerStrippedOfItsSessionIsDataLoss) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AlterAnswer(kTpmCcReadClock, [](Bytes& answer) {
    ByteReader reader(answer);
    reader.Raw(kHeader);
    const ByteView parameters = reader.Raw(reader.U32());
    ByteWriter stripped;
    stripped.U16(0x8001);
    stripped.U32(static_cast<uint32_t>(kHeader + parameters.size())).U32(0);
    stripped.Raw(parameters);
    answer = std::move(stripped).Take();
  });
  EXPECT_THAT(tpm.ReadClock(), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, ReplayedAnswerIsDataLoss) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  Bytes first;
  proxy_.AlterAnswer(kTpmCcQuote, [&](Bytes& answer) {
    if (first.empty()) {
      first = answer;
    } else {
      answer = first;
    }
  });
  ASSERT_THAT(QuoteOn(tpm), IsOk());
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, CommandsAlteredForGoodAreDataLoss) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AlterCommand(kTpmCcQuote, [](Bytes& command) {
    command.at(command.size() - 2) ^= 0x01;  // the PCR selection
  });
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, CommandAlteredOnceChangesNothing) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  int left = 1;
  proxy_.AlterCommand(kTpmCcQuote, [&](Bytes& command) {
    if (left-- > 0) {
      command.at(command.size() - 2) ^= 0x01;
    }
  });
  ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
  ASSERT_OK_AND_ASSIGN(const auto attest, evidence::ParseAttest(quote.quoted));
  EXPECT_EQ(attest.pcr_selections.at(0).indexes.size(), 9U);
  EXPECT_EQ(attest.extra_data, data_);
}

// Gives the TPM the EK of the L-2 template at the handle where it is looked
// for first.
void PersistEk(const Swtpm& swtpm) {
  const std::string create = fmt::format(
      "tpm2_createek -T {} -G ecc -c 0x81010016 >/dev/null", swtpm.tcti());
  ASSERT_EQ(std::system(create.c_str()), 0);
}

class SwappedEk : public ManInTheMiddle {
 protected:
  SwappedEk() {
    PersistEk(swtpm_);
    PersistEk(other_);
  }
  // Whoever asks for the EK's public part gets the other TPM's.
  void Swap() {
    proxy_.AnswerInstead(kTpmCcReadPublic, [this](ByteView command) {
      ByteReader reader(command);
      reader.Raw(kHeader);
      const bool is_ek = reader.U32() == 0x81010016;
      return TransactTpm(is_ek ? other_.socket() : swtpm_.socket(), command);
    });
  }
  Swtpm other_;
};

TEST_F(SwappedEk, IsDetectedAtTheNextStart) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
  }
  // The persistent EK was taken: only the seven signing keys were made.
  ASSERT_EQ(proxy_.Count(kTpmCcCreatePrimary), 7);
  const int sessions = proxy_.Count(kTpmCcStartAuthSession);
  Swap();
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kDataLoss,
                                        HasSubstr("not the pinned one")));
  // No salt was ever encrypted to the stranger's key.
  EXPECT_EQ(proxy_.Count(kTpmCcStartAuthSession), sessions);
}

TEST_F(SwappedEk, IsDetectedWhenTheSessionIsReopened) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  Swap();
  swtpm_.Kill();
  swtpm_.Start();
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
}

TEST_F(SwappedEk, PublicPartThatDoesNotFitItsNameIsDetected) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
  }
  proxy_.AlterAnswer(kTpmCcReadPublic,
                     [](Bytes& answer) { answer.at(kHeader + 90) ^= 1; });
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ManInTheMiddle, EkMadeAnewCannotBeSwappedEither) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AlterAnswer(kTpmCcCreatePrimary,
                     [](Bytes& answer) { answer.at(kHeader + 100) ^= 1; });
  swtpm_.Kill();
  swtpm_.Start();
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kDataLoss));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, SilentTpmIsUnavailableInTime) {
  EsysHostTpmOptions options = Options();
  options.command_timeout = milliseconds(500);
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  for (const size_t bytes_to_send : {0, 5, 40}) {
    proxy_.WithholdAnswer(kTpmCcQuote, bytes_to_send);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kUnavailable,
                                       HasSubstr("no answer in 500 ms")));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(5000));
    ExpectRecovers(tpm);
  }
}

TEST_F(ManInTheMiddle, TpmThatDiesDuringACommandIsUnavailableUntilItIsBack) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AlterCommand(kTpmCcQuote, [&](Bytes&) { swtpm_.Kill(); });
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kUnavailable));
  swtpm_.Start();
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, BusyTpmIsAskedAgain) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  int left = 8;
  proxy_.AnswerInstead(kTpmCcQuote, [&](ByteView command) {
    return left-- > 0 ? ErrorAnswer(kRetry)
                      : TransactTpm(swtpm_.socket(), command);
  });
  EXPECT_THAT(QuoteOn(tpm), IsOk());
}

TEST_F(ManInTheMiddle, TpmThatStaysBusyIsUnavailable) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AnswerInstead(kTpmCcQuote,
                       [](ByteView) { return ErrorAnswer(kRetry); });
  EXPECT_THAT(QuoteOn(tpm),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("busy")));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, ContextGapReopensTheSession) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  const int sessions = proxy_.Count(kTpmCcStartAuthSession);
  int left = 1;
  proxy_.AnswerInstead(kTpmCcQuote, [&](ByteView command) {
    return left-- > 0 ? ErrorAnswer(kContextGap)
                      : TransactTpm(swtpm_.socket(), command);
  });
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  EXPECT_GT(proxy_.Count(kTpmCcStartAuthSession), sessions);
}

TEST_F(ManInTheMiddle, LockoutIsAPreconditionInWords) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  proxy_.AnswerInstead(kTpmCcQuote,
                       [](ByteView) { return ErrorAnswer(kLockout); });
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("lockout")));
  ExpectRecovers(tpm);
}

TEST_F(ManInTheMiddle, PcrsThatRaceTheQuoteAreReadAgain) {
  EsysHostTpmOptions options = Options();
  options.pcrs = {0, 13};
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  int left = 3;
  proxy_.AlterCommand(kTpmCcPcrRead, [&](Bytes&) {
    if (left-- > 0) {
      swtpm_.ExtendPcr(13, Bytes(32, 0x42));
    }
  });
  swtpm_.ExtendPcr(13, Bytes(32, 0x41));
  ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
  ASSERT_OK_AND_ASSIGN(const auto attest, evidence::ParseAttest(quote.quoted));
  ASSERT_OK_AND_ASSIGN(
      const Bytes digest,
      evidence::PcrDigest(0x000B, attest.pcr_selections, quote.pcr_banks));
  EXPECT_EQ(digest, attest.pcr_digest);
}

TEST_F(ManInTheMiddle, SteadyPcrsCostNoCommandButTheQuote) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(QuoteOn(tpm), IsOk());
  const int reads = proxy_.Count(kTpmCcPcrRead);
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(QuoteOn(tpm), IsOk());
  }
  EXPECT_EQ(proxy_.Count(kTpmCcPcrRead), reads);
}

}  // namespace
}  // namespace vmattest::tpm
