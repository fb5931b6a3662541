#include "support/tpm_proxy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "support/unix_socket.h"

namespace vmattest::testing {

TpmProxy::TpmProxy(std::filesystem::path tpm_socket)
    : tpm_socket_(std::move(tpm_socket)),
      socket_(dir_.path() / "tpm"),
      listener_(ListenUnix(socket_)) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipe");
  }
  stop_read_ = UniqueFd(ends[0]);
  stop_write_ = UniqueFd(ends[1]);
  thread_ = std::thread([this] { Run(); });
}

TpmProxy::~TpmProxy() {
  stop_write_.Reset();
  thread_.join();
}

std::string TpmProxy::tcti() const { return "swtpm:path=" + socket_.string(); }

Bytes TpmProxy::Recorded() const {
  const MutexLock lock(mutex_);
  return recorded_;
}

int TpmProxy::Count(uint32_t command_code) const {
  const MutexLock lock(mutex_);
  const auto found = counts_.find(command_code);
  return found == counts_.end() ? 0 : found->second;
}

void TpmProxy::AlterCommand(uint32_t command_code, Meddler meddler) {
  const MutexLock lock(mutex_);
  rules_[command_code].command = std::move(meddler);
}

void TpmProxy::AlterAnswer(uint32_t command_code, Meddler meddler) {
  const MutexLock lock(mutex_);
  rules_[command_code].answer = std::move(meddler);
}

void TpmProxy::AnswerInstead(uint32_t command_code, Impostor impostor) {
  const MutexLock lock(mutex_);
  rules_[command_code].impostor = std::move(impostor);
}

void TpmProxy::DelayAnswer(uint32_t command_code,
                           std::chrono::milliseconds delay) {
  const MutexLock lock(mutex_);
  rules_[command_code].delay = delay;
}

void TpmProxy::WithholdAnswer(uint32_t command_code, size_t bytes_to_send) {
  const MutexLock lock(mutex_);
  rules_[command_code].withhold = true;
  rules_[command_code].bytes_to_send = bytes_to_send;
}

void TpmProxy::Behave() {
  const MutexLock lock(mutex_);
  rules_.clear();
}

void TpmProxy::Record(ByteView bytes) {
  const MutexLock lock(mutex_);
  recorded_.insert(recorded_.end(), bytes.begin(), bytes.end());
}

void TpmProxy::Run() {
  std::vector<UniqueFd> clients;
  while (true) {
    std::vector<pollfd> polled = {{stop_read_.get(), POLLIN, 0},
                                  {listener_.get(), POLLIN, 0}};
    for (const UniqueFd& client : clients) {
      polled.push_back({client.get(), POLLIN, 0});
    }
    poll(polled.data(), polled.size(), -1);
    if (polled[0].revents != 0) {
      return;
    }
    for (size_t i = polled.size(); i-- > 2;) {
      if (polled[i].revents != 0 && !Serve(clients[i - 2].get())) {
        clients.erase(clients.begin() + static_cast<ptrdiff_t>(i) - 2);
      }
    }
    if (polled[1].revents != 0) {
      clients.emplace_back(
          accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
  }
}

bool TpmProxy::Serve(int client) {
  Bytes command = ReadTpmFrame(client);
  if (command.empty()) {
    return false;
  }
  Record(command);
  ByteReader reader(command);
  reader.Raw(6);
  const uint32_t code = reader.U32();
  Rule rule;
  {
    const MutexLock lock(mutex_);
    ++counts_[code];
    const auto found = rules_.find(code);
    rule = found == rules_.end() ? Rule() : found->second;
  }
  if (rule.command) {
    rule.command(command);
  }
  Bytes answer;
  if (rule.impostor) {
    answer = rule.impostor(command);
  } else {
    const UniqueFd tpm = ConnectUnix(tpm_socket_);
    if (!tpm.valid() || !WriteAll(tpm.get(), command)) {
      return false;
    }
    answer = ReadTpmFrame(tpm.get());
  }
  Record(answer);
  if (rule.answer) {
    rule.answer(answer);
  }
  if (rule.delay.count() > 0) {
    pollfd stop = {stop_read_.get(), POLLIN, 0};
    poll(&stop, 1, static_cast<int>(rule.delay.count()));
  }
  if (rule.withhold) {
    answer.resize(std::min(answer.size(), rule.bytes_to_send));
  }
  return !answer.empty() ? WriteAll(client, answer) : rule.withhold;
}

}  // namespace vmattest::testing
