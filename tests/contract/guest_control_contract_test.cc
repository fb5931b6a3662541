// What every GuestControl does, run over the fake and over a real libvirtd with
// a guest without an operating system.

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <thread>

#include "fakes/fake_hypervisor.h"
#include "fakes/recording_observer.h"
#include "gmock/gmock.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::testing {
namespace {

using hypervisor::DomainState;

// A hypervisor with one running guest.
class Bed {
 public:
  virtual ~Bed() = default;
  virtual hypervisor::Hypervisor& hypervisor() = 0;
  virtual hypervisor::GuestControl& control() = 0;
  [[nodiscard]] virtual std::filesystem::path folder() const = 0;
  [[nodiscard]] virtual const Uuid& guest() const = 0;
};

class FakeBed final : public Bed {
 public:
  FakeBed() {
    fake_.Start(nullptr);
    guest_ = fake_.Define(
        "web", FakeHypervisor::Xml("web", FakeHypervisor::UuidOf("web")));
    fake_.Start(guest_);
    fake_.AnswerSaveState(Bytes(size_t{2} << 20, 7));
  }
  hypervisor::Hypervisor& hypervisor() override { return fake_; }
  hypervisor::GuestControl& control() override { return fake_; }
  [[nodiscard]] std::filesystem::path folder() const override {
    return folder_.path();
  }
  [[nodiscard]] const Uuid& guest() const override { return guest_; }

 private:
  TempDir folder_;
  FakeHypervisor fake_;
  Uuid guest_;
};

class LibvirtBed final : public Bed {
 public:
  LibvirtBed()
      : host_(LibvirtHost::Up("control").value()),
        adapter_({.uri = host_->uri()}) {
    EXPECT_THAT(adapter_.Start(observer_), IsOk());
    EXPECT_TRUE(observer_.WaitFor("connected"));
    const auto xml = host_->MakeDomain("web", {"kernel=none", "mem=2048"});
    EXPECT_THAT(host_->Virsh({"create", xml.value().string()}), IsOk());
    guest_ = adapter_.FindDomainByName("web").value().uuid;
  }
  ~LibvirtBed() override { adapter_.Stop(); }
  hypervisor::Hypervisor& hypervisor() override { return adapter_; }
  hypervisor::GuestControl& control() override { return adapter_; }
  [[nodiscard]] std::filesystem::path folder() const override {
    return host_->folder();
  }
  [[nodiscard]] const Uuid& guest() const override { return guest_; }

 private:
  std::unique_ptr<LibvirtHost> host_;
  RecordingObserver observer_;
  hypervisor::LibvirtHypervisor adapter_;
  Uuid guest_;
};

struct Body {
  const char* name;
  std::function<std::unique_ptr<Bed>()> make;
};

class GuestControlContract : public ::testing::TestWithParam<Body> {
 protected:
  void SetUp() override {
    if (GetParam().name == std::string_view("Libvirt")) {
      VMATTEST_REQUIRE_LIBVIRT_HOST();
    }
    bed_ = GetParam().make();
  }
  hypervisor::GuestControl& control() { return bed_->control(); }
  const Uuid& guest() { return bed_->guest(); }
  DomainState State() { return bed_->hypervisor().FindDomain(guest())->state; }

  std::unique_ptr<Bed> bed_;
};

// A FIFO with both ends held.
struct Pipe {
  explicit Pipe(const std::filesystem::path& folder) : path(folder / "fifo") {
    unlink(path.c_str());
    EXPECT_EQ(mkfifo(path.c_str(), S_IRUSR | S_IWUSR), 0);
    reader = UniqueFd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    writer = UniqueFd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    fcntl(reader.get(), F_SETFL, 0);
  }
  std::string path;
  UniqueFd reader, writer;
};

TEST_P(GuestControlContract, PausesForItselfAndForNobodyElse) {
  ASSERT_OK_AND_ASSIGN(const bool ran, control().BeginPause(guest()));
  EXPECT_TRUE(ran);
  EXPECT_EQ(State(), DomainState::kPaused);
  EXPECT_THAT(control().BeginPause(guest()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(control().EndPause(guest()), IsOk());
  EXPECT_EQ(State(), DomainState::kRunning);
  EXPECT_THAT(control().EndPause(guest()),
              StatusIs(absl::StatusCode::kNotFound));
  // Somebody suspends it meanwhile.
  ASSERT_THAT(control().BeginPause(guest()), IsOk());
  ASSERT_THAT(bed_->hypervisor().Suspend(guest()), IsOk());
  EXPECT_THAT(control().EndPause(guest()), IsOk());
  EXPECT_EQ(State(), DomainState::kPaused);
  // It stood already.
  ASSERT_OK_AND_ASSIGN(const bool stood, control().BeginPause(guest()));
  EXPECT_FALSE(stood);
  EXPECT_THAT(control().EndPause(guest()), IsOk());
  EXPECT_EQ(State(), DomainState::kPaused);
}

TEST_P(GuestControlContract, ShowsMemoryInPieces) {
  Bytes buffer(4096);
  EXPECT_THAT(control().PeekMemory(guest(), 0x1000, buffer), IsOk());
  EXPECT_THAT(control().PeekMemory(guest(), 0, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  Bytes large(hypervisor::GuestControl::kMaxPeek + 1);
  EXPECT_THAT(control().PeekMemory(guest(), 0, large),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(GuestControlContract, StreamsTheStateAndLeavesTheGuestAsItWas) {
  for (const DomainState state :
       {DomainState::kRunning, DomainState::kPaused}) {
    if (state == DomainState::kPaused) {
      ASSERT_THAT(bed_->hypervisor().Suspend(guest()), IsOk());
    }
    Pipe pipe(bed_->folder());
    absl::StatusOr<std::chrono::microseconds> stood = absl::UnknownError("");
    std::thread save([&] {
      stood = control().SaveState(guest(), pipe.path);
      pipe.writer.Reset();
    });
    uint64_t bytes = 0;
    char buffer[1 << 16];
    for (ssize_t got = 0;
         (got = read(pipe.reader.get(), buffer, sizeof buffer)) > 0;) {
      bytes += static_cast<uint64_t>(got);
    }
    save.join();
    ASSERT_THAT(stood, IsOk());
    EXPECT_EQ(stood->count() > 0, state == DomainState::kRunning);
    EXPECT_GT(bytes, 1U << 18);
    EXPECT_EQ(State(), state);
  }
}

TEST_P(GuestControlContract, EndsAStreamThatNobodyReadsAnyMore) {
  Pipe pipe(bed_->folder());
  absl::StatusOr<std::chrono::microseconds> stood = absl::UnknownError("");
  std::atomic<bool> over = false;
  std::thread save([&] {
    stood = control().SaveState(guest(), pipe.path);
    over = true;
    pipe.writer.Reset();
  });
  char buffer[1 << 12];
  ASSERT_GT(read(pipe.reader.get(), buffer, sizeof buffer), 0);
  EXPECT_THAT(control().BeginPause(guest()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  // It may not have come to where it can be ended: ask until it has. And it
  // may have to be read from first.
  std::thread abort([&] {
    while (!over) {
      EXPECT_THAT(control().AbortSave(guest()), IsOk());
    }
  });
  fcntl(pipe.reader.get(), F_SETFL, O_NONBLOCK);
  while (!over) {
    (void)!read(pipe.reader.get(), buffer, sizeof buffer);
    // So slowly that on a busy machine, too, it is not at its end before it is
    // ended: about 5 MiB are to come.
    (void)poll(nullptr, 0, 40);
  }
  abort.join();
  save.join();
  EXPECT_THAT(stood, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(State(), DomainState::kRunning);
  EXPECT_THAT(control().AbortSave(guest()), IsOk()) << "there is none";
}

TEST_P(GuestControlContract, HasNothingOfAGuestThatIsGone) {
  EXPECT_THAT(control().CheckMemoryIsHere(guest()), IsOk());
  ASSERT_THAT(bed_->hypervisor().Destroy(guest()), IsOk());
  EXPECT_FALSE(control().CheckMemoryIsHere(guest()).ok());
  EXPECT_FALSE(control().BeginPause(guest()).ok());
  EXPECT_FALSE(control().SaveState(guest(), bed_->folder() / "none").ok());
  Bytes buffer(4096);
  EXPECT_FALSE(control().PeekMemory(guest(), 0, buffer).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, GuestControlContract,
    ::testing::Values(Body{"Fake", [] { return std::make_unique<FakeBed>(); }},
                      Body{"Libvirt",
                           [] { return std::make_unique<LibvirtBed>(); }}),
    [](const auto& body) { return std::string(body.param.name); });

// On two real hosts: post_copy_test.
TEST(FakeGuestControl, S23_SaysThatMemoryIsOnTwoHosts) {
  FakeBed bed;
  auto& fake = static_cast<FakeHypervisor&>(bed.hypervisor());
  fake.SetPostcopy(bed.guest(), true);
  EXPECT_THAT(fake.CheckMemoryIsHere(bed.guest()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::HasSubstr("post-copy")));
}

}  // namespace
}  // namespace vmattest::testing
