// `vmattest measure --inside` with the real worker and a real file system.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/exit_code.h"
#include "cli/measure_command.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/run_command.h"
#include "support/temp_dir.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;

class MeasureInsideTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));
    const std::filesystem::path root = dir_.path() / "root";
    std::filesystem::create_directories(root / "var/lib/dpkg/info");
    std::ofstream(root / "var/lib/dpkg/status")
        << "Package: bash\nStatus: install ok installed\nArchitecture: amd64\n"
           "Version: 5.2.15-2\n\n";
    ASSERT_THAT(testing::RunCommand(
                    {"sh", "-c",
                     fmt::format("set -e; cd {}; truncate -s 8M disk.raw; "
                                 "mkfs.ext4 -q -F -d root disk.raw; "
                                 "qemu-img convert -q -O qcow2 disk.raw "
                                 "disk.qcow2",
                                 dir_.path().string())}),
                IsOk());
  }
  int Measure(const std::string& format, const std::string& inside,
              const std::string& worker = VMATTEST_WORKER) {
    MeasureArgs args;
    args.xml_path =
        dir_.Write("domain.xml",
                   fmt::format("<domain type='kvm'><name>web</name><os/>"
                               "<devices><disk type='file' device='disk'>"
                               "<driver name='qemu' type='{0}'/>"
                               "<source file='{1}/disk.{0}'/>"
                               "<target dev='vda'/></disk></devices></domain>",
                               format, dir_.path().string()))
            .string();
    args.content = "none";
    args.inside = inside;
    args.worker = worker;
    args.json = true;
    out_.str("");
    err_.str("");
    return RunMeasure(args, out_, err_);
  }
  [[nodiscard]] std::string Leaf(const char* list, const std::string& path) {
    const auto json = nlohmann::json::parse(out_.str());
    const auto& leaves = list == std::string("leaves")
                             ? json["leaves"]
                             : json["subtrees"].at(0)["leaves"];
    for (const auto& leaf : leaves) {
      if (leaf["path"] == path) {
        return leaf["value"];
      }
    }
    return "";
  }

  testing::TempDir dir_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(MeasureInsideTest, InventoryHasPackagesInASubtree) {
  for (const char* format : {"raw", "qcow2"}) {
    ASSERT_EQ(Measure(format, "inventory"), kExitGood) << err_.str();
    const auto json = nlohmann::json::parse(out_.str());
    EXPECT_EQ(json["inside"], "inventory");
    ASSERT_THAT(json["subtrees"], SizeIs(1)) << out_.str();
    EXPECT_EQ(json["subtrees"][0]["path"], "disk[vda]/inside");
    EXPECT_THAT(out_.str(), HasSubstr("package[bash:amd64]"));
    EXPECT_THAT(Leaf("leaves", "disk[vda]/inside"), HasSubstr("sha256:"));
    EXPECT_EQ(Leaf("leaves", "disk[vda]/guest/content"), "");
  }
}

TEST_F(MeasureInsideTest, FullHasTheSameGuestDigestInEveryFormat) {
  ASSERT_EQ(Measure("raw", "full"), kExitGood) << err_.str();
  const std::string digest = Leaf("leaves", "disk[vda]/guest/content");
  EXPECT_THAT(digest, HasSubstr("sha256-tree:"));
  ASSERT_EQ(Measure("qcow2", "full"), kExitGood) << err_.str();
  EXPECT_EQ(Leaf("leaves", "disk[vda]/guest/content"), digest);
}

TEST_F(MeasureInsideTest, WithoutItNoWorkerIsNeeded) {
  ASSERT_EQ(Measure("raw", "none", "/nonexistent/worker"), kExitGood);
  EXPECT_FALSE(nlohmann::json::parse(out_.str()).contains("subtrees"));
}

TEST_F(MeasureInsideTest, SaysThatTheWorkerIsMissing) {
  EXPECT_EQ(Measure("raw", "inventory", "/nonexistent/worker"), kExitUndecided);
  EXPECT_THAT(err_.str(), HasSubstr("/nonexistent/worker"));
  // Beside the test there is none.
  EXPECT_EQ(Measure("raw", "inventory", ""), kExitUndecided);
  EXPECT_THAT(err_.str(), HasSubstr("vmattest-worker is neither in"));
  EXPECT_THAT(err_.str(), HasSubstr("--worker"));
}

TEST_F(MeasureInsideTest, RefusesAnUnknownPolicy) {
  EXPECT_EQ(Measure("raw", "deep"), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--inside"));
}

}  // namespace
}  // namespace vmattest::cli
