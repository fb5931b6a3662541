// `verify` and `explain` with disclosures and with salted evidence.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/exit_code.h"
#include "cli/explain_command.h"
#include "cli/verify_command.h"
#include "evidence/config_tree.h"
#include "support/evidence_builder.h"
#include "support/temp_dir.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kInside[] = "disk/vda/inside";
constexpr char kBash[] = "disk/vda/inside/package[bash:amd64]";

class SaltedCommandsTest : public ::testing::Test {
 protected:
  SaltedCommandsTest() {
    builder.vm_salt = Bytes(32, 9);
    builder.subtrees[kInside] = {
        {"package[bash:amd64]", LeafType::kText, "5.2"},
        {"table", LeafType::kText, "gpt"}};
    verify.anchors = (dir.path() / "anchors").string();
    dir.Write("anchors/host-1.json", wire::HostIdentityToJson(host.Identity()));
  }

  std::string WriteEvidence(bool keep_back) {
    builder.keep_back = keep_back;
    return dir.Write("vm.evidence", AsText(builder.BuildFile())).string();
  }
  std::string WriteDisclosure() {
    return dir
        .Write("vm.disclosure",
               AsText(wire::EncodeDisclosure(
                   builder.BuildDisclosure({"memory/max", kBash}))))
        .string();
  }
  // What `vmattest measure --salt --json` prints of the builder's leaves.
  std::string WriteMeasurement() {
    const ConfigTree tree = builder.BuildTree();
    nlohmann::json json = {
        {"root", ToHex(tree.root)},
        {"algorithm", ToString(tree.algorithm)},
        {"salt_id", evidence::SaltId(SecretBytes(Bytes{builder.vm_salt}))}};
    const auto add = [](nlohmann::json& list, const ConfigLeaf& leaf) {
      list.push_back({{"path", leaf.path},
                      {"type", ToString(leaf.type)},
                      {"value", leaf.value}});
    };
    for (const ConfigLeaf& leaf : tree.leaves) {
      add(json["leaves"], leaf);
    }
    for (const ConfigSubtree& subtree : tree.subtrees) {
      nlohmann::json below = {{"path", subtree.path}};
      for (const ConfigLeaf& leaf : subtree.leaves) {
        add(below["leaves"], leaf);
      }
      json["subtrees"].push_back(below);
    }
    return dir.Write("measurement.json", json.dump()).string();
  }

  int Verify() {
    out.str("");
    err.str("");
    return RunVerify(verify, out, err);
  }

  testing::TempDir dir;
  testing::SoftHost host;
  testing::EvidenceBuilder builder{host};
  VerifyArgs verify;
  std::ostringstream out;
  std::ostringstream err;
};

TEST_F(SaltedCommandsTest, VerifyPrintsDisclosedLeaves) {
  verify.file = WriteDisclosure();
  EXPECT_EQ(Verify(), kExitGood) << out.str() << err.str();
  EXPECT_THAT(out.str(), HasSubstr("verdict     trusted\n"));
  EXPECT_THAT(out.str(),
              HasSubstr("leaf        \"memory/max\" size \"536870912\"\n"));
  EXPECT_THAT(out.str(), HasSubstr("package[bash:amd64]"));
  EXPECT_THAT(out.str(), Not(HasSubstr("cpu/count")));
}

TEST_F(SaltedCommandsTest, VerifyPrintsDisclosedLeavesAsJson) {
  verify.file = WriteDisclosure();
  verify.json = true;
  EXPECT_EQ(Verify(), kExitGood);
  const auto json = nlohmann::json::parse(out.str());
  EXPECT_EQ(json["trusted"], true);
  const auto& leaves = json["claims"]["leaves"];
  ASSERT_EQ(leaves.size(), 2u);
  EXPECT_EQ(leaves[0]["path"], "memory/max");
  EXPECT_EQ(leaves[0]["value"], "536870912");
  EXPECT_EQ(leaves[1]["path"], kBash);
  EXPECT_EQ(leaves[1]["type"], "text");
}

TEST_F(SaltedCommandsTest, VerifyComparesDisclosedLeavesAlone) {
  verify.file = WriteDisclosure();
  verify.expect = WriteMeasurement();
  EXPECT_EQ(Verify(), kExitGood) << out.str() << err.str();
  builder.subtrees[kInside][0].value = "5.3";
  verify.file = WriteDisclosure();
  EXPECT_EQ(Verify(), kExitNotTrustworthy);
  EXPECT_THAT(out.str(), HasSubstr("config-leaf-changed"));
  EXPECT_THAT(out.str(), HasSubstr("The host did say this"));
}

TEST_F(SaltedCommandsTest, VerifyRefusesADamagedDisclosure) {
  verify.file = WriteDisclosure();
  Bytes file = wire::EncodeDisclosure(builder.BuildDisclosure({"name"}));
  file.pop_back();
  verify.file = dir.Write("short", AsText(file)).string();
  EXPECT_EQ(Verify(), kExitNotTrustworthy);
  EXPECT_THAT(out.str(), HasSubstr("disclosure-malformed"));
  EXPECT_THAT(out.str(), Not(HasSubstr("leaf  ")));
}

TEST_F(SaltedCommandsTest, VerifyEscapesHostileLeaves) {
  builder.leaves.push_back(
      {"title", LeafType::kText, "x\x1b[31m\nverdict     trusted"});
  const auto file = wire::EncodeDisclosure(builder.BuildDisclosure({"title"}));
  verify.file = dir.Write("hostile", AsText(file)).string();
  EXPECT_EQ(Verify(), kExitGood);
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(out.str(), Not(HasSubstr("\nverdict     trusted\"")));
}

TEST_F(SaltedCommandsTest, OwnersMeasurementComparesKeptBackEvidenceByRoot) {
  verify.expect = WriteMeasurement();
  verify.file = WriteEvidence(/*keep_back=*/true);
  EXPECT_EQ(Verify(), kExitGood) << out.str() << err.str();
  builder.leaves.front().value = "4";
  verify.file = WriteEvidence(/*keep_back=*/true);
  EXPECT_EQ(Verify(), kExitNotTrustworthy);
  EXPECT_THAT(out.str(), HasSubstr("config-root-mismatch"));
}

TEST_F(SaltedCommandsTest, OwnersMeasurementNamesLeavesThatAreThere) {
  verify.expect = WriteMeasurement();
  verify.file = WriteEvidence(/*keep_back=*/false);
  EXPECT_EQ(Verify(), kExitGood) << out.str() << err.str();
  builder.leaves.front().value = "4";
  verify.file = WriteEvidence(/*keep_back=*/false);
  EXPECT_EQ(Verify(), kExitNotTrustworthy);
  EXPECT_THAT(out.str(), HasSubstr("config-leaf-changed"));
}

TEST_F(SaltedCommandsTest, SaltedEvidenceIsAReferenceItself) {
  verify.file = WriteEvidence(/*keep_back=*/false);
  verify.expect = verify.file;
  EXPECT_EQ(Verify(), kExitGood) << out.str() << err.str();
  verify.file = WriteEvidence(/*keep_back=*/true);
  verify.expect = verify.file;
  EXPECT_EQ(Verify(), kExitGood) << out.str() << err.str();
}

TEST_F(SaltedCommandsTest, ExplainNamesLeavesOfSaltedEvidence) {
  const std::string measurement = WriteMeasurement();
  builder.subtrees[kInside][0].value = "5.3";
  const std::string changed = WriteEvidence(/*keep_back=*/false);
  EXPECT_EQ(RunExplain({changed, measurement, false}, out, err),
            kExitNotTrustworthy);
  EXPECT_THAT(out.str(), HasSubstr(kBash));
  const std::string kept = WriteEvidence(/*keep_back=*/true);
  EXPECT_EQ(RunExplain({kept, measurement, false}, out, err),
            kExitNotTrustworthy);
  EXPECT_THAT(err.str(), HasSubstr("a root alone"));
}

}  // namespace
}  // namespace vmattest::cli
