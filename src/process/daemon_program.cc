#include "process/daemon_program.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <utility>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "base/log.h"
#include "fmt/format.h"
#include "ops/service_manager.h"
#include "process/process.h"

namespace vmattest::process {
namespace {

namespace fs = std::filesystem;

constexpr int kGood = 0;
constexpr int kBadConfig = 2;
constexpr int kCannotStart = 3;
constexpr int kTicksPerPeriod = 8;
constexpr std::chrono::seconds kStatusPeriod{10};

int Complain(const DaemonProgram& program, const absl::Status& status,
             int code) {
  fmt::print(stderr, "{}: {}\n", program.name, std::string(status.message()));
  return code;
}

int CheckConfig(const DaemonProgram& program, const fs::path& file) {
  const auto effective = program.check(file);
  if (!effective.ok()) {
    return Complain(program, effective.status(), kBadConfig);
  }
  fmt::print("{}", *effective);
  return kGood;
}

int RunTask(const DaemonProgram& program, const DaemonProgram::Task& task,
            const fs::path& file) {
  const absl::Status done = task.run(file);
  return done.ok() ? kGood : Complain(program, done, kCannotStart);
}

void Reload(const DaemonProgram& program, const fs::path& file,
            const ops::ServiceManager& manager, const RunningDaemon& daemon) {
  manager.Reloading();
  const auto loaded = program.load(file);
  if (loaded.ok()) {
    (void)log::Configure(loaded->log_level);
    log::Info("reloaded", {{"log_level", loaded->log_level}});
  } else {
    log::Error("not reloaded",
               {{"why", std::string(loaded.status().message())}});
  }
  manager.Ready(daemon.summary());
}

// Until SIGTERM or SIGINT.
void MainLoop(const DaemonProgram& program, const fs::path& file,
              Signals& signals, const ops::ServiceManager& manager,
              RunningDaemon& daemon) {
  ops::Watchdog watchdog(manager, daemon.subjects());
  std::chrono::milliseconds tick = kStatusPeriod;
  if (const auto period = manager.watchdog_period()) {
    tick = std::max(std::chrono::milliseconds(1),
                    std::chrono::duration_cast<std::chrono::milliseconds>(
                        *period / kTicksPerPeriod));
  }
  std::string summary;
  while (true) {
    const std::optional<int> signal = signals.Wait(tick);
    if (signal == SIGHUP) {
      Reload(program, file, manager, daemon);
    } else if (signal) {
      log::Info("stopping", {{"signal", std::to_string(*signal)}});
      return;
    }
    (void)watchdog.Tick();
    daemon.Tick();
    if (std::string now = daemon.summary(); now != summary) {
      summary = std::move(now);
      manager.Status(summary);
    }
  }
}

int Serve(const DaemonProgram& program, const fs::path& file) {
  const auto loaded = program.load(file);
  if (!loaded.ok()) {
    return Complain(program, loaded.status(), kBadConfig);
  }
  (void)log::Configure(loaded->log_level);
  auto signals = Signals::Block();
  if (!signals.ok()) {
    return Complain(program, signals.status(), kCannotStart);
  }
  const ops::ServiceManager manager;
  auto daemon = loaded->start();
  if (!daemon.ok()) {
    return Complain(program, daemon.status(), kCannotStart);
  }
  log::Info("started",
            {{"version", VMATTEST_VERSION}, {"socket", loaded->socket}});
  manager.Ready((*daemon)->summary());
  MainLoop(program, file, *signals, manager, **daemon);
  manager.Stopping();
  daemon->reset();
  log::Info("stopped");
  return kGood;
}

}  // namespace

int RunDaemonProgram(const DaemonProgram& program, int argc, char** argv) {
  PrepareProcess();
  CLI::App app(fmt::format("{}: {}", program.name, program.description),
               program.name);
  std::string file = program.config_file;
  bool check = false;
  app.add_option("--config", file,
                 "configuration file; its drop-ins lie beside it")
      ->capture_default_str();
  app.add_flag("--check-config", check,
               "print the effective configuration, or what is wrong with it");
  std::vector<const CLI::Option*> tasks;
  for (const DaemonProgram::Task& task : program.tasks) {
    tasks.push_back(app.add_flag(task.flag, task.help));
  }
  app.set_version_flag("--version", program.name + " " VMATTEST_VERSION);
  try {
    app.parse(argc, argv);
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (tasks[i]->count() > 0) {
        return RunTask(program, program.tasks[i], file);
      }
    }
    return check ? CheckConfig(program, file) : Serve(program, file);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kGood : kBadConfig;
  } catch (const std::exception& error) {
    return Complain(program, absl::InternalError(error.what()), kCannotStart);
  }
}

}  // namespace vmattest::process
