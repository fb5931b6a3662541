#include "gate/running_check.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

constexpr char kUuid[] = "00112233-4455-6677-8899-aabbccddeeff";

class RunningCheckTest : public ::testing::Test {
 protected:
  RunningCheckTest() {
    kernel_ = dir_.Write("vmlinuz", "kernel");
    disk_ = dir_.Write("disk", "disk");
    expected_.vm_uuid = kUuid;
    expected_.leaves = {{"os/kernel", LeafType::kText, kernel_},
                        {"os/cmdline", LeafType::kText, "quiet"}};
    for (const std::string& path : {kernel_, disk_}) {
      expected_.files[path].identity = *LookAt(path);
    }
    const FileIdentity disk = expected_.files[disk_].identity;
    qemu_.arguments = {"qemu",  "-uuid",   kUuid,  "-kernel",
                       kernel_, "-append", "quiet"};
    qemu_.files = {{disk_, disk.device, disk.inode, false}};
  }
  std::string Code() {
    const Verdict verdict = CheckRunning(
        qemu_, expected_, [this](const std::string&, const MeasuredFile&) {
          ++reread_;
          return same_;
        });
    return verdict.trusted() ? "" : verdict.reasons.front().code;
  }

  testing::TempDir dir_;
  std::string kernel_;
  std::string disk_;
  ExpectedProcess expected_;
  QemuFacts qemu_;
  int reread_ = 0;
  bool same_ = false;
};

TEST_F(RunningCheckTest, WhatWasMeasuredMayRun) { EXPECT_EQ(Code(), ""); }

TEST_F(RunningCheckTest, NoProcessIsNoPass) {
  EXPECT_EQ(CheckRunning(std::nullopt, expected_, {}).reasons.front().code,
            "gate-process");
}

TEST_F(RunningCheckTest, AnotherCommandLineOrUuidIsSeen) {
  qemu_.arguments.back() = "init=/bin/sh";
  EXPECT_EQ(Code(), "gate-process");
  qemu_.arguments = {"qemu", "-uuid", "other"};
  EXPECT_EQ(Code(), "gate-process");
}

TEST_F(RunningCheckTest, AnInitrdThatNobodyAskedForIsSeen) {
  qemu_.arguments.insert(qemu_.arguments.end(), {"-initrd", "/tmp/evil"});
  EXPECT_EQ(Code(), "gate-process");
}

TEST_F(RunningCheckTest, MemoryFromAFileIsSeen) {
  qemu_.arguments.insert(qemu_.arguments.end(), {"-loadvm", "snap"});
  EXPECT_EQ(Code(), "gate-saved-memory");
  qemu_.arguments.resize(7);
  qemu_.arguments.insert(qemu_.arguments.end(), {"-incoming", "fd:23"});
  EXPECT_EQ(Code(), "gate-saved-memory");
  expected_.incoming = true;
  EXPECT_EQ(Code(), "gate-saved-memory");
  qemu_.arguments.back() = "defer";
  EXPECT_EQ(Code(), "");
}

TEST_F(RunningCheckTest, AFileSwappedForAnotherIsSeen) {
  const std::string other = dir_.Write("other", "kernel");
  std::filesystem::rename(other, kernel_);
  EXPECT_EQ(Code(), "gate-file-swapped");
}

TEST_F(RunningCheckTest, AnOpenFileThatIsNotTheMeasuredOneIsSeen) {
  qemu_.files.front().inode += 1;
  EXPECT_EQ(Code(), "gate-file-swapped");
}

// As libvirt does, between `start` and QEMU's beginning.
TEST_F(RunningCheckTest, AFileWhoseOwnerChangedIsReadAgain) {
  std::filesystem::permissions(kernel_, std::filesystem::perms::owner_read);
  same_ = true;
  EXPECT_EQ(Code(), "");
  EXPECT_EQ(reread_, 1);
  same_ = false;
  EXPECT_EQ(Code(), "gate-file-changed");
}

TEST_F(RunningCheckTest, AFileWrittenToIsNotEvenReadAgain) {
  same_ = true;
  dir_.Write("vmlinuz", "kernel and more");
  EXPECT_EQ(Code(), "gate-file-changed");
  EXPECT_EQ(reread_, 0);
}

TEST_F(RunningCheckTest, AFileSwappedAndPutBackIsSeen) {
  const std::string aside = dir_.path() / "aside";
  std::filesystem::rename(kernel_, aside);
  std::filesystem::rename(aside, kernel_);
  EXPECT_EQ(Code(), "gate-file-changed");
}

TEST_F(RunningCheckTest, OnlyWhatTheGuestWritesToMayHaveChanged) {
  dir_.Write("disk", "changed");
  EXPECT_EQ(Code(), "gate-file-changed");
  qemu_.files.front().writable = true;
  EXPECT_EQ(Code(), "");
}

}  // namespace
}  // namespace vmattest::gate
