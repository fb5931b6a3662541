// The server against the client of libnbd, and against one that misbehaves.
#include "worker/guestfs/nbd_server.h"

#include "disk/nbd_block_source.h"
#include "fakes/memory_block_source.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/unix_socket.h"

namespace vmattest::worker {
namespace {

using vmattest::testing::ConnectUnix;
using vmattest::testing::IsOk;
using vmattest::testing::MemoryBlockSource;
using vmattest::testing::StatusIs;

class NbdServerTest : public ::testing::Test {
 protected:
  NbdServerTest() {
    socket_ = dir_.path() / "nbd";
    auto server = NbdServer::Listen(socket_, {{"0", &first_}, {"1", &second_}});
    EXPECT_THAT(server, IsOk());
    server_ = *std::move(server);
  }
  auto Open(const std::string& name) {
    return disk::NbdBlockSource::Connect(ConnectUnix(socket_), name);
  }

  testing::TempDir dir_;
  std::string socket_;
  MemoryBlockSource first_{std::string(1 << 20, 'a')};
  MemoryBlockSource second_{std::string(4096, 'b')};
  std::unique_ptr<NbdServer> server_;
};

TEST_F(NbdServerTest, ShowsEachContentByItsName) {
  ASSERT_OK_AND_ASSIGN(const auto a, Open("0"));
  ASSERT_OK_AND_ASSIGN(const auto b, Open("1"));
  EXPECT_EQ(a->size(), 1U << 20);
  EXPECT_EQ(b->size(), 4096U);
  Bytes buffer(1000);
  ASSERT_THAT(b->ReadAt(96, buffer), IsOk());
  EXPECT_EQ(AsText(buffer), std::string(1000, 'b'));
  size_t got = 0;
  ASSERT_THAT(a->ReadInOrder(0, a->size(),
                             [&got](ByteView piece) {
                               got += piece.size();
                               return absl::OkStatus();
                             }),
              IsOk());
  EXPECT_EQ(got, a->size());
}

TEST_F(NbdServerTest, HasNoOtherExport) {
  EXPECT_THAT(Open("2"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(NbdServerTest, TellsOfTheDisksFailure) {
  first_.failure = absl::AbortedError("changed");
  ASSERT_OK_AND_ASSIGN(const auto a, Open("0"));
  Bytes buffer(512);
  EXPECT_THAT(a->ReadAt(0, buffer), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(server_->failure(), StatusIs(absl::StatusCode::kAborted));
}

Bytes Request(uint16_t type, uint64_t offset, uint32_t size) {
  ByteWriter request;
  request.U32(0x25609513).U16(0).U16(type).U64(7).U64(offset).U32(size);
  return std::move(request).Take();
}

class NbdSessionTest : public ::testing::Test {
 protected:
  void Begin() {
    ByteWriter begin;
    begin.U32(3).U64(0x49484156454f5054).U32(1).Sized("0");
    const Bytes bytes = std::move(begin).Take();
    Bytes out;
    ASSERT_EQ(*session_.Take(bytes, out), 4U);
    ASSERT_EQ(*session_.Take(ByteView(bytes).subspan(4), out), 17U);
  }
  MemoryBlockSource content_{std::string(4096, 'a')};
  std::vector<NbdExport> exports_ = {{"0", &content_}};
  NbdSession session_{exports_};
};

TEST_F(NbdSessionTest, WaitsForTheRestOfAMessage) {
  Begin();
  Bytes out;
  EXPECT_EQ(*session_.Take(ByteView(Request(0, 0, 16)).first(27), out), 0U);
  EXPECT_EQ(*session_.Take(Request(0, 0, 16), out), 28U);
  EXPECT_EQ(out.size(), 32U);
}

TEST_F(NbdSessionTest, ReadsNothingOutsideTheContent) {
  Begin();
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, uint32_t>>{
           {4096, 1}, {0, 4097}, {~uint64_t{0}, 2}, {0, 0xffffffff}}) {
    Bytes out;
    EXPECT_EQ(*session_.Take(Request(0, offset, size), out), 28U);
    EXPECT_EQ(out.size(), 16U);
    EXPECT_EQ(out[7], 22);  // NBD_EINVAL
  }
  EXPECT_EQ(content_.reads, 0U);
}

TEST_F(NbdSessionTest, EndsWithAWriterOrSomethingElse) {
  Begin();
  Bytes out;
  EXPECT_THAT(session_.Take(Request(1, 0, 16), out),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(session_.Take(Bytes(28, 0xa5), out),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(session_.Take(Request(2, 0, 0), out),
              StatusIs(absl::StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace vmattest::worker
