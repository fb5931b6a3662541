#include "agent/port.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <filesystem>
#include <thread>
#include <vector>

#include "agent/program.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::agent {
namespace {

using guestchannel::Accepted;
using guestchannel::Answer;
using guestchannel::EncodeFrame;
using guestchannel::FrameReader;
using guestchannel::Refusal;
using guestchannel::Request;
using guestchannel::SnapshotRequest;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

// The test is the host.
class PortTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    host_ = UniqueFd(ends[0]);
    ASSERT_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    port_.emplace(UniqueFd(ends[1]));
  }
  static MonotonicTime In(milliseconds time) {
    return std::chrono::steady_clock::now() + time;
  }
  // What was asked next.
  Request Asked() {
    while (true) {
      if (const auto payload = reader_.Next()) {
        return guestchannel::ParseRequest(*payload).value_or(Request());
      }
      uint8_t byte = 0;
      if (recv(host_.get(), &byte, 1, 0) != 1) {
        return {};
      }
      reader_.Feed({&byte, 1});
    }
  }
  void Say(ByteView bytes) {
    ASSERT_EQ(send(host_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void Say(const Answer& answer) { Say(EncodeFrame(Encode(answer))); }

  const Request request_{Bytes(guestchannel::kIdSize, 1),
                         SnapshotRequest{"low", Bytes(32, 2)}};
  UniqueFd host_;
  FrameReader reader_;
  std::optional<Port> port_;
};

TEST_F(PortTest, HearsTheAnswerBehindGarbageAndOthersAnswers) {
  std::thread host([this] {
    EXPECT_EQ(Asked().id, request_.id);
    Say(Bytes(5000, 'v'));
    Say(Answer{Bytes(guestchannel::kIdSize, 9), Refusal{"other", "", 0}});
    Say(EncodeFrame(ToBytes("no answer")));
    Say(Answer{request_.id, Accepted{1000}});
    Say(Answer{request_.id, Refusal{"too-soon", "later", 5}});
  });
  const auto answer = port_->Ask(request_, In(std::chrono::seconds(10)));
  host.join();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(std::get<Refusal>(answer->body).code, "too-soon");
}

TEST_F(PortTest, AsksAgainByTheSameIdUntilItIsHeard) {
  std::thread host([this] {
    EXPECT_EQ(Asked().id, request_.id);
    EXPECT_EQ(Asked().id, request_.id);
    Say(Answer{request_.id, Refusal{"heard", "", 0}});
  });
  const auto answer =
      port_->Ask(request_, In(std::chrono::seconds(10)), milliseconds(50));
  host.join();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(std::get<Refusal>(answer->body).code, "heard");
}

TEST_F(PortTest, SaysWhetherTheHostSaidAnything) {
  EXPECT_THAT(
      port_->Ask(request_, In(milliseconds(100))),
      StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("said nothing")));
  Say(Answer{request_.id, Accepted{1000}});
  EXPECT_THAT(port_->Ask(request_, In(milliseconds(100))),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       HasSubstr("took the request")));
}

TEST(FindPortTest, TakesUdevsLinkOrWhatSysfsSays) {
  TempDir root;
  EXPECT_THAT(FindPort(root.path(), "org.x"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("org.x")));
  std::filesystem::create_directories(root.path() /
                                      "sys/class/virtio-ports/vport1p2");
  root.Write("sys/class/virtio-ports/vport1p2/name", "org.x\n");
  ASSERT_OK_AND_ASSIGN(const std::string by_name,
                       FindPort(root.path(), "org.x"));
  EXPECT_EQ(by_name, root.path() / "dev/vport1p2");
  std::filesystem::create_directories(root.path() / "dev/virtio-ports");
  root.Write("dev/virtio-ports/org.x", "");
  ASSERT_OK_AND_ASSIGN(const std::string link, FindPort(root.path(), "org.x"));
  EXPECT_EQ(link, root.path() / "dev/virtio-ports/org.x");
}

TEST(AgentProgramTest, UsageThatIsNoneEndsSo) {
  FILE* const nowhere = std::fopen("/dev/null", "w");
  const auto run = [nowhere](std::vector<const char*> words) {
    words.insert(words.begin(), "vmattest-agent");
    return RunAgent(static_cast<int>(words.size()), words.data(), nowhere,
                    nowhere);
  };
  EXPECT_EQ(run({"--help"}), kGood);
  EXPECT_EQ(run({"--version"}), kGood);
  EXPECT_EQ(run({}), kUsage);
  EXPECT_EQ(run({"dance"}), kUsage);
  for (const auto& bad : std::vector<std::vector<const char*>>{
           {"request-snapshot", "--nonce", "xyz"},
           {"request-snapshot", "--nonce", "00"},
           {"request-snapshot", "--timeout", "0"},
           {"request-snapshot", "--timeout", "5s"},
           {"request-snapshot", "--policy"},
           {"request-snapshot", "--policy", "../x"},
           {"request-snapshot", "--unknown", "x"},
           {"request-snapshot", "--port", "/nonexistent"}}) {
    EXPECT_EQ(run(bad), kUsage) << bad[1];
  }
  (void)std::fclose(nowhere);
}

}  // namespace
}  // namespace vmattest::agent
