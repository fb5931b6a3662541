#include "cli/register_image_command.h"

#include <unistd.h>

#include <sstream>

#include "cli/exit_code.h"
#include "gate/socket/hook_server.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The gate's own socket, with what a test wants to hear behind it.
class RegisterImageTest : public ::testing::Test {
 protected:
  void Serve(bool allowed) {
    gate::HookServer::Options options;
    options.path = dir_.path() / "hook.sock";
    options.threads = 1;
    options.max_waiting = 4;
    const auto decide = [this, allowed](const gate::GateCall& call,
                                        MonotonicTime) {
      asked_ = call;
      char content[64] = {};
      const ssize_t got =
          pread(call.handed.at(0).file->get(), content, sizeof(content), 0);
      content_.assign(content, got < 0 ? 0 : static_cast<size_t>(got));
      gate::GateReply reply;
      reply.allowed = allowed;
      reply.basis = allowed ? gate::Basis::kNotGated : gate::Basis::kNone;
      if (!allowed) {
        reply.code = "gate-image-refused";
        reply.sentence = "it was written to since";
      }
      return reply;
    };
    server_ = *gate::HookServer::Start(
        options, {.decide = decide, .busy = [](const gate::GateCall&) {
                    return gate::GateReply();
                  }});
  }
  int Run(const std::string& file) {
    return RunRegisterImage({.domain = "web",
                             .file = file,
                             .hook_socket = dir_.path() / "hook.sock",
                             .timeout_seconds = 30},
                            out_, err_);
  }

  testing::TempDir dir_;
  gate::GateCall asked_;
  std::string content_;
  std::ostringstream out_;
  std::ostringstream err_;
  std::unique_ptr<gate::HookServer> server_;
};

TEST_F(RegisterImageTest, HandsTheFileItselfToTheGate) {
  Serve(true);
  EXPECT_EQ(Run(dir_.Write("web.img", "memory")), kExitGood);
  EXPECT_THAT(out_.str(), HasSubstr("registered"));
  EXPECT_EQ(asked_.operation, gate::kRegisterImage);
  EXPECT_EQ(asked_.domain, "web");
  EXPECT_EQ(asked_.handed.at(0).role, gate::kSavedImage);
  EXPECT_EQ(content_, "memory");
}

TEST_F(RegisterImageTest, ARefusalIsToldWithReasonAndCode) {
  Serve(false);
  EXPECT_EQ(Run(dir_.Write("web.img", "memory")), kExitNotTrustworthy);
  EXPECT_THAT(out_.str(), IsEmpty());
  EXPECT_THAT(err_.str(), HasSubstr("written to since [gate-image-refused]"));
}

TEST_F(RegisterImageTest, WithoutAFileOrADaemonItSaysWhich) {
  Serve(true);
  EXPECT_EQ(Run(dir_.path() / "none"), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("none"));
  server_.reset();
  EXPECT_EQ(Run(dir_.Write("web.img", "memory")), kExitUndecided);
  EXPECT_THAT(err_.str(), HasSubstr("gate.enabled?"));
}

}  // namespace
}  // namespace vmattest::cli
