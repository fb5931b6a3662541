#include "cli/measure_command.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/exit_code.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/temp_dir.h"
#include "vmattest/types/digest.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;

class MeasureCommandTest : public ::testing::Test {
 protected:
  int Run(const std::string& xml, bool json = true,
          const std::string& content = "none") {
    MeasureArgs args;
    args.xml_path = dir_.Write("domain.xml", xml).string();
    args.content = content;
    args.json = json;
    return RunMeasure(args, out_, err_);
  }

  TempDir dir_;
  std::ostringstream out_;
  std::ostringstream err_;
};

constexpr const char* kDomain =
    "<domain type='kvm'><name>web</name><os/><vcpu>2</vcpu></domain>";

TEST_F(MeasureCommandTest, PrintsTheTreeAsJson) {
  ASSERT_EQ(Run(kDomain), kExitGood) << err_.str();
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json["algorithm"], "sha256");
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["name"], "web");
  EXPECT_EQ(json["uuid"], "");
  EXPECT_EQ(json["content"], "none");
  EXPECT_EQ(json["validity"], "not-checked");
  EXPECT_THAT(json["warnings"], IsEmpty());
  EXPECT_EQ(json["root"].get<std::string>().size(), 64U);
  EXPECT_EQ(json["leaves"][0]["path"], "@tree");
  EXPECT_EQ(json["leaves"][3]["path"], "vcpu/max");
  EXPECT_EQ(json["leaves"][3]["type"], "integer");
  EXPECT_EQ(json["leaves"][3]["value"], "2");
  EXPECT_EQ(json["leaves"][3]["digest"].get<std::string>().size(), 64U);
}

TEST_F(MeasureCommandTest, TakesTheFirmwareFromAStartCommand) {
  MeasureArgs args;
  args.xml_path = dir_.Write("domain.xml",
                             "<domain type='kvm'><name>web</name>"
                             "<os firmware='efi'/></domain>")
                      .string();
  args.start_command_path =
      dir_.Write("command", "qemu -bios /fw.bin\n").string();
  args.content = "none";
  args.json = true;
  ASSERT_EQ(RunMeasure(args, out_, err_), kExitGood) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("/fw.bin"));
  args.start_command_path = dir_.Write("command", "qemu -m 64").string();
  EXPECT_EQ(RunMeasure(args, out_, err_), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("names no firmware"));
}

TEST_F(MeasureCommandTest, SaltChangesTheRootAndIsNotPrinted) {
  MeasureArgs args;
  args.xml_path = dir_.Write("domain.xml", kDomain).string();
  args.content = "none";
  args.json = true;
  const auto measure = [&](const std::string& salt) {
    args.salt_path = salt.empty() ? "" : dir_.Write("salt", salt).string();
    out_.str("");
    EXPECT_EQ(RunMeasure(args, out_, err_), kExitGood) << err_.str();
    return nlohmann::json::parse(out_.str());
  };
  const auto open = measure("");
  EXPECT_FALSE(open.contains("salt_id"));
  const auto raw = measure(std::string(32, 'Z'));
  EXPECT_EQ(raw["salt_id"].get<std::string>().size(), 64U);
  EXPECT_NE(raw["root"], open["root"]);
  EXPECT_NE(raw["leaves"][1]["digest"], open["leaves"][1]["digest"]);
  EXPECT_EQ(raw["leaves"][1]["value"], open["leaves"][1]["value"]);
  EXPECT_THAT(out_.str(), ::testing::Not(HasSubstr("ZZZZ")));
  std::string hex;
  for (int i = 0; i < 32; ++i) {
    hex += "5a";
  }
  EXPECT_EQ(measure(hex + "\n"), raw);
  EXPECT_NE(measure(std::string(32, 'Y'))["root"], raw["root"]);
}

TEST_F(MeasureCommandTest, WhatIsNoSaltIsBadInput) {
  MeasureArgs args;
  args.xml_path = dir_.Write("domain.xml", kDomain).string();
  args.content = "none";
  for (const std::string& salt :
       {std::string(), std::string(31, 'Z'), std::string(64, 'Z'),
        std::string(62, '0'), std::string(1000, '0')}) {
    args.salt_path = dir_.Write("salt", salt).string();
    EXPECT_EQ(RunMeasure(args, out_, err_), kExitUsage) << salt;
  }
  args.salt_path = dir_.path() / "none";
  EXPECT_EQ(RunMeasure(args, out_, err_), kExitUsage);
  EXPECT_THAT(out_.str(), IsEmpty());
}

TEST_F(MeasureCommandTest, ListsLeavesAndRootForPeople) {
  ASSERT_EQ(
      Run("<domain type='kvm'><name>a\nb\x7f</name><os/></domain>", false),
      kExitGood);
  EXPECT_THAT(out_.str(), HasSubstr("a\\x0ab\\x7f"));
  EXPECT_THAT(out_.str(), HasSubstr("\nroot  sha256:"));
}

TEST_F(MeasureCommandTest, ReportsWhatLooksWrong) {
  ASSERT_EQ(Run("<domain><vcpu>x</vcpu></domain>"), kExitGood);
  EXPECT_THAT(err_.str(), HasSubstr("warning: vcpu/max: 'x'"));
  EXPECT_THAT(out_.str(), HasSubstr("vcpu/max: 'x'"));
}

TEST_F(MeasureCommandTest, InvalidXmlIsBadInput) {
  EXPECT_EQ(Run("<domain>"), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("line 1"));
  EXPECT_EQ(Run("<network/>"), kExitUsage);
  EXPECT_THAT(out_.str(), IsEmpty());
}

TEST_F(MeasureCommandTest, UnreadableXmlIsBadInput) {
  MeasureArgs args;
  args.xml_path = (dir_.path() / "missing.xml").string();
  EXPECT_EQ(RunMeasure(args, out_, err_), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("missing.xml"));
}

TEST_F(MeasureCommandTest, UnknownAlgorithmAndPolicyAreUsageErrors) {
  MeasureArgs args;
  args.xml_path = dir_.Write("d.xml", kDomain).string();
  args.algorithm = "md5";
  EXPECT_EQ(RunMeasure(args, out_, err_), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("md5"));
  args.algorithm = "sha256";
  args.content = "most";
  EXPECT_EQ(RunMeasure(args, out_, err_), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("most"));
}

TEST_F(MeasureCommandTest, MissingContentCannotBeDecided) {
  EXPECT_EQ(Run("<domain type='kvm'><name>w</name><os><kernel>/nowhere/k"
                "</kernel></os></domain>",
                true, "full"),
            kExitUndecided);
  EXPECT_THAT(err_.str(), HasSubstr("os/kernel/content"));
  EXPECT_THAT(err_.str(), HasSubstr("/nowhere/k"));
  EXPECT_THAT(out_.str(), IsEmpty());
}

TEST_F(MeasureCommandTest, ReadsContentWithEveryAlgorithm) {
  const std::string kernel = dir_.Write("kernel", "kernel").string();
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    MeasureArgs args;
    args.xml_path =
        dir_.Write("d.xml", fmt::format("<domain type='kvm'><name>w</name>"
                                        "<os><kernel>{}</kernel></os>"
                                        "</domain>",
                                        kernel))
            .string();
    args.algorithm = ToString(algorithm);
    args.json = true;
    std::ostringstream out;
    ASSERT_EQ(RunMeasure(args, out, err_), kExitGood) << err_.str();
    EXPECT_THAT(out.str(),
                HasSubstr(fmt::format("\"{}:", ToString(algorithm))));
  }
}

TEST_F(MeasureCommandTest, TakesARunningDomainBackToItsDefinition) {
  const std::string live =
      "<domain type='kvm' id='3'><name>w</name><os/><cpu mode='custom' "
      "match='exact' check='full'><model>EPYC</model></cpu></domain>";
  const std::string defined =
      "<domain type='kvm'><name>w</name><os/><cpu mode='host-model'/></domain>";
  ASSERT_EQ(Run(defined), kExitGood);
  MeasureArgs args;
  args.xml_path = dir_.Write("live.xml", live).string();
  args.defined_xml_path = dir_.Write("defined.xml", defined).string();
  args.content = "none";
  args.json = true;
  std::ostringstream of_live;
  ASSERT_EQ(RunMeasure(args, of_live, err_), kExitGood) << err_.str();
  EXPECT_EQ(of_live.str(), out_.str());
}

}  // namespace
}  // namespace vmattest::cli
