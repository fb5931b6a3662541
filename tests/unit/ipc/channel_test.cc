#include "ipc/channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::ipc {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

constexpr size_t kMax = 4U << 20;

MonotonicTime In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}
MonotonicTime Soon() { return In(std::chrono::seconds(20)); }

size_t OpenDescriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 256; ++fd) {
    count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  }
  return count;
}

class ChannelTest : public ::testing::Test {
 protected:
  ChannelTest() : ChannelTest(*Channel::MakePair()) {}
  explicit ChannelTest(std::pair<UniqueFd, UniqueFd> ends)
      : ours_(std::move(ends.first), kMax),
        peer_(std::move(ends.second), kMax) {}

  // What a hostile peer would write, with `count` descriptors.
  void WriteRaw(ByteView bytes, size_t count = 0) {
    iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
    std::array<char, CMSG_SPACE(64 * sizeof(int))> control{};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (count > 0) {
      header.msg_control = control.data();
      header.msg_controllen = CMSG_SPACE(count * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(count * sizeof(int));
      const int fd = STDERR_FILENO;
      for (size_t i = 0; i < count; ++i) {
        std::memcpy(CMSG_DATA(rights) + i * sizeof(int), &fd, sizeof(fd));
      }
    }
    ASSERT_EQ(sendmsg(peer_.fd(), &header, MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  Channel ours_;
  Channel peer_;
};

TEST_F(ChannelTest, CarriesMessagesInOrder) {
  for (const size_t size : {0U, 1U, 4U, 70'000U}) {
    ASSERT_THAT(ours_.Send({Bytes(size, 0xab), {}}, Soon()), IsOk());
  }
  for (const size_t size : {0U, 1U, 4U, 70'000U}) {
    ASSERT_OK_AND_ASSIGN(const Message message, peer_.Receive(Soon()));
    EXPECT_EQ(message.bytes, Bytes(size, 0xab));
  }
}

TEST_F(ChannelTest, CarriesMoreThanTheSocketHolds) {
  Bytes bytes(kMax);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(i * 7 >> 3);
  }
  std::thread sender([&] {
    EXPECT_THAT(ours_.Send({bytes, {}}, Soon()), IsOk());
  });
  auto message = peer_.Receive(Soon());
  sender.join();
  ASSERT_THAT(message, IsOk());
  EXPECT_TRUE(message->bytes == bytes);
}

TEST_F(ChannelTest, DescriptorsTravelAndCloseOnExec) {
  Message message{ToBytes("two"), {}};
  for (int i = 0; i < 2; ++i) {
    message.descriptors.emplace_back(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  }
  ASSERT_THAT(ours_.Send(message, Soon()), IsOk());
  ASSERT_OK_AND_ASSIGN(const Message got, peer_.Receive(Soon()));
  ASSERT_THAT(got.descriptors, SizeIs(2));
  struct stat sent {};
  struct stat taken {};
  ASSERT_EQ(fstat(message.descriptors[0].get(), &sent), 0);
  ASSERT_EQ(fstat(got.descriptors[1].get(), &taken), 0);
  EXPECT_EQ(sent.st_ino, taken.st_ino);
  EXPECT_NE(fcntl(got.descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(ChannelTest, TooLargeIsNotSent) {
  EXPECT_THAT(ours_.Send({Bytes(kMax + 1), {}}, Soon()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(ours_.Send({ToBytes("small"), {}}, Soon()), IsOk());
  ASSERT_OK_AND_ASSIGN(const Message got, peer_.Receive(Soon()));
  EXPECT_EQ(AsText(got.bytes), "small");
}

TEST_F(ChannelTest, AnnouncedSizePastTheLimitIsDataLoss) {
  WriteRaw(Bytes{0xff, 0xff, 0xff, 0xff});
  EXPECT_THAT(ours_.Receive(Soon()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("4294967295")));
}

TEST_F(ChannelTest, EndBetweenMessagesIsUnavailable) {
  peer_.Close();
  EXPECT_THAT(ours_.Receive(Soon()), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(ours_.Send({ToBytes("x"), {}}, Soon()),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ChannelTest, EndInsideTheLengthOrTheBytesIsDataLoss) {
  WriteRaw(Bytes{0, 0});
  peer_.Close();
  EXPECT_THAT(ours_.Receive(Soon()), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ChannelTest, EndInsideTheBytesIsDataLoss) {
  WriteRaw(Bytes{0, 0, 0, 9, 'a'});
  peer_.Close();
  EXPECT_THAT(ours_.Receive(Soon()), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ChannelTest, BytesThatComeOneByOneAreOneMessage) {
  const Bytes whole = {0, 0, 0, 3, 'a', 'b', 'c'};
  std::thread sender([&] {
    for (const uint8_t byte : whole) {
      WriteRaw(Bytes{byte});
      std::this_thread::yield();
    }
  });
  auto message = ours_.Receive(Soon());
  sender.join();
  ASSERT_THAT(message, IsOk());
  EXPECT_EQ(AsText(message->bytes), "abc");
}

TEST_F(ChannelTest, SurplusDescriptorsAreDataLossAndAreClosed) {
  const size_t before = OpenDescriptors();
  WriteRaw(Bytes{0, 0, 0, 0}, kMaxDescriptors + 1);
  EXPECT_THAT(ours_.Receive(Soon()), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(ChannelTest, FarTooManyDescriptorsAreDataLossAndAreClosed) {
  const size_t before = OpenDescriptors();
  WriteRaw(Bytes{0, 0, 0, 0}, 60);
  EXPECT_THAT(ours_.Receive(Soon()), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(ChannelTest, DescriptorsInTheMiddleAreDataLoss) {
  const size_t before = OpenDescriptors();
  WriteRaw(Bytes{0, 0, 0, 2, 'a'});
  WriteRaw(Bytes{'b'}, 1);
  EXPECT_THAT(ours_.Receive(Soon()), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(ChannelTest, SilentPeerIsADeadline) {
  EXPECT_THAT(ours_.Receive(In(std::chrono::milliseconds(5))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ChannelTest, PeerThatNeverReadsIsADeadline) {
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    status = ours_.Send({Bytes(kMax), {}}, In(std::chrono::milliseconds(20)));
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ChannelTest, AwaitingNothingLeavesTheChannelGood) {
  EXPECT_THAT(ours_.AwaitMessage(In(std::chrono::milliseconds(5))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_THAT(peer_.Send({ToBytes("late"), {}}, Soon()), IsOk());
  EXPECT_THAT(ours_.AwaitMessage(Soon()), IsOk());
  ASSERT_OK_AND_ASSIGN(const Message got, ours_.Receive(Soon()));
  EXPECT_EQ(AsText(got.bytes), "late");
}

TEST_F(ChannelTest, CloseEndsWhatAnotherThreadWaitsFor) {
  absl::Status status;
  std::thread receiver([&] { status = ours_.Receive(kNoDeadline).status(); });
  ours_.Close();
  receiver.join();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  ours_.Close();
}

}  // namespace
}  // namespace vmattest::ipc
