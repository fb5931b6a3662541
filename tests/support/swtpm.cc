#include "support/swtpm.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <vector>

#include "crypto/digest.h"
#include "support/tpm_proxy.h"
#include "support/unix_socket.h"

namespace vmattest::testing {
namespace {

constexpr uint16_t kSha256Bank = 0x000B;
constexpr uint16_t kSha384Bank = 0x000C;
constexpr uint32_t kPcrExtend = 0x182;
constexpr uint32_t kGetCapability = 0x17A;
constexpr uint32_t kRetry = 0x922;  // the TPM notes dictionary attacks
constexpr size_t kHeaderSize = 10;

Bytes Frame(uint32_t code, bool with_session, ByteView body) {
  ByteWriter command;
  command.U16(with_session ? 0x8002 : 0x8001);
  command.U32(static_cast<uint32_t>(kHeaderSize + body.size())).U32(code);
  command.Raw(body);
  return std::move(command).Take();
}

uint32_t ResponseCode(ByteView answer) {
  ByteReader reader(answer);
  reader.Raw(6);
  return reader.U32();
}

// An authorisation area of one TPM_RS_PW.
Bytes PasswordSession(std::string_view password) {
  ByteWriter area;
  area.U32(static_cast<uint32_t>(9 + password.size()));
  area.U32(0x40000009).U16(0).U8(0);
  area.U16(static_cast<uint16_t>(password.size())).Raw(password);
  return std::move(area).Take();
}

void Exec(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  execvp(argv.front(), argv.data());
  _exit(127);
}

void RunToEnd(const std::vector<std::string>& arguments) {
  const pid_t pid = fork();
  if (pid == 0) {
    Exec(arguments);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
    throw std::runtime_error(arguments.front() + " failed");
  }
}

void SetUpWithCertificate(TempDir& dir) {
  const std::string root = dir.path().string();
  const auto write = [&](const std::string& name, const std::string& text) {
    return dir.Write(name, text).string();
  };
  std::filesystem::create_directory(root + "/ca");
  const std::string options = write("ca.options", "");
  const std::string ca =
      write("ca.conf", fmt::format("statedir = {0}/ca\nsigningkey = "
                                   "{0}/ca/signkey.pem\nissuercert = "
                                   "{0}/ca/issuercert.pem\ncertserial = "
                                   "{0}/ca/certserial\n",
                                   root));
  const std::string setup = write(
      "setup.conf", fmt::format("create_certs_tool = /usr/bin/swtpm_localca\n"
                                "create_certs_tool_config = {}\n"
                                "create_certs_tool_options = {}\n"
                                "active_pcr_banks = sha256,sha384\n",
                                ca, options));
  RunToEnd({"swtpm_setup", "--tpm2", "--config", setup, "--tpmstate",
            root + "/state", "--create-ek-cert", "--ecc", "--overwrite",
            "--logfile", root + "/setup.log"});
}

}  // namespace

Bytes TransactTpm(const std::filesystem::path& socket, ByteView command) {
  const UniqueFd fd = ConnectUnix(socket);
  if (!fd.valid() || !WriteAll(fd.get(), command)) {
    throw std::runtime_error("no TPM at " + socket.string());
  }
  Bytes answer = ReadTpmFrame(fd.get());
  if (answer.empty()) {
    throw std::runtime_error("no answer from " + socket.string());
  }
  return answer;
}

Swtpm::Swtpm(Setup setup) : socket_(dir_.path() / "tpm") {
  std::filesystem::create_directory(dir_.path() / "state");
  if (setup == Setup::kEkCertificate) {
    SetUpWithCertificate(dir_);
  }
  Start();
}

Swtpm::~Swtpm() { Kill(); }

std::string Swtpm::tcti() const { return "swtpm:path=" + socket_.string(); }

void Swtpm::Kill() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  std::filesystem::remove(socket_);
  std::filesystem::remove(socket_.string() + ".ctrl");
}

void Swtpm::Launch() {
  // Bound here, so that whoever connects from now on finds a listener.
  const UniqueFd data = ListenUnix(socket_);
  const UniqueFd control = ListenUnix(socket_.string() + ".ctrl");
  const std::vector<std::string> arguments = {
      "swtpm",
      "socket",
      "--tpm2",
      "--tpmstate",
      fmt::format("dir={}/state", dir_.path().string()),
      "--server",
      fmt::format("type=unixio,fd={}", data.get()),
      "--ctrl",
      fmt::format("type=unixio,fd={}", control.get()),
      "--log",
      fmt::format("file={}/swtpm.log", dir_.path().string()),
      "--flags",
      "not-need-init,startup-clear"};
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(data.get(), F_SETFD, 0);
    fcntl(control.get(), F_SETFD, 0);
    Exec(arguments);
  }
}

void Swtpm::Start(bool measure) {
  Launch();
  if (!measure) {
    return;
  }
  const Bytes separator(4, 0);
  for (uint32_t pcr = 0; pcr < 8; ++pcr) {
    ExtendBank(pcr, kSha256Bank, Hash(HashAlgorithm::kSha256, separator));
    ExtendBank(pcr, kSha384Bank, Hash(HashAlgorithm::kSha384, separator));
  }
}

void Swtpm::ReplaceWithFreshOne() {
  Kill();
  std::filesystem::remove_all(dir_.path() / "state");
  std::filesystem::create_directory(dir_.path() / "state");
  Start();
}

void Swtpm::ExtendPcr(uint32_t index, ByteView digest) {
  ExtendBank(index, kSha256Bank, digest);
}

void Swtpm::ExtendBank(uint32_t index, uint16_t bank, ByteView digest) {
  ByteWriter body;
  body.U32(index).Raw(PasswordSession("")).U32(1).U16(bank).Raw(digest);
  Command(kPcrExtend, true, std::move(body).Take());
}

Bytes Swtpm::Command(uint32_t code, bool with_session,
                     const Bytes& body) const {
  Bytes answer = TransactTpm(socket_, Frame(code, with_session, body));
  if (const uint32_t result = ResponseCode(answer); result != 0) {
    throw std::runtime_error(fmt::format("command {:#x}: {:#x}", code, result));
  }
  return answer;
}

std::vector<uint32_t> Swtpm::Handles(uint32_t first) const {
  ByteWriter body;
  body.U32(1).U32(first).U32(64);  // TPM_CAP_HANDLES
  const Bytes answer = Command(kGetCapability, false, std::move(body).Take());
  ByteReader reader(answer);
  reader.Raw(kHeaderSize + 1 + 4);
  std::vector<uint32_t> handles;
  for (uint32_t left = reader.U32(); left > 0 && reader.ok(); --left) {
    const uint32_t handle = reader.U32();
    if (handle >> 24 == first >> 24) {
      handles.push_back(handle);
    }
  }
  return handles;
}

uint32_t Swtpm::LeaveObject() {
  ByteWriter body;
  body.U32(0x40000001).Raw(PasswordSession(""));  // TPM_RH_OWNER
  body.U16(9).U16(5).Raw("right").U16(0);         // TPM2B_SENSITIVE_CREATE
  ByteWriter area;  // TPMT_PUBLIC: restricted ECDSA P-256
  area.U16(0x0023).U16(0x000B).U32(0x00050072).U16(0).U16(0x0010);
  area.U16(0x0018).U16(0x000B).U16(0x0003).U16(0x0010).U16(0).U16(0);
  body.U16(static_cast<uint16_t>(area.bytes().size())).Raw(area.bytes());
  body.U16(0).U32(0);  // no outside information, no creation PCRs
  const Bytes answer =
      Command(kTpmCcCreatePrimary, true, std::move(body).Take());
  ByteReader reader(answer);
  reader.Raw(kHeaderSize);
  return reader.U32();
}

uint32_t Swtpm::LeaveSession() {
  ByteWriter body;
  body.U32(0x40000007).U32(0x40000007);  // no salt key, not bound
  body.U16(16).Raw(Bytes(16, 0x11)).U16(0).U8(0).U16(0x0010).U16(0x000B);
  const Bytes answer =
      Command(kTpmCcStartAuthSession, false, std::move(body).Take());
  ByteReader reader(answer);
  reader.Raw(kHeaderSize);
  return reader.U32();
}

void Swtpm::Persist(uint32_t object, uint32_t handle) {
  ByteWriter body;
  body.U32(0x40000001).U32(object).Raw(PasswordSession("")).U32(handle);
  Command(kTpmCcEvictControl, true, std::move(body).Take());
}

uint32_t Swtpm::TryQuote(uint32_t key, std::string_view password) {
  ByteWriter body;
  body.U32(key).Raw(PasswordSession(password)).U16(0).U16(0x0010);
  body.U32(1).U16(kSha256Bank).U8(3).U8(1).U8(0).U8(0);
  uint32_t code = 0;
  do {
    code = ResponseCode(
        TransactTpm(socket_, Frame(kTpmCcQuote, true, body.bytes())));
  } while (code == kRetry);
  return code;
}

}  // namespace vmattest::testing
