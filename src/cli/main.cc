#include <csignal>
#include <exception>
#include <functional>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "fmt/format.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app(
      "vmattest: attestation of KVM guests.\n"
      "Exit codes: 0 good, 1 not trustworthy, 2 usage or unreadable input, "
      "3 could not decide.",
      "vmattest");
  app.set_version_flag("--version", "vmattest " VMATTEST_VERSION);
  app.require_subcommand(1);
  std::function<int()> run;
  vmattest::cli::AddCommands(app, &run);
  try {
    app.parse(argc, argv);
    return run();
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? vmattest::cli::kExitGood
                                : vmattest::cli::kExitUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "vmattest: {}\n", error.what());
    return vmattest::cli::kExitUndecided;
  }
}
