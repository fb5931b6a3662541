#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/key_command.h"
#include "cli/reference_command.h"
#include "cli/verify_command.h"
#include "support/evidence_builder.h"
#include "support/temp_dir.h"
#include "support/vectors.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};
template <class Args>
Ran Do(int (*run)(const Args&, std::ostream&, std::ostream&),
       const Args& args) {
  std::ostringstream out;
  std::ostringstream err;
  Ran ran;
  ran.code = run(args, out, err);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

// What an operator does: make a key, learn, sign, check evidence by it.
class ReferenceCommandsTest : public ::testing::Test {
 protected:
  ReferenceCommandsTest() {
    dir.Write("anchors/host-1.json", wire::HostIdentityToJson(host.Identity()));
    EXPECT_EQ(Do(RunKeyGenerate, KeyGenerateArgs{.name = "alice@ops",
                                                 .out = Path("alice.key"),
                                                 .level = "none"})
                  .code,
              kExitGood);
    dir.Write("approvers/alice.pub", testing::Slurp(Path("alice.key.pub")));
  }

  [[nodiscard]] std::string Path(std::string_view name) const {
    return (dir.path() / name).string();
  }
  std::string WriteEvidence(std::string_view name) {
    return dir.Write(name, AsText(builder.BuildFile())).string();
  }
  void Learn(bool rules_only) {
    WriteEvidence("good.evidence");
    const Ran ran =
        Do(RunReferenceLearn, ReferenceLearnArgs{.file = Path("good.evidence"),
                                                 .anchors = Path("anchors"),
                                                 .name = "web",
                                                 .rules_only = rules_only,
                                                 .out = Path("web.yaml")});
    EXPECT_EQ(ran.code, kExitGood) << ran.err;
  }
  Ran Sign() {
    return Do(RunReferenceSign, ReferenceSignArgs{.file = Path("web.yaml"),
                                                  .key = Path("alice.key"),
                                                  .out = Path("web.ref")});
  }
  Ran Verify(const std::string& file, bool json = false) {
    VerifyArgs args;
    args.file = file;
    args.anchors = Path("anchors");
    args.reference = Path("web.ref");
    args.approvers = Path("approvers");
    args.json = json;
    return Do(RunVerify, args);
  }

  testing::TempDir dir;
  const testing::SoftHost host;
  testing::EvidenceBuilder builder{host};
};

TEST_F(ReferenceCommandsTest, WhatWasLearnedAndSignedLetsTheVmPass) {
  Learn(false);
  EXPECT_EQ(Do(RunReferenceCheck, ReferenceCheckArgs{Path("web.yaml")}).code,
            kExitGood);
  ASSERT_EQ(Sign().code, kExitGood);
  Ran ran = Do(RunReferenceVerify,
               ReferenceVerifyArgs{Path("web.ref"), Path("approvers")});
  EXPECT_EQ(ran.code, kExitGood) << ran.out;
  EXPECT_THAT(ran.out, HasSubstr("alice@ops"));
  ran = Verify(Path("good.evidence"));
  EXPECT_EQ(ran.code, kExitGood) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("web@1, enforce, signed by"));
}

TEST_F(ReferenceCommandsTest, EveryFindingComesWithItsFix) {
  Learn(true);
  ASSERT_EQ(Sign().code, kExitGood);
  builder.leaves.front().value += "x";
  builder.leaves.push_back({"zzz", LeafType::kText, "1"});
  const std::string bad = WriteEvidence("bad.evidence");
  Ran ran = Verify(bad);
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  EXPECT_THAT(ran.out, HasSubstr("reference-leaf-changed"));
  EXPECT_THAT(ran.out, HasSubstr("fix       \"remove zzz\""));
  ran = Verify(bad, true);
  const nlohmann::json json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["trusted"], false);
  EXPECT_EQ(json["genuine"], true);
  EXPECT_EQ(json["reference"], "web@1");
  ASSERT_EQ(json["reasons"].size(), 2u);
  EXPECT_EQ(json["reasons"][1]["fix"], "remove zzz");
}

TEST_F(ReferenceCommandsTest, AReferenceThatNoApproverSignedDecidesNothing) {
  Learn(false);
  ASSERT_EQ(Do(RunKeyGenerate, KeyGenerateArgs{.name = "mallory",
                                               .out = Path("mallory.key"),
                                               .level = "none"})
                .code,
            kExitGood);
  ASSERT_EQ(Do(RunReferenceSign, ReferenceSignArgs{.file = Path("web.yaml"),
                                                   .key = Path("mallory.key"),
                                                   .out = Path("web.ref")})
                .code,
            kExitGood);
  Ran ran = Verify(Path("good.evidence"));
  EXPECT_EQ(ran.code, kExitUndecided);
  EXPECT_THAT(ran.err, HasSubstr("document-signer-unknown"));
  ran = Do(RunReferenceVerify,
           ReferenceVerifyArgs{Path("web.ref"), Path("approvers"), true});
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  EXPECT_EQ(nlohmann::json::parse(ran.out)["reasons"][0]["code"],
            "document-signer-unknown");
  ran = Do(RunReferenceShow, ReferenceShowArgs{Path("web.ref")});
  EXPECT_EQ(ran.code, kExitGood);
  EXPECT_THAT(ran.out, HasSubstr("# signatures not checked"));
}

TEST_F(ReferenceCommandsTest, AReferenceThatIsOverIsNotValid) {
  Learn(false);
  std::string yaml = testing::Slurp(Path("web.yaml"));
  dir.Write("web.yaml", yaml +
                            "header:\n  not_before_unix_ms: 1000\n"
                            "  not_after_unix_ms: 2000\n");
  ASSERT_EQ(Sign().code, kExitGood);
  const Ran ran = Do(RunReferenceVerify,
                     ReferenceVerifyArgs{Path("web.ref"), Path("approvers")});
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  EXPECT_THAT(ran.out, HasSubstr("reference-not-valid"));
  EXPECT_THAT(Verify(Path("good.evidence")).out, HasSubstr("reference-none"));
}

TEST_F(ReferenceCommandsTest, TheTemplateIsAReference) {
  ReferenceNewArgs args{.name = "web", .vms = {"*"}, .out = Path("web.yaml")};
  EXPECT_EQ(Do(RunReferenceNew, args).code, kExitGood);
  EXPECT_EQ(Sign().code, kExitGood);
  args.name = "Web";
  EXPECT_EQ(Do(RunReferenceNew, args).code, kExitUsage);
}

TEST_F(ReferenceCommandsTest, NothingIsLearnedFromWhatIsNotGenuine) {
  const testing::SoftHost stranger;
  const testing::EvidenceBuilder theirs(stranger);
  const std::string file =
      dir.Write("x.evidence", AsText(theirs.BuildFile())).string();
  const Ran ran =
      Do(RunReferenceLearn, ReferenceLearnArgs{.file = file,
                                               .anchors = Path("anchors"),
                                               .name = "web",
                                               .out = Path("x.yaml")});
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  EXPECT_THAT(ran.err, HasSubstr("host-unknown"));
  EXPECT_FALSE(std::filesystem::exists(Path("x.yaml")));
}

TEST_F(ReferenceCommandsTest, SimulationListsWhatWouldFlip) {
  Learn(false);
  ASSERT_EQ(Sign().code, kExitGood);
  builder.leaves.front().value += "x";
  ReferenceSimulateArgs args;
  args.files = {Path("good.evidence"), WriteEvidence("bad.evidence")};
  args.proposed = Path("web.yaml");
  args.anchors = Path("anchors");
  // Nothing is in force: the good one would become allowed.
  Ran ran = Do(RunReferenceSimulate, args);
  EXPECT_EQ(ran.code, kExitNotTrustworthy) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("refused, would be allowed"));
  EXPECT_THAT(ran.out, HasSubstr("1 of 2 would flip"));
  args.active = {Path("web.ref")};
  EXPECT_EQ(Do(RunReferenceSimulate, args).code, kExitUsage);
  args.approvers = Path("approvers");
  args.json = true;
  ran = Do(RunReferenceSimulate, args);
  EXPECT_EQ(nlohmann::json::parse(ran.out)["examined"], 2);
}

TEST_F(ReferenceCommandsTest, WrongArgumentsAreUsageErrors) {
  Learn(false);
  ASSERT_EQ(Sign().code, kExitGood);
  EXPECT_EQ(Do(RunReferenceCheck, ReferenceCheckArgs{Path("none")}).code,
            kExitUsage);
  EXPECT_EQ(Do(RunReferenceShow, ReferenceShowArgs{Path("web.yaml")}).code,
            kExitUsage);
  VerifyArgs args;
  args.file = Path("good.evidence");
  args.anchors = Path("anchors");
  args.reference = Path("web.ref");
  args.approvers = Path("approvers");
  args.fresh = true;
  EXPECT_EQ(Do(RunVerify, args).code, kExitUsage);
  EXPECT_EQ(Do(RunKeyGenerate,
               KeyGenerateArgs{.name = "a", .out = Path("k"), .level = "44"})
                .code,
            kExitUsage);
  // A key is never overwritten.
  EXPECT_NE(Do(RunKeyGenerate,
               KeyGenerateArgs{
                   .name = "a", .out = Path("alice.key"), .level = "none"})
                .code,
            kExitGood);
}

TEST_F(ReferenceCommandsTest, KeysAreShownPublicOrPrivate) {
  const Ran shown = Do(RunKeyShow, KeyShowArgs{Path("alice.key.pub"), true});
  EXPECT_EQ(shown.code, kExitGood);
  EXPECT_EQ(nlohmann::json::parse(shown.out)["name"], "alice@ops");
  EXPECT_EQ(Do(RunKeyShow, KeyShowArgs{Path("alice.key"), true}).out,
            shown.out);
  EXPECT_EQ(Do(RunKeyShow, KeyShowArgs{Path("none")}).code, kExitUsage);
}

TEST_F(ReferenceCommandsTest, APrivateKeyGivesItsPublicHalf) {
  const std::string half = testing::Slurp(Path("alice.key.pub"));
  const Ran printed = Do(RunKeyPublic, KeyPublicArgs{Path("alice.key")});
  EXPECT_EQ(printed.code, kExitGood);
  EXPECT_EQ(printed.out, half);
  EXPECT_EQ(
      Do(RunKeyPublic, KeyPublicArgs{Path("alice.key"), Path("again.pub")}).out,
      "");
  EXPECT_EQ(testing::Slurp(Path("again.pub")), half);
  EXPECT_EQ(Do(RunKeyPublic, KeyPublicArgs{Path("alice.key.pub")}).out, half);
  EXPECT_EQ(Do(RunKeyPublic, KeyPublicArgs{Path("none")}).code, kExitUsage);
  EXPECT_NE(
      Do(RunKeyPublic, KeyPublicArgs{Path("alice.key"), Path("no/where")}).code,
      kExitGood);
}

}  // namespace
}  // namespace vmattest::cli
