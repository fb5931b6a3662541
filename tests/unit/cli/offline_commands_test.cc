#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/explain_command.h"
#include "cli/export_command.h"
#include "cli/verify_command.h"
#include "evidence/config_tree.h"
#include "support/evidence_builder.h"
#include "support/matchers.h"
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

// Runs a program; its output, and whether it exited with 0.
struct Program {
  bool ok = false;
  std::string output;
};
Program RunProgram(const std::string& command) {
  Program result;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    return result;
  }
  std::array<char, 4096> buffer{};
  while (const size_t size = fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), size);
  }
  result.ok = pclose(pipe) == 0;
  return result;
}

class OfflineCommandsTest : public ::testing::Test {
 protected:
  OfflineCommandsTest() {
    verify.anchors = (dir.path() / "anchors").string();
    dir.Write("anchors/host-1.json", wire::HostIdentityToJson(host.Identity()));
    verify.file = WriteEvidence("vm.evidence");
  }

  std::string WriteEvidence(std::string_view name) {
    return dir.Write(name, AsText(builder.BuildFile())).string();
  }

  // What `vmattest measure --json` prints of the builder's leaves.
  std::string WriteMeasurement(std::string_view name) {
    const ConfigTree tree =
        evidence::BuildConfigTree(builder.algorithm, builder.leaves,
                                  SecretBytes())
            .value();
    nlohmann::json json = {{"root", ToHex(tree.root)},
                           {"algorithm", ToString(tree.algorithm)}};
    for (size_t i = 0; i < tree.leaves.size(); ++i) {
      json["leaves"].push_back({{"path", tree.leaves[i].path},
                                {"type", ToString(tree.leaves[i].type)},
                                {"value", tree.leaves[i].value},
                                {"digest", ToHex(tree.digests[i])}});
    }
    return dir.Write(name, json.dump()).string();
  }

  Ran Verify() {
    std::ostringstream out;
    std::ostringstream err;
    const int code = RunVerify(verify, out, err);
    return {code, out.str(), err.str()};
  }

  Ran Explain(const std::string& file, const std::string& reference,
              bool json = false) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = RunExplain({file, reference, json}, out, err);
    return {code, out.str(), err.str()};
  }

  Ran Export(std::optional<std::string> anchors) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = RunExport(
        {verify.file, (dir.path() / "out").string(), std::move(anchors)}, out,
        err);
    return {code, out.str(), err.str()};
  }

  std::string Exported(const std::string& name) {
    return testing::Slurp(dir.path() / "out" / name);
  }

  Program CheckQuote(const std::string& qualification) {
    return RunProgram("cd " + (dir.path() / "out").string() +
                      " && tpm2_checkquote -u ak.pem -m quote.msg -s quote.sig "
                      "-f quote.pcrs -g sha256 -q " +
                      qualification);
  }

  testing::TempDir dir;
  testing::SoftHost host;
  testing::EvidenceBuilder builder{host};
  VerifyArgs verify;
};

TEST_F(OfflineCommandsTest, VerifyExitsWithZeroForSoundEvidence) {
  verify.nonce = ToHex(builder.header.nonce);
  verify.expect = WriteMeasurement("reference.json");
  verify.require = {"tpm2-quote"};
  verify.vm = builder.header.vm_uuid;
  const Ran ran = Verify();
  EXPECT_EQ(ran.code, kExitGood) << ran.out << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("trusted"));
  EXPECT_THAT(ran.out, Not(HasSubstr("NOT TRUSTED")));
  EXPECT_THAT(ran.out, HasSubstr("web-1"));
  EXPECT_THAT(ran.out, HasSubstr("ak          pinned"));
  EXPECT_THAT(ran.out, HasSubstr("freshness   nonce"));
}

TEST_F(OfflineCommandsTest, VerifyPrintsJson) {
  verify.json = true;
  const Ran ran = Verify();
  const nlohmann::json json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["trusted"], true);
  EXPECT_EQ(json["reasons"].size(), 0u);
  EXPECT_EQ(json["claims"]["vm_uuid"], builder.header.vm_uuid);
  EXPECT_EQ(json["claims"]["ak"], "pinned");
  EXPECT_EQ(json["claims"]["pcr_banks"][0]["values"]["13"],
            std::string(64, '0'));
}

TEST_F(OfflineCommandsTest, VerifyNamesTheLeafThatDiffers) {
  verify.expect = WriteMeasurement("reference.json");
  builder.leaves.front().value = "4";
  verify.file = WriteEvidence("changed.evidence");
  verify.json = true;
  const Ran ran = Verify();
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  const nlohmann::json reasons = nlohmann::json::parse(ran.out)["reasons"];
  EXPECT_EQ(reasons[0]["code"], "config-leaf-changed");
  EXPECT_EQ(reasons[0]["element"], "cpu/count");
  verify.json = false;
  EXPECT_THAT(Verify().out, HasSubstr("\"integer 4\""));
}

TEST_F(OfflineCommandsTest, VerifyTakesEvidenceAndRootsAsReference) {
  verify.expect = verify.file;
  EXPECT_EQ(Verify().code, kExitGood);
  verify.expect = std::string(64, '0');
  const Ran ran = Verify();
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  EXPECT_THAT(ran.out, HasSubstr("config-root-mismatch"));
}

TEST_F(OfflineCommandsTest, VerifyExitsWithOneForWhatItsArgumentsForbid) {
  const VerifyArgs sound = verify;
  verify.nonce = std::string(64, '7');
  EXPECT_EQ(Verify().code, kExitNotTrustworthy);
  verify = sound;
  verify.require = {"ml-dsa-65"};
  EXPECT_THAT(Verify().out, HasSubstr("signature-required-missing"));
  verify = sound;
  verify.max_age = std::chrono::seconds(3600);
  EXPECT_THAT(Verify().out, HasSubstr("time-too-old"));
  verify = sound;
  verify.vm = "00000000-0000-0000-0000-000000000001";
  EXPECT_THAT(Verify().out, HasSubstr("vm-uuid-mismatch"));
}

TEST_F(OfflineCommandsTest, VerifyExitsWithOneForAFileThatIsNoEvidence) {
  verify.file = dir.Write("noise", "noise").string();
  const Ran ran = Verify();
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  EXPECT_THAT(ran.out, HasSubstr("evidence-malformed"));
}

TEST_F(OfflineCommandsTest, VerifyExitsWithTwoForBadArguments) {
  const VerifyArgs sound = verify;
  verify.file = (dir.path() / "none").string();
  EXPECT_EQ(Verify().code, kExitUsage);
  verify = sound;
  verify.nonce = "xyz";
  EXPECT_EQ(Verify().code, kExitUsage);
  verify.nonce = "00ff";
  EXPECT_EQ(Verify().code, kExitUsage);
  verify = sound;
  verify.expect = (dir.path() / "none").string();
  EXPECT_EQ(Verify().code, kExitUsage);
  verify = sound;
  verify.vm = "web-1";
  EXPECT_EQ(Verify().code, kExitUsage);
  verify = sound;
  verify.anchors = (dir.path() / "none").string();
  EXPECT_EQ(Verify().code, kExitUsage);
  verify = sound;
  dir.Write("anchors/broken.json", "{}");
  const Ran ran = Verify();
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_THAT(ran.err, HasSubstr("broken.json"));
}

TEST_F(OfflineCommandsTest, VerifyExitsWithThreeWithoutAnchors) {
  const std::string empty = (dir.path() / "empty").string();
  std::filesystem::create_directory(empty);
  verify.anchors = empty;
  EXPECT_EQ(Verify().code, kExitUndecided);
}

TEST_F(OfflineCommandsTest, VerifyEscapesHostileNames) {
  builder.header.vm_name = "web\x1b[31m\nverdict     trusted";
  verify.file = WriteEvidence("hostile.evidence");
  const Ran ran = Verify();
  EXPECT_EQ(ran.code, kExitGood);
  EXPECT_THAT(ran.out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(ran.out, Not(HasSubstr("\nverdict     trusted\"")));
}

TEST_F(OfflineCommandsTest, ExplainNamesWhatDiffers) {
  const std::string reference = WriteMeasurement("reference.json");
  EXPECT_EQ(Explain(verify.file, reference).code, kExitGood);
  builder.leaves[0].value = "4";
  builder.leaves[3].path = "memory/min";
  const std::string changed = WriteEvidence("changed.evidence");
  const Ran text = Explain(changed, reference);
  EXPECT_EQ(text.code, kExitNotTrustworthy);
  EXPECT_THAT(text.out, HasSubstr("changed \"cpu/count\"\n"
                                  "  expected \"integer 2\"\n"
                                  "  found    \"integer 4\"\n"));
  EXPECT_THAT(text.out, HasSubstr("removed \"memory/max\""));
  EXPECT_THAT(text.out, HasSubstr("added \"memory/min\""));
  const Ran ran = Explain(changed, verify.file, /*json=*/true);
  const nlohmann::json json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["same"], false);
  EXPECT_EQ(json["differences"].size(), 3u);
  EXPECT_EQ(json["differences"][0]["kind"], "changed");
}

TEST_F(OfflineCommandsTest, ExplainComparesTwoMeasurements) {
  const std::string first = WriteMeasurement("first.json");
  builder.leaves[0].value = "4";
  const std::string second = WriteMeasurement("second.json");
  EXPECT_EQ(Explain(first, first).code, kExitGood);
  EXPECT_EQ(Explain(second, first).code, kExitNotTrustworthy);
}

TEST_F(OfflineCommandsTest, ExplainSaysThatARootNamesNoLeaf) {
  const Ran ran = Explain(verify.file, std::string(64, '0'));
  EXPECT_EQ(ran.code, kExitNotTrustworthy);
  EXPECT_THAT(ran.err, HasSubstr("a root alone"));
  EXPECT_EQ(Explain(verify.file, std::string(96, '0')).code, kExitUndecided);
}

TEST_F(OfflineCommandsTest, ExplainRefusesAReferenceThatContradictsItself) {
  std::string text = testing::Slurp(WriteMeasurement("reference.json"));
  text.replace(text.find("536870912"), 9, "536870913");
  const std::string forged = dir.Write("forged.json", text).string();
  const Ran ran = Explain(verify.file, forged);
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_THAT(ran.err, HasSubstr("the leaves give root"));
}

TEST_F(OfflineCommandsTest, ExplainRefusesWhatIsNoMeasurement) {
  for (const std::string_view text :
       {"{", "{}", "{\"root\":\"00\"}",
        "{\"root\":\"00\",\"algorithm\":\"md5\"}",
        "{\"root\":\"00\",\"algorithm\":\"sha256\"}",
        "{\"root\":\"00\",\"algorithm\":\"sha256\",\"leaves\":[1]}",
        "{\"root\":\"00\",\"algorithm\":\"sha256\",\"leaves\":[{}]}",
        "noise"}) {
    EXPECT_EQ(Explain(verify.file, dir.Write("bad", text).string()).code,
              kExitUsage)
        << text;
  }
}

TEST_F(OfflineCommandsTest, ExportIsAcceptedByTpm2Checkquote) {
  builder.batch_size = 3;
  verify.file = WriteEvidence("vm.evidence");
  ASSERT_EQ(Export(std::nullopt).code, kExitGood);
  std::string qualification = Exported("qualification.hex");
  qualification.pop_back();
  const Program sound = CheckQuote(qualification);
  EXPECT_TRUE(sound.ok) << sound.output;
  qualification[0] = qualification[0] == '0' ? '1' : '0';
  EXPECT_FALSE(CheckQuote(qualification).ok);
}

TEST_F(OfflineCommandsTest, ExportWithoutASoundPcrFailsTpm2Checkquote) {
  ASSERT_EQ(Export(std::nullopt).code, kExitGood);
  std::string qualification = Exported("qualification.hex");
  qualification.pop_back();
  std::string pcrs = Exported("quote.pcrs");
  pcrs[150] = static_cast<char>(pcrs[150] ^ 1);
  dir.Write("out/quote.pcrs", pcrs);
  EXPECT_FALSE(CheckQuote(qualification).ok);
}

TEST_F(OfflineCommandsTest, ExportedCommandsRunAsWritten) {
  ASSERT_EQ(Export(verify.anchors).code, kExitGood);
  const std::string readme = Exported("README.txt");
  std::istringstream lines(readme);
  int commands = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  tpm2_checkquote") ||
        line.starts_with("  openssl")) {
      const Program ran =
          RunProgram("cd " + (dir.path() / "out").string() + " && " + line);
      EXPECT_TRUE(ran.ok) << line << "\n" << ran.output;
      ++commands;
    }
  }
  EXPECT_EQ(commands, 2);
}

TEST_F(OfflineCommandsTest, ExportRefusesWhatItCannotRead) {
  verify.file = dir.Write("noise", "noise").string();
  const Ran ran = Export(std::nullopt);
  EXPECT_EQ(ran.code, kExitUsage);
  EXPECT_THAT(ran.err, HasSubstr("noise"));
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "out"));
}

}  // namespace
}  // namespace vmattest::cli
