#ifndef VMATTEST_CLI_COMMAND_H_
#define VMATTEST_CLI_COMMAND_H_

#include <functional>
#include <memory>
#include <utility>

#include "CLI/App.hpp"

namespace vmattest::cli {

using Run = std::function<int()>;

// Adds a command whose arguments live as long as the parser's callbacks do.
template <class Args>
struct Command {
  CLI::App* app;
  std::shared_ptr<Args> args = std::make_shared<Args>();

  Command(CLI::App& parent, const char* name, const char* what, Run* run,
          std::function<int(const Args&)> function)
      : app(parent.add_subcommand(name, what)) {
    app->callback([run, function = std::move(function), args = args] {
      *run = [function, args] { return function(*args); };
    });
  }
};

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_COMMAND_H_
