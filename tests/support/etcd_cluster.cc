#include "support/etcd_cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "support/run_command.h"
#include "support/test_node.h"
#include "support/vectors.h"

namespace vmattest::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kStartLimit{60};
constexpr std::chrono::milliseconds kPollPause{50};

[[noreturn]] void Become(const std::vector<std::string>& words,
                         const std::string& log) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<char*> arguments;
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
  dup2(file, STDOUT_FILENO);
  dup2(file, STDERR_FILENO);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

void Copy(const fs::path& from, const fs::path& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

}  // namespace

EtcdCluster::EtcdCluster(const Options& options)
    : options_(options),
      data_(options.data.empty() ? dir_.path() / "data" : options.data),
      server_(pki_.Issue("node", {"DNS:localhost", "IP:127.0.0.1"})),
      root_(pki_.Issue("root", {})) {
  fs::create_directories(data_);
  for (size_t i = 0; i < options.nodes; ++i) {
    nodes_.push_back({.client_port = UnusedPort(), .peer_port = UnusedPort()});
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Start(i);
  }
  AwaitHealthy();
  EnableUsers();
}

EtcdCluster::~EtcdCluster() {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Kill(i);
  }
}

fs::path EtcdCluster::DataOf(size_t node) const {
  return data_ / fmt::format("n{}", node);
}

std::string EtcdCluster::endpoint(size_t node) const {
  return fmt::format("127.0.0.1:{}", nodes_[node].client_port);
}

void EtcdCluster::Start(size_t node) {
  std::string cluster;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    cluster += fmt::format("{}n{}=https://127.0.0.1:{}", i == 0 ? "" : ",", i,
                           nodes_[i].peer_port);
  }
  Node& own = nodes_[node];
  const std::string client =
      fmt::format("https://127.0.0.1:{}", own.client_port);
  const std::string peer = fmt::format("https://127.0.0.1:{}", own.peer_port);
  const std::string ca = pki_.ca();
  const std::string certificate = server_.certificate;
  const std::string key = server_.private_key;
  std::vector<std::string> words = {"etcd",
                                    "--name",
                                    fmt::format("n{}", node),
                                    "--data-dir",
                                    DataOf(node),
                                    "--listen-client-urls",
                                    client,
                                    "--advertise-client-urls",
                                    client,
                                    "--listen-peer-urls",
                                    peer,
                                    "--initial-advertise-peer-urls",
                                    peer,
                                    "--initial-cluster",
                                    cluster,
                                    "--initial-cluster-state",
                                    own.began ? "existing" : "new",
                                    "--client-cert-auth",
                                    "--trusted-ca-file",
                                    ca,
                                    "--cert-file",
                                    certificate,
                                    "--key-file",
                                    key,
                                    "--peer-client-cert-auth",
                                    "--peer-trusted-ca-file",
                                    ca,
                                    "--peer-cert-file",
                                    certificate,
                                    "--peer-key-file",
                                    key,
                                    "--enable-v2=false",
                                    "--logger=zap"};
  words.insert(words.end(), options_.arguments.begin(),
               options_.arguments.end());
  const std::string log = dir_.path() / fmt::format("log{}", node);
  own.pid = fork();
  if (own.pid == 0) {
    Become(words, log);
  }
  own.began = true;
}

void EtcdCluster::Kill(size_t node) {
  if (pid_t& pid = nodes_[node].pid; pid > 0) {
    kill(pid, SIGKILL);
    waitpid(std::exchange(pid, -1), nullptr, 0);
  }
}

void EtcdCluster::Pause(size_t node) { kill(nodes_[node].pid, SIGSTOP); }

void EtcdCluster::Continue(size_t node) { kill(nodes_[node].pid, SIGCONT); }

std::string EtcdCluster::Etcdctl(const std::vector<std::string>& words) const {
  std::string endpoints;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    endpoints += (i == 0 ? "" : ",") + endpoint(i);
  }
  std::vector<std::string> all = {
      "env",         "ETCDCTL_API=3",  "etcdctl",
      "--endpoints", endpoints,        "--cacert",
      pki_.ca(),     "--cert",         root_.certificate,
      "--key",       root_.private_key};
  all.insert(all.end(), words.begin(), words.end());
  const absl::StatusOr<std::string> output = RunCommand(all);
  if (!output.ok()) {
    throw std::runtime_error(output.status().ToString());
  }
  return *output;
}

void EtcdCluster::AwaitHealthy() {
  const auto until = std::chrono::steady_clock::now() + kStartLimit;
  while (true) {
    try {
      Etcdctl({"--command-timeout=5s", "endpoint", "health"});
      return;
    } catch (const std::runtime_error& error) {
      if (std::chrono::steady_clock::now() > until) {
        throw std::runtime_error(error.what() + log(0));
      }
    }
    std::this_thread::sleep_for(kPollPause);
  }
}

void EtcdCluster::EnableUsers() {
  const std::vector<std::vector<std::string>> steps = {
      {"user", "add", "root", "--no-password"},
      {"user", "grant-role", "root", "root"},
      {"role", "add", "ledger"},
      {"role", "grant-permission", "ledger", "readwrite", "/vmattest/",
       "--prefix"},
      {"user", "add", "ledger", "--no-password"},
      {"user", "grant-role", "ledger", "ledger"},
      {"role", "add", "reader"},
      {"role", "grant-permission", "reader", "read", "/vmattest/", "--prefix"},
      {"user", "add", "reader", "--no-password"},
      {"user", "grant-role", "reader", "reader"},
      {"auth", "enable"}};
  Etcdctl({"role", "add", "root"});
  for (const std::vector<std::string>& step : steps) {
    Etcdctl(step);
  }
}

size_t EtcdCluster::Leader() const {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].pid <= 0) {
      continue;
    }
    // "endpoint, id, version, size, leader, ..."
    const std::string line = Etcdctl(
        {"--endpoints", endpoint(i), "endpoint", "status", "-w", "simple"});
    if (line.find(", true, false,") != std::string::npos) {
      return i;
    }
  }
  throw std::runtime_error("nobody leads");
}

void EtcdCluster::ExpireLeases() {
  std::istringstream list(Etcdctl({"lease", "list"}));
  for (std::string line; std::getline(list, line);) {
    if (line.find(' ') == std::string::npos && !line.empty()) {
      Etcdctl({"lease", "revoke", line});
    }
  }
}

void EtcdCluster::SaveData() { Copy(data_, dir_.path() / "saved"); }

void EtcdCluster::RollBackData() { Copy(dir_.path() / "saved", data_); }

CertificateFiles EtcdCluster::Certificate(const std::string& user) {
  return pki_.Issue(user, {});
}

etcd::GrpcKeyValues::Options EtcdCluster::Client(const std::string& user) {
  const CertificateFiles files = Certificate(user);
  etcd::GrpcKeyValues::Options options;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    options.endpoints.push_back(endpoint(i));
  }
  options.certificate = files.certificate;
  options.private_key = files.private_key;
  options.ca = pki_.ca();
  options.allow_unsafe_version = true;
  return options;
}

std::string EtcdCluster::log(size_t node) const {
  return Slurp(dir_.path() / fmt::format("log{}", node));
}

}  // namespace vmattest::testing
