#include "guestchannel/channels.h"

#include <poll.h>
#include <sys/socket.h>

#include <deque>

#include "fakes/fake_hypervisor.h"
#include "fakes/inline_executor.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/unix_socket.h"

namespace vmattest::guestchannel {
namespace {

using std::chrono::milliseconds;
using vmattest::testing::FakeHypervisor;
using vmattest::testing::InlineExecutor;
using vmattest::testing::ListenUnix;
using vmattest::testing::TempDir;
using vmattest::testing::WriteAll;

bool Eventually(const std::function<bool()>& done) {
  for (int i = 0; i < 1000; ++i) {
    if (done()) {
      return true;
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

// The test is QEMU: what it writes comes from a guest.
class ChannelsTest : public ::testing::Test {
 protected:
  struct Taken {
    std::string vm;
    Bytes payload;
    Desk::Reply reply;
  };

  static Channels::Limits Quick() {
    Channels::Limits limits;
    limits.look = milliseconds(20);
    limits.retry = milliseconds(20);
    limits.max_retry = milliseconds(40);
    limits.frame = milliseconds(100);
    limits.unread = milliseconds(200);
    limits.penalty = milliseconds(300);
    limits.per_frame = milliseconds(1);
    limits.per_kib = milliseconds(0);
    return limits;
  }
  void SetUp() override { hypervisor_.Start(nullptr); }
  void Listen(const Channels::Limits& limits = Quick()) {
    channels_.emplace(
        Channels::Parts{
            .hypervisor = hypervisor_,
            .work = work_,
            .take =
                [this](const Guest& guest, Bytes payload, Desk::Reply reply) {
                  const MutexLock lock(mutex_);
                  taken_.push_back(
                      {guest.name, std::move(payload), std::move(reply)});
                },
            .looked = {}},
        limits);
  }
  // A running VM whose QEMU offers a port at that path.
  Uuid Start(const std::string& name, const std::string& socket) {
    return hypervisor_.CreateTransient(
        name,
        FakeHypervisor::Xml(
            name, FakeHypervisor::UuidOf(name),
            fmt::format("<devices><channel type='unix'><source mode='bind' "
                        "path='{}'/><target type='virtio' name='{}'/>"
                        "</channel></devices>",
                        socket, kPortName)));
  }
  std::string Path(const std::string& name) { return dir_.path() / name; }
  static UniqueFd Accept(const UniqueFd& server) {
    pollfd polled{server.get(), POLLIN, 0};
    return poll(&polled, 1, 5000) == 1
               ? UniqueFd(accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC))
               : UniqueFd();
  }
  // The port of a running VM, "web", connected.
  UniqueFd Connected(const Channels::Limits& limits = Quick()) {
    server_ = ListenUnix(Path("a"));
    Start("web", Path("a"));
    Listen(limits);
    return Accept(server_);
  }
  static void Send(const UniqueFd& guest, const std::string& payload) {
    EXPECT_TRUE(WriteAll(guest.get(), EncodeFrame(ToBytes(payload))));
  }
  // The next frame that the host takes; "" if it takes none.
  std::string Next() {
    Taken taken;
    const bool any = Eventually([&] {
      const MutexLock lock(mutex_);
      if (taken_.empty()) {
        return false;
      }
      taken = std::move(taken_.front());
      taken_.pop_front();
      return true;
    });
    reply_ = taken.reply;
    vm_ = taken.vm;
    return any ? std::string(AsText(taken.payload)) : "";
  }
  size_t waiting() {
    const MutexLock lock(mutex_);
    return taken_.size();
  }
  static std::string Hear(const UniqueFd& guest) {
    FrameReader reader;
    uint8_t byte = 0;
    pollfd polled{guest.get(), POLLIN, 0};
    while (poll(&polled, 1, 5000) == 1 && recv(guest.get(), &byte, 1, 0) == 1) {
      reader.Feed({&byte, 1});
      if (const auto payload = reader.Next()) {
        return std::string(AsText(*payload));
      }
    }
    return "";
  }
  static bool Closed(const UniqueFd& guest) {
    pollfd polled{guest.get(), POLLRDHUP, 0};
    return poll(&polled, 1, 5000) == 1;
  }

  TempDir dir_;
  FakeHypervisor hypervisor_;
  InlineExecutor work_;
  Mutex mutex_;
  std::deque<Taken> taken_ GUARDED_BY(mutex_);
  Desk::Reply reply_;
  std::string vm_;
  UniqueFd server_;
  std::optional<Channels> channels_;
};

TEST_F(ChannelsTest, AFrameIsHandedOverAndItsAnswersSent) {
  const UniqueFd guest = Connected();
  ASSERT_TRUE(guest.valid());
  Send(guest, "question");
  EXPECT_EQ(Next(), "question");
  EXPECT_EQ(vm_, "web");
  reply_(ToBytes("yes"), false);
  EXPECT_EQ(Hear(guest), "yes");
  reply_(ToBytes("done"), true);
  EXPECT_EQ(Hear(guest), "done");
  EXPECT_EQ(channels_->connected(), 1U);
}

TEST_F(ChannelsTest, TakesOneFrameAtATime) {
  const UniqueFd guest = Connected();
  Send(guest, "one");
  Send(guest, "two");
  EXPECT_EQ(Next(), "one");
  // What must not come has the time to.
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(waiting(), 0U);
  reply_(ToBytes("1"), true);
  EXPECT_EQ(Next(), "two");
}

TEST_F(ChannelsTest, AFloodIsTakenAtTheRateThatIsAllowed) {
  Channels::Limits limits = Quick();
  limits.per_frame = milliseconds(200);
  limits.burst = milliseconds(400);
  const UniqueFd guest = Connected(limits);
  for (int i = 0; i < 200; ++i) {
    Send(guest, "flood");
  }
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(Next(), "flood");
    reply_(ToBytes("no"), true);
  }
  // Three at once, and then one in 200 ms.
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(550));
}

TEST_F(ChannelsTest, GarbageIsSkippedAndAnotherVmUnharmed) {
  const UniqueFd server = ListenUnix(Path("a"));
  const UniqueFd other = ListenUnix(Path("b"));
  Start("bad", Path("a"));
  Start("good", Path("b"));
  Listen();
  const UniqueFd bad = Accept(server);
  const UniqueFd good = Accept(other);
  EXPECT_TRUE(WriteAll(bad.get(), Bytes(100'000, 'v')));
  Send(good, "fine");
  EXPECT_EQ(Next(), "fine");
  EXPECT_EQ(vm_, "good");
  Send(bad, "after all");
  EXPECT_EQ(Next(), "after all");
  EXPECT_EQ(vm_, "bad");
}

TEST_F(ChannelsTest, HalfAFrameIsGivenUpInTime) {
  const UniqueFd guest = Connected();
  const Bytes half = EncodeFrame(Bytes(2000, 'x'));
  EXPECT_TRUE(WriteAll(guest.get(), ByteView(half).first(50)));
  Send(guest, "whole");
  EXPECT_EQ(Next(), "whole");
}

TEST_F(ChannelsTest, WhoWritesAByteNowAndThenDoesNotKeepAFrameOpen) {
  const UniqueFd guest = Connected();
  const Bytes slow = EncodeFrame(Bytes(2000, 'x'));
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(WriteAll(guest.get(), ByteView(slow).subspan(i, 1)));
    std::this_thread::sleep_for(milliseconds(20));
  }
  Send(guest, "whole");
  EXPECT_EQ(Next(), "whole");
}

TEST_F(ChannelsTest, NothingIsReadForAWhileOfWhoSentWhatIsNoRequest) {
  const UniqueFd guest = Connected();
  Send(guest, "nonsense");
  EXPECT_EQ(Next(), "nonsense");
  reply_({}, true);
  const auto begin = std::chrono::steady_clock::now();
  Send(guest, "again");
  EXPECT_EQ(Next(), "again");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(250));
}

TEST_F(ChannelsTest, AGuestThatNeverReadsIsDisconnected) {
  const UniqueFd server = ListenUnix(Path("a"));
  Start("web", Path("a"));
  Listen();
  const UniqueFd guest = Accept(server);
  Send(guest, "question");
  EXPECT_EQ(Next(), "question");
  // More than the socket holds.
  for (int i = 0; i < 400; ++i) {
    reply_(Bytes(kMaxFrame, 'a'), false);
  }
  pollfd polled{guest.get(), POLLRDHUP, 0};
  EXPECT_EQ(poll(&polled, 1, 5000), 1);
  // And is connected to again.
  EXPECT_TRUE(Accept(server).valid());
}

TEST_F(ChannelsTest, ConnectsAgainAfterTheSocketWasClosed) {
  const UniqueFd server = ListenUnix(Path("a"));
  Start("web", Path("a"));
  Listen();
  Accept(server).Reset();
  const UniqueFd guest = Accept(server);
  ASSERT_TRUE(guest.valid());
  Send(guest, "back");
  EXPECT_EQ(Next(), "back");
}

TEST_F(ChannelsTest, AnAnswerToAClosedConnectionIsHeardByNobody) {
  const UniqueFd server = ListenUnix(Path("a"));
  Start("web", Path("a"));
  Listen();
  UniqueFd guest = Accept(server);
  Send(guest, "first");
  EXPECT_EQ(Next(), "first");
  const Desk::Reply late = reply_;
  guest.Reset();
  const UniqueFd next = Accept(server);
  ASSERT_TRUE(next.valid());
  late(ToBytes("late"), true);
  Send(next, "second");
  EXPECT_EQ(Next(), "second");
  reply_(ToBytes("to the second"), true);
  EXPECT_EQ(Hear(next), "to the second");
}

TEST_F(ChannelsTest, IsGoneWithItsVm) {
  const UniqueFd server = ListenUnix(Path("a"));
  const Uuid vm = Start("web", Path("a"));
  Listen();
  const UniqueFd guest = Accept(server);
  hypervisor_.Stop(vm);
  EXPECT_TRUE(Closed(guest));
  EXPECT_TRUE(Eventually([&] { return channels_->connected() == 0; }));
}

TEST_F(ChannelsTest, ASocketOfTwoVmsIsListenedToForOneAlone) {
  const UniqueFd server = ListenUnix(Path("a"));
  Start("one", Path("a"));
  Start("two", Path("a"));
  Listen();
  const UniqueFd guest = Accept(server);
  ASSERT_TRUE(guest.valid());
  // The other has the time to be connected, too.
  std::this_thread::sleep_for(milliseconds(150));
  EXPECT_EQ(channels_->connected(), 1U);
}

TEST_F(ChannelsTest, StopClosesAllAndIsNotHeldUp) {
  const UniqueFd guest = Connected();
  Send(guest, "question");
  EXPECT_EQ(Next(), "question");
  channels_->Stop();
  EXPECT_TRUE(Closed(guest));
  reply_(ToBytes("late"), true);
}

}  // namespace
}  // namespace vmattest::guestchannel
