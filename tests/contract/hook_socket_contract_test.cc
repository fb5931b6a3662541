// What the hook may rely on at the daemon's socket, and what nobody gets out of
// it.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/mutex.h"
#include "crypto/digest.h"
#include "gate/socket/hook_server.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using testing::IsOk;

class HookSocketContract : public ::testing::Test {
 protected:
  void Start(size_t threads, size_t max_waiting) {
    HookServer::Options options;
    options.path = dir_.path() / "hook.sock";
    options.threads = threads;
    options.max_waiting = max_waiting;
    options.io = std::chrono::milliseconds(300);
    ASSERT_OK_AND_ASSIGN(
        server_,
        HookServer::Start(
            options,
            {.decide =
                 [this](const GateCall& call, MonotonicTime) {
                   Await();
                   return Echo(call, "decided");
                 },
             .busy = [](const GateCall& call) { return Echo(call, "busy"); }}));
  }
  static GateReply Echo(const GateCall& call, const std::string& code) {
    GateReply reply;
    reply.code = code;
    reply.sentence = call.domain;
    for (const HandedFile& handed : call.handed) {
      char content[16] = {};
      const ssize_t got =
          pread(handed.file->get(), content, sizeof(content), 0);
      reply.sentence +=
          " " + handed.role + "=" + std::string(content, got < 0 ? 0 : got);
    }
    return reply;
  }
  void Await() {
    const MutexLock lock(mutex_);
    while (held_) {
      changed_.Wait(mutex_);
    }
  }
  void Hold(bool held) {
    const MutexLock lock(mutex_);
    held_ = held;
    changed_.NotifyAll();
  }
  UniqueFd Connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir_.path() / "hook.sock";
    std::memcpy(address.sun_path, path.c_str(), path.size());
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)) == 0
               ? std::move(fd)
               : UniqueFd();
  }
  absl::StatusOr<GateReply> Ask(const std::string& domain,
                                const std::vector<HandedFile>& handed = {},
                                std::vector<UniqueFd> descriptors = {}) {
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(30);
    ipc::Channel channel(Connect(), kMaxGateCall);
    GateCall call;
    call.nonce = RandomBytes(kGateNonceSize);
    call.domain = domain;
    call.operation = "prepare";
    call.handed = handed;
    RETURN_IF_ERROR(
        channel.Send({gate::Encode(call), std::move(descriptors)}, deadline));
    ASSIGN_OR_RETURN(const ipc::Message message, channel.Receive(deadline));
    return ParseReply(message.bytes);
  }

  testing::TempDir dir_;
  Mutex mutex_;
  CondVar changed_;
  bool held_ GUARDED_BY(mutex_) = false;
  std::unique_ptr<HookServer> server_;
};

TEST_F(HookSocketContract, AnswersEachCallOnItsOwnConnection) {
  Start(4, 64);
  std::atomic<int> right = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 60; ++i) {
    callers.emplace_back([this, &right, i] {
      const std::string name = "vm-" + std::to_string(i);
      const auto reply = Ask(name);
      right += reply.ok() && reply->sentence == name;
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(right, 60);
}

TEST_F(HookSocketContract, FilesComeWithTheirCallOrTheCallIsNone) {
  Start(1, 8);
  const auto open_files = [this] {
    std::vector<UniqueFd> files;
    for (const char* name : {"image", "state"}) {
      const auto path = dir_.Write(name, std::string("of ") + name);
      files.emplace_back(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    }
    return files;
  };
  const HandedFile image{std::string(kSavedImage), "image", nullptr};
  const HandedFile state{std::string(kVtpmState), "state", nullptr};
  const auto reply = Ask("web", {image, state}, open_files());
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->sentence, "web saved-image=of image vtpm-state=of state");
  EXPECT_FALSE(Ask("web", {image, state}).ok());
  EXPECT_FALSE(Ask("web", {image}, open_files()).ok());
  EXPECT_FALSE(Ask("web", {}, open_files()).ok());
  EXPECT_THAT(Ask("web"), IsOk());
}

TEST_F(HookSocketContract, IsNobodysButItsOwners) {
  Start(1, 1);
  struct stat status {};
  ASSERT_EQ(stat((dir_.path() / "hook.sock").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(HookSocketContract, MoreCallsThanMayWaitAreToldSoAtOnce) {
  Start(1, 1);
  Hold(true);
  std::atomic<int> decided = 0;
  std::vector<std::thread> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.emplace_back([this, &decided] {
      const auto reply = Ask("vm");
      decided += reply.ok() && reply->code == "decided";
    });
  }
  absl::StatusOr<GateReply> busy = absl::UnknownError("");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!(busy.ok() && busy->code == "busy") &&
         std::chrono::steady_clock::now() < end) {
    std::thread probe([this, &busy] { busy = Ask("late"); });
    probe.join();
    if (busy.ok() && busy->code == "busy") {
      break;
    }
  }
  EXPECT_EQ(busy->code, "busy");
  Hold(false);
  for (std::thread& thread : waiting) {
    thread.join();
  }
  EXPECT_GE(decided, 1);
}

TEST_F(HookSocketContract, ASlowOrSenselessCallerIsCutOffAndHarmsNobody) {
  Start(1, 8);
  const UniqueFd silent = Connect();
  const UniqueFd senseless = Connect();
  const std::string noise = "\x00\x00\x00\x05hello";
  (void)send(senseless.get(), noise.data(), noise.size(), MSG_NOSIGNAL);
  const auto reply = Ask("web");
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->sentence, "web");
  char byte = 0;
  EXPECT_EQ(recv(silent.get(), &byte, 1, 0), 0);
}

TEST_F(HookSocketContract, TakesThePlaceOfADeadDaemonsSocket) {
  Start(1, 1);
  server_.reset();
  std::ofstream(dir_.path() / "hook.sock") << "left over";
  Start(1, 1);
  EXPECT_THAT(Ask("web"), IsOk());
}

}  // namespace
}  // namespace vmattest::gate
