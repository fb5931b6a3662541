// What holds for every Appliance: the fake, and the one in another process.
#include <thread>

#include "fakes/fake_appliance.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "worker/guestfs/remote_appliance.h"
#include "worker/guestfs/serve_appliance.h"

namespace vmattest::worker {
namespace {

using disk::Appliance;
using vmattest::testing::FakeAppliance;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

std::unique_ptr<FakeAppliance> MakeFake() {
  auto fake = std::make_unique<FakeAppliance>();
  fake->devices["/dev/sda"] = "first bytes";
  fake->filesystems["/dev/sda ro"] = {
      {"/folder/file", std::string("content\0\xff", 9)},
      {"/folder/link", "-> /folder/file"}};
  fake->xfs_logs["/dev/sda"] = "<CLEAN>";
  fake->lvm.physical = {{"/dev/sda", "pv"}};
  fake->lvm.groups = {{"vg", "vg-id", {"pv", "other"}}};
  fake->lvm.logical = {{"vg", "root", "lv-id", "/dev/vg/root", 4096}};
  fake->subvolumes = {{256, "@\xff"}};
  return fake;
}

class Subject {
 public:
  virtual ~Subject() = default;
  virtual Appliance& appliance() = 0;
};

class InProcess final : public Subject {
 public:
  Appliance& appliance() override { return *fake_; }

 private:
  std::unique_ptr<FakeAppliance> fake_ = MakeFake();
};

class ThroughAChannel final : public Subject {
 public:
  ThroughAChannel() {
    auto ends = ipc::Channel::MakePair();
    here_.emplace(std::move(ends->first), kMaxApplianceMessage);
    server_ = std::thread([end = std::move(ends->second)]() mutable {
      ipc::Channel channel(std::move(end), kMaxApplianceMessage);
      const auto start = [](const auto& request, UniqueFd image) {
        EXPECT_TRUE(image.valid());
        StartedAppliance started;
        started.appliance = MakeFake();
        started.devices.assign(static_cast<size_t>(request.contents_size()),
                               "/dev/sda");
        return absl::StatusOr<StartedAppliance>(std::move(started));
      };
      EXPECT_THAT(ServeAppliance(channel, start), IsOk());
    });
    remote_.emplace(*here_);
    internal::ApplianceRequest::Start start;
    (void)start.add_contents();
    EXPECT_EQ(*remote_->Start(start, UniqueFd(dup(0))),
              std::vector<std::string>{"/dev/sda"});
  }
  ~ThroughAChannel() override {
    here_->Close();
    server_.join();
  }
  Appliance& appliance() override { return *remote_; }

 private:
  std::optional<ipc::Channel> here_;
  std::thread server_;
  std::optional<RemoteAppliance> remote_;
};

template <class T>
class ApplianceContract : public ::testing::Test {
 protected:
  T subject_;
  Appliance& appliance_ = subject_.appliance();
};
using Subjects = ::testing::Types<InProcess, ThroughAChannel>;
TYPED_TEST_SUITE(ApplianceContract, Subjects);

TYPED_TEST(ApplianceContract, ReadsDevices) {
  Bytes buffer(5);
  ASSERT_THAT(this->appliance_.ReadDevice("/dev/sda", 6, buffer), IsOk());
  EXPECT_EQ(AsText(buffer), "bytes");
  EXPECT_THAT(this->appliance_.ReadDevice("/dev/sdb", 0, buffer),
              StatusIs(absl::StatusCode::kDataLoss));
}

TYPED_TEST(ApplianceContract, DescribesLvm) {
  ASSERT_OK_AND_ASSIGN(const Appliance::Lvm lvm, this->appliance_.ReadLvm());
  ASSERT_EQ(lvm.physical.size(), 1U);
  EXPECT_EQ(lvm.physical[0].device, "/dev/sda");
  EXPECT_EQ(lvm.physical[0].uuid, "pv");
  ASSERT_EQ(lvm.groups.size(), 1U);
  EXPECT_EQ(lvm.groups[0].physical, (std::vector<std::string>{"pv", "other"}));
  ASSERT_EQ(lvm.logical.size(), 1U);
  EXPECT_EQ(lvm.logical[0].device, "/dev/vg/root");
  EXPECT_EQ(lvm.logical[0].size, 4096U);
}

TYPED_TEST(ApplianceContract, MountsOneFileSystemAtATime) {
  EXPECT_THAT(this->appliance_.Mount("/dev/sda", "rw"),
              StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_THAT(this->appliance_.Mount("/dev/sda", "ro"), IsOk());
  ASSERT_THAT(this->appliance_.Unmount(), IsOk());
  ASSERT_THAT(this->appliance_.Mount("/dev/sda", "ro"), IsOk());
}

TYPED_TEST(ApplianceContract, FindsListsAndReadsFiles) {
  ASSERT_THAT(this->appliance_.Mount("/dev/sda", "ro"), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto file, this->appliance_.Find("/folder/link"));
  EXPECT_EQ(file.path, "/folder/file");
  EXPECT_EQ(file.kind, disk::FileEntry::Kind::kFile);
  EXPECT_EQ(file.size, 9U);
  ASSERT_OK_AND_ASSIGN(const auto files, this->appliance_.List("/folder"));
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].path, "file");
  EXPECT_EQ(files[1].kind, disk::FileEntry::Kind::kLink);
  Bytes buffer(9);
  ASSERT_THAT(this->appliance_.ReadFile("/folder/file", 0, buffer), IsOk());
  EXPECT_EQ(AsText(buffer), std::string_view("content\0\xff", 9));
  EXPECT_THAT(this->appliance_.Find("/none"),
              StatusIs(absl::StatusCode::kNotFound));
}

TYPED_TEST(ApplianceContract, TellsOfLogsAndSubvolumes) {
  EXPECT_EQ(*this->appliance_.XfsLog("/dev/sda"), "<CLEAN>");
  ASSERT_OK_AND_ASSIGN(const auto subvolumes, this->appliance_.Subvolumes());
  ASSERT_EQ(subvolumes.size(), 1U);
  EXPECT_EQ(subvolumes[0].path, "@\xff");
  EXPECT_EQ(*this->appliance_.DefaultSubvolume(), 5U);
}

TEST(RemoteAppliance, IsUnavailableOnceTheOtherProcessIsGone) {
  auto ends = ipc::Channel::MakePair();
  ends->second.Reset();
  ipc::Channel channel(std::move(ends->first), kMaxApplianceMessage);
  RemoteAppliance appliance(channel);
  EXPECT_THAT(appliance.ReadLvm(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(ServeAppliance, RefusesWhatIsNoRequestAndGoesOn) {
  auto ends = ipc::Channel::MakePair();
  ipc::Channel there(std::move(ends->second), kMaxApplianceMessage);
  std::thread server([&there] {
    (void)ServeAppliance(there, [](const auto&, UniqueFd) {
      return absl::StatusOr<StartedAppliance>(StartedAppliance{MakeFake(), {}});
    });
  });
  ipc::Channel here(std::move(ends->first), kMaxApplianceMessage);
  RemoteAppliance appliance(here);
  EXPECT_THAT(appliance.ReadLvm(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(appliance.Start({}, UniqueFd(dup(0))), IsOk());
  Bytes much(disk::Appliance::kMaxRead + 1);
  EXPECT_THAT(appliance.ReadDevice("/dev/sda", 0, much),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(appliance.ReadLvm(), IsOk());
  here.Close();
  server.join();
}

}  // namespace
}  // namespace vmattest::worker
