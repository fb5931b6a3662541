#include "cli/commands.h"

#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/attest_command.h"
#include "cli/disclose_command.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;

// Parses as main() does; the exit code of what was chosen, kExitUsage if the
// words make no command.
int Parse(std::vector<std::string> words) {
  CLI::App app("", "vmattest");
  app.require_subcommand(1);
  std::function<int()> run;
  AddCommands(app, &run);
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::CallForHelp&) {
    return kExitGood;
  } catch (const CLI::ParseError&) {
    return kExitUsage;
  }
  return run();
}

TEST(Commands, EveryOneHasHelp) {
  CLI::App app("", "vmattest");
  std::function<int()> run;
  AddCommands(app, &run);
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) {
    names.push_back(command->get_name());
    EXPECT_EQ(Parse({command->get_name(), "--help"}), kExitGood);
    EXPECT_FALSE(command->get_description().empty());
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf({"measure", "attest", "disclose",
                                              "verify", "explain", "export",
                                              "host-identity", "list", "watch",
                                              "status", "call", "version"}));
}

TEST(Commands, WrongWordsAreUsageErrors) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"no-such-command"},
                                             {"attest"},
                                             {"disclose", "--vm", "a"},
                                             {"disclose", "--leaf", "name"},
                                             {"verify", "file"},
                                             {"export", "file"},
                                             {"watch", "--count", "many"},
                                             {"list", "--timeout", "0"},
                                             {"version", "extra"}}) {
    EXPECT_EQ(Parse(words), kExitUsage) << ::testing::PrintToString(words);
  }
}

TEST(Commands, DaemonThatIsAwayIsUndecided) {
  const testing::TempDir dir;
  const std::string socket = dir.path() / "none";
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{
           {"attest", "--vm", "a", "--out", dir.path() / "e"},
           {"disclose", "--vm", "a", "--leaf", "name", "--leaf", "uuid",
            "--out", dir.path() / "d"},
           {"host-identity"},
           {"list"},
           {"watch"},
           {"status"},
           {"call", "list"}}) {
    std::vector<std::string> all = words;
    all.insert(all.end(), {"--socket", socket, "--timeout", "5"});
    EXPECT_EQ(Parse(all), kExitUndecided) << ::testing::PrintToString(words);
  }
}

TEST(Commands, BadArgumentsAreFoundBeforeTheDaemonIsAsked) {
  AttestArgs args;
  args.vm = "a";
  args.out = "/no/such/folder/e";
  args.connection.socket = "/no/such/socket";
  args.nonce = "xyz";
  EXPECT_EQ(RunAttest(args), kExitUsage);
  args.nonce.reset();
  args.algorithm = "md5";
  EXPECT_EQ(RunAttest(args), kExitUsage);
  args.algorithm.clear();
  args.content = "some";
  EXPECT_EQ(RunAttest(args), kExitUsage);
}

TEST(Commands, BadArgumentsOfDiscloseAreFoundToo) {
  DiscloseArgs args;
  args.vm = "a";
  args.leaves = {"name"};
  args.out = "/no/such/folder/d";
  args.connection.socket = "/no/such/socket";
  args.nonce = "xyz";
  EXPECT_EQ(RunDisclose(args), kExitUsage);
  args.nonce.reset();
  args.inside = "some";
  EXPECT_EQ(RunDisclose(args), kExitUsage);
}

TEST(Commands, TcpNeedsAllThreeFiles) {
  EXPECT_EQ(Parse({"list", "--address", "localhost:1", "--cert", "/c"}),
            kExitUsage);
}

TEST(Print, ControlBytesDoNotReachTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\nc\x7f"), "a\\x1b[2Jb\\x0ac\\x7f");
}

TEST(ExitCode, FollowsWhoMustAct) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), kExitGood);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("")), kExitUsage);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("")), kExitUndecided);
  EXPECT_EQ(ExitCodeOf(absl::PermissionDeniedError("")), kExitUndecided);
  EXPECT_EQ(ExitCodeOf(absl::DataLossError("")), kExitUndecided);
}

}  // namespace
}  // namespace vmattest::cli
