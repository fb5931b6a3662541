#include "daemon/program.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "base/log.h"
#include "config/daemon_config.h"
#include "daemon/daemon.h"
#include "daemon/process.h"
#include "fmt/format.h"
#include "ops/service_manager.h"
#include "ops/watchdog.h"

namespace vmattest::daemon {
namespace {

constexpr int kGood = 0;
constexpr int kBadConfig = 2;
constexpr int kCannotStart = 3;
constexpr int kTicksPerPeriod = 8;
constexpr std::chrono::seconds kStatusPeriod{10};

int Complain(const absl::Status& status, int code) {
  fmt::print(stderr, "vmattestd: {}\n", std::string(status.message()));
  return code;
}

int CheckConfig(const std::filesystem::path& file) {
  const auto effective =
      config::EffectiveConfig(file, config::ProcessEnvironment());
  if (!effective.ok()) {
    return Complain(effective.status(), kBadConfig);
  }
  fmt::print("{}", *effective);
  return kGood;
}

// Certificates are watched by the listener itself; the log level is read
// again. Everything else needs a restart.
void Reload(const std::filesystem::path& file,
            const ops::ServiceManager& manager, const Daemon& daemon) {
  manager.Reloading();
  const auto config =
      config::LoadDaemonConfig(file, config::ProcessEnvironment());
  if (config.ok()) {
    (void)log::Configure(config->log_level);
    log::Info("reloaded", {{"log_level", config->log_level}});
  } else {
    log::Error("not reloaded",
               {{"why", std::string(config.status().message())}});
  }
  manager.Ready(daemon.summary());
}

// Until SIGTERM or SIGINT.
void MainLoop(const std::filesystem::path& file, Signals& signals,
              const ops::ServiceManager& manager, Daemon& daemon) {
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
      Reload(file, manager, daemon);
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

int Serve(const std::filesystem::path& file) {
  const auto config =
      config::LoadDaemonConfig(file, config::ProcessEnvironment());
  if (!config.ok()) {
    return Complain(config.status(), kBadConfig);
  }
  (void)log::Configure(config->log_level);
  auto signals = Signals::Block();
  if (!signals.ok()) {
    return Complain(signals.status(), kCannotStart);
  }
  const ops::ServiceManager manager;
  auto daemon = Daemon::Start(*config);
  if (!daemon.ok()) {
    return Complain(daemon.status(), kCannotStart);
  }
  log::Info("started", {{"version", VMATTEST_VERSION},
                        {"socket", config->admin_socket.string()}});
  manager.Ready((*daemon)->summary());
  MainLoop(file, *signals, manager, **daemon);
  manager.Stopping();
  daemon->reset();
  log::Info("stopped");
  return kGood;
}

}  // namespace

int RunProgram(int argc, char** argv) {
  PrepareProcess();
  CLI::App app("vmattestd: attestation daemon for KVM hosts", "vmattestd");
  std::string file = "/etc/vmattest/vmattestd.yaml";
  bool check = false;
  app.add_option("--config", file, "configuration file; conf.d lies beside it")
      ->capture_default_str();
  app.add_flag("--check-config", check,
               "print the effective configuration, or what is wrong with it");
  app.set_version_flag("--version", "vmattestd " VMATTEST_VERSION);
  try {
    app.parse(argc, argv);
    return check ? CheckConfig(file) : Serve(file);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kGood : kBadConfig;
  } catch (const std::exception& error) {
    return Complain(absl::InternalError(error.what()), kCannotStart);
  }
}

}  // namespace vmattest::daemon
