#include "gate/saved_images.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/save_image.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::SaveImage;
using testing::StatusIs;
using Outcome = SavedImages::Found::Outcome;

constexpr char kWeb[] = "a045410c-221a-45fb-b0ef-341be7ce6025";
constexpr char kOther[] = "a045410c-221a-45fb-b0ef-341be7ce6026";
constexpr char kXml[] = "<domain><name>web</name></domain>";

class SavedImagesTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const UniqueFd> Open(
      const std::filesystem::path& path) {
    return std::make_shared<const UniqueFd>(
        open(path.c_str(), O_RDONLY | O_CLOEXEC));
  }
  MonotonicTime Soon() const {
    return clock_.Monotonic() + std::chrono::seconds(30);
  }
  std::shared_ptr<const UniqueFd> Image(const std::string& name,
                                        const std::string& memory = "memory",
                                        const std::string& uuid = kWeb) {
    return Open(dir_.Write(name, SaveImage(uuid, memory)));
  }
  // It ran, was saved into `image`, and stopped, as the gate hears of it.
  std::shared_ptr<const UniqueFd> RunAndSave(
      const std::string& memory, const std::string& name = "web.save") {
    EXPECT_THAT(images_->Launched(kWeb, kXml, "web@1"), IsOk());
    std::shared_ptr<const UniqueFd> image = Image(name, memory);
    images_->Stopped({.vm_uuid = kWeb, .image = image, .vtpm = vtpm_});
    images_->Ended(kWeb, true);
    return image;
  }
  Outcome Check(const std::shared_ptr<const UniqueFd>& image,
                const std::string& uuid = kWeb) {
    const auto found = images_->Check(
        uuid, image->get(), vtpm_ == nullptr ? -1 : vtpm_->get(), Soon());
    EXPECT_THAT(found, IsOk());
    return found.ok() ? found->outcome : Outcome::kUnknown;
  }
  void Restart() {
    images_.reset();
    images_ = Make();
  }
  std::unique_ptr<SavedImages> Make() {
    return std::make_unique<SavedImages>(
        dir_.path() / "images", clock_,
        [this](const std::string& kind, const auto&) {
          const MutexLock lock(mutex_);
          notes_.push_back(kind);
        });
  }

  SystemClock clock_;
  testing::TempDir dir_;
  std::shared_ptr<const UniqueFd> vtpm_;
  Mutex mutex_;
  std::vector<std::string> notes_;
  std::unique_ptr<SavedImages> images_ = Make();
};

TEST_F(SavedImagesTest, WhatWasSavedLastIsKnownWithItsLaunch) {
  const auto image = RunAndSave("memory");
  const auto found = images_->Check(kWeb, image->get(), -1, Soon());
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->outcome, Outcome::kKnown);
  EXPECT_EQ(found->defined_xml, kXml);
  EXPECT_EQ(found->approved_by, "web@1");
  EXPECT_EQ(notes_, std::vector<std::string>{"saved-image"});
}

TEST_F(SavedImagesTest, ItIsKnownToTheNextDaemon) {
  const auto image = RunAndSave("memory");
  EXPECT_EQ(Check(image), Outcome::kKnown);
  Restart();
  EXPECT_EQ(Check(image), Outcome::kKnown);
}

TEST_F(SavedImagesTest, OneOtherByteMakesItUnknown) {
  RunAndSave("memory");
  EXPECT_EQ(Check(Image("altered", "memorz")), Outcome::kUnknown);
}

TEST_F(SavedImagesTest, AnImageIsOfOneVm) {
  const auto image = RunAndSave("memory");
  EXPECT_EQ(Check(image, kOther), Outcome::kUnknown);
}

TEST_F(SavedImagesTest, AfterAnotherStartItIsUsed) {
  const auto image = RunAndSave("memory");
  EXPECT_EQ(Check(image), Outcome::kKnown);
  ASSERT_THAT(images_->Launched(kWeb, kXml, "web@1"), IsOk());
  EXPECT_EQ(Check(image), Outcome::kUsed);
  Restart();
  EXPECT_EQ(Check(image), Outcome::kUsed);
}

TEST_F(SavedImagesTest, OnlyTheNewestOfSeveralCounts) {
  std::vector<std::shared_ptr<const UniqueFd>> images;
  for (size_t i = 0; i < SavedImages::kMostOfVm + 2; ++i) {
    const std::string name = "memory " + std::to_string(i);
    images.push_back(RunAndSave(name, name));
    EXPECT_EQ(Check(images.back()), Outcome::kKnown) << i;
  }
  EXPECT_EQ(Check(images[0]), Outcome::kUnknown);  // forgotten
  EXPECT_EQ(Check(images[5]), Outcome::kUsed);
}

TEST_F(SavedImagesTest, AStopThatSavedNothingRegistersNothing) {
  ASSERT_THAT(images_->Launched(kWeb, kXml, "web@1"), IsOk());
  const auto image = Image("web.save");
  images_->Stopped({.vm_uuid = kWeb, .image = image, .vtpm = nullptr});
  images_->Ended(kWeb, false);
  EXPECT_EQ(Check(image), Outcome::kUnknown);
  EXPECT_THAT(images_->Register(kWeb, image->get(), Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("was not saved")));
}

TEST_F(SavedImagesTest, AVtpmOfAnotherTimeIsNamed) {
  vtpm_ = Open(dir_.Write("vtpm", "state"));
  const auto image = RunAndSave("memory");
  EXPECT_EQ(Check(image), Outcome::kKnown);
  vtpm_ = Open(dir_.Write("vtpm", "older state"));
  EXPECT_EQ(Check(image), Outcome::kOtherVtpm);
  vtpm_ = nullptr;
  EXPECT_EQ(Check(image), Outcome::kOtherVtpm);
}

TEST_F(SavedImagesTest, AnOperatorNamesTheFileOnce) {
  ASSERT_THAT(images_->Launched(kWeb, kXml, ""), IsOk());
  const auto image = Image("file");
  const auto second = Image("second", "other memory");
  images_->Stopped({.vm_uuid = kWeb, .image = nullptr, .vtpm = nullptr});
  images_->Ended(kWeb, true);
  EXPECT_THAT(images_->Register("dbs", image->get(), Soon()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dbs")));
  EXPECT_THAT(images_->Register("web", image->get(), Soon()), IsOk());
  EXPECT_THAT(images_->Register(kWeb, image->get(), Soon()), IsOk());
  EXPECT_EQ(Check(image), Outcome::kKnown);
  EXPECT_THAT(images_->Register("web", second->get(), Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("another image")));
}

TEST_F(SavedImagesTest, AFileOfAnotherTimeOrHalfWrittenIsNotTaken) {
  const auto before = Image("before");
  const int64_t made = LookAt(before->get())->ctime_ns / 1'000'000;
  while (clock_.Now().time_since_epoch().count() <= made + 100) {
  }
  ASSERT_THAT(images_->Launched(kWeb, kXml, "web@1"), IsOk());
  const auto part = Open(dir_.Write("part", SaveImage(kWeb, "memory", false)));
  const auto image = Image("file");
  images_->Stopped({.vm_uuid = kWeb, .image = nullptr, .vtpm = nullptr});
  images_->Ended(kWeb, true);
  EXPECT_THAT(images_->Register(kWeb, before->get(), Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("at another time")));
  EXPECT_THAT(images_->Register(kWeb, part->get(), Soon()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no complete image")));
  const auto other = Open(dir_.Write("other", "no image"));
  EXPECT_THAT(
      images_->Register(kWeb, other->get(), Soon()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no file")));
  EXPECT_THAT(images_->Register(kWeb, image->get(), Soon()), IsOk());
}

TEST_F(SavedImagesTest, AFileThatIsTouchedAfterTheStopIsNotTaken) {
  ASSERT_THAT(images_->Launched(kWeb, kXml, "web@1"), IsOk());
  const auto image = Image("file");
  images_->Stopped({.vm_uuid = kWeb, .image = nullptr, .vtpm = nullptr});
  images_->Ended(kWeb, true);
  const int64_t now = clock_.Now().time_since_epoch().count();
  while (LookAt(image->get())->ctime_ns / 1'000'000 <= now + 1) {
    ASSERT_EQ(chmod((dir_.path() / "file").c_str(), 0600), 0);
  }
  EXPECT_THAT(images_->Register(kWeb, image->get(), Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("at another time")));
}

TEST_F(SavedImagesTest, AStartThatTheGateDidNotSeeMakesAllUnknown) {
  const auto image = RunAndSave("memory");
  EXPECT_EQ(Check(image), Outcome::kKnown);
  images_->StartedUnseen(kWeb);
  Restart();  // which runs what was handed over
  EXPECT_EQ(Check(image), Outcome::kUnknown);
}

TEST_F(SavedImagesTest, WhileNobodyKnowsHowItStoppedTheCheckWaits) {
  ASSERT_THAT(images_->Launched(kWeb, kXml, "web@1"), IsOk());
  const auto image = Image("web.save");
  images_->Stopped({.vm_uuid = kWeb, .image = image, .vtpm = nullptr});
  EXPECT_THAT(
      images_->Check(kWeb, image->get(), -1, clock_.Monotonic()),
      StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("has not said")));
  images_->Ended(kWeb, true);
  EXPECT_EQ(Check(image), Outcome::kKnown);
}

TEST_F(SavedImagesTest, ADamagedRecordCountsForNothing) {
  const auto image = RunAndSave("memory");
  EXPECT_EQ(Check(image), Outcome::kKnown);
  const std::filesystem::path file = dir_.path() / "images" / kWeb;
  Bytes content = *ReadFile(file, 1u << 20);
  content[content.size() / 2] ^= 1;
  ASSERT_THAT(WriteFileAtomic(file, content), IsOk());
  EXPECT_EQ(Check(image), Outcome::kUnknown);
}

}  // namespace
}  // namespace vmattest::gate
