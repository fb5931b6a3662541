// The README's grpcurl lines, run as grpcurl would: by server reflection, on a
// live daemon. Grammar: grpcurl -plaintext -unix [-d 'JSON'] SOCKET WHAT
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "cli/call_command.h"
#include "cli/connection.h"
#include "gmock/gmock.h"
#include "support/daemon_process.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/test_node.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::StatusIs;

// The lines of fenced blocks, "$ " before them and "\" at their end undone.
std::vector<std::string> FencedLines(const std::string& page) {
  std::vector<std::string> lines;
  std::istringstream stream(page);
  bool fenced = false;
  bool continued = false;
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind("```", 0) == 0) {
      fenced = !fenced;
      continue;
    }
    if (!fenced) {
      continue;
    }
    const size_t begin = line.find_first_not_of(" $");
    line.erase(0, begin == std::string::npos ? line.size() : begin);
    const bool more = !line.empty() && line.back() == '\\';
    if (more) {
      line.pop_back();
    }
    if (continued) {
      lines.back() += line;
    } else {
      lines.push_back(line);
    }
    continued = more;
  }
  return lines;
}

// As a shell splits words, for what such lines need.
std::vector<std::string> Words(const std::string& line) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (const char c : line) {
    if (quote == 0 && (c == ' ' || c == '\t')) {
      in_word = false;
    } else if (c == quote) {
      quote = 0;
    } else {
      if (!in_word) {
        words.emplace_back();
        in_word = true;
      }
      if (quote == 0 && (c == '\'' || c == '"')) {
        quote = c;
      } else {
        words.back() += c;
      }
    }
  }
  return words;
}

absl::StatusOr<cli::CallArgs> ParseGrpcurl(const std::string& line) {
  const std::vector<std::string> words = Words(line);
  cli::CallArgs args;
  std::vector<std::string> rest;
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "-d" && i + 1 < words.size()) {
      args.argument = words[++i];
    } else if (words[i] == "-plaintext" || words[i] == "-unix") {
      continue;
    } else if (words[i][0] == '-') {
      return absl::InvalidArgumentError("unknown option " + words[i]);
    } else if (words[i] == "|" || words[i] == "#") {
      break;
    } else {
      rest.push_back(words[i]);
    }
  }
  if (rest.size() < 2 || rest.size() > 3) {
    return absl::InvalidArgumentError("not SOCKET WHAT");
  }
  args.connection.socket = rest[0];
  args.method = rest[1];
  if (rest.size() == 3) {
    args.argument = rest[2];
  }
  return args;
}

TEST(ReadmeCalls, LinesAreReadAsAShellReadsThem) {
  EXPECT_THAT(FencedLines("a\n```\n$ b \\\n  c\n```\nd\n"), ElementsAre("b c"));
  EXPECT_THAT(Words("a 'b \"c\"'  \"d e\"f"),
              ElementsAre("a", "b \"c\"", "d ef"));
  EXPECT_THAT(ParseGrpcurl("grpcurl -insecure /s list"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ReadmeCalls, EveryGrpcurlLineOfTheReadmeWorks) {
  std::vector<std::string> lines;
  for (const std::string& line :
       FencedLines(testing::Slurp(VMATTEST_SOURCE_DIR "/README.md"))) {
    if (line.rfind("grpcurl ", 0) == 0) {
      lines.push_back(line);
    }
  }
  ASSERT_THAT(lines, Not(IsEmpty())) << "README.md shows no grpcurl line";

  // Whatever VM the README asks about is there.
  std::set<std::string> vms = {"demo"};
  const std::regex vm("\"vm\"\\s*:\\s*\"([^\"]+)\"");
  for (const std::string& line : lines) {
    for (std::sregex_iterator it(line.begin(), line.end(), vm), end; it != end;
         ++it) {
      vms.insert((*it)[1]);
    }
  }
  const testing::TestNode node({vms.begin(), vms.end()});
  const testing::Swtpm tpm;
  testing::DaemonProcess daemon(
      {.libvirt_uri = node.uri(), .tcti = tpm.tcti()});
  ASSERT_TRUE(daemon.AwaitServing()) << daemon.log();

  for (const std::string& line : lines) {
    ASSERT_OK_AND_ASSIGN(cli::CallArgs args, ParseGrpcurl(line));
    const bool read =
        args.connection.socket.find("read.sock") != std::string::npos;
    args.connection.socket =
        read ? daemon.read_socket() : daemon.admin_socket();
    const bool stream = args.method.find("/Watch") != std::string::npos;
    args.connection.timeout = std::chrono::seconds(stream ? 3 : 60);
    ASSERT_OK_AND_ASSIGN(const auto channel, cli::Connect(args.connection));
    int answers = 0;
    const absl::Status called = cli::CallByName(
        channel, args, [&answers](const std::string&) { ++answers; });
    if (stream) {
      EXPECT_THAT(called, StatusIs(absl::StatusCode::kDeadlineExceeded))
          << line;
    } else {
      EXPECT_THAT(called, testing::IsOk()) << line;
      EXPECT_GE(answers, 1) << line;
    }
  }
}

}  // namespace
}  // namespace vmattest
