#ifndef VMATTEST_TESTS_SUPPORT_VERIFIER_PROCESS_H_
#define VMATTEST_TESTS_SUPPORT_VERIFIER_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/daemon_process.h"
#include "support/temp_dir.h"
#include "support/test_pki.h"

namespace vmattest::testing {

// A real vmattest-verifierd in a folder of its own, which takes one host, of
// the certificate kHostUri, and has one approver, alice. One thread.
class VerifierProcess {
 public:
  static constexpr char kHostUri[] = "spiffe://t/host-1";

  // `ek_roots`: Swtpm::ca_folder(). Starts it.
  VerifierProcess(TestPki& pki, const std::filesystem::path& ek_roots);
  VerifierProcess(const VerifierProcess&) = delete;
  VerifierProcess& operator=(const VerifierProcess&) = delete;
  ~VerifierProcess() { Kill(); }

  // A file beside its configuration, from the next start on.
  void Configure(const std::string& name, const std::string& yaml) {
    dir_.Write("verifierd.conf.d/" + name, yaml);
  }
  // Waits until it answers.
  void Start();
  void Kill();  // SIGKILL
  void Signal(int signal) const;
  void Hangup() const;
  // `vmattest WORDS` as its operator.
  [[nodiscard]] Ran Vmattest(std::vector<std::string> words) const;
  // Signs YAML as alice, and puts it. Fails the test unless it is taken.
  void PutReference(const std::string& yaml);

  // vmattestd's `verifier:` with the certificate of the host.
  [[nodiscard]] std::string ClientYaml(TestPki& pki) const;
  [[nodiscard]] std::string address() const;
  // Alice's private key; alice.pub is in approvers().
  [[nodiscard]] std::filesystem::path approver() const {
    return dir_.path() / "alice";
  }
  [[nodiscard]] std::filesystem::path approvers() const {
    return dir_.path() / "approvers";
  }
  [[nodiscard]] std::filesystem::path state() const {
    return dir_.path() / "state";
  }
  [[nodiscard]] std::filesystem::path result_keys() const {
    return state() / "result-keys.json";
  }
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::filesystem::path config() const { return config_; }
  static std::string Program();

 private:
  TempDir dir_;
  const CertificateFiles server_;
  const uint16_t port_;
  std::filesystem::path config_;
  pid_t pid_ = -1;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_VERIFIER_PROCESS_H_
