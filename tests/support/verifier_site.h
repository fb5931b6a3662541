#ifndef VMATTEST_TESTS_SUPPORT_VERIFIER_SITE_H_
#define VMATTEST_TESTS_SUPPORT_VERIFIER_SITE_H_

#include <csignal>
#include <functional>
#include <memory>
#include <string>

#include "support/daemon_process.h"
#include "support/swtpm.h"
#include "support/test_pki.h"
#include "support/verifier_process.h"

namespace vmattest::testing {

// A verifier, and a host whose TPM has a certificate that it believes: what
// every test of the two together begins with. One thread.
struct VerifierSite {
  // vmattestd, which enrols; `more` is YAML.
  void StartHost(const std::string& libvirt_uri, const std::string& more) {
    daemon = std::make_unique<DaemonProcess>(
        DaemonProcess::Options{.libvirt_uri = libvirt_uri,
                               .tcti = tpm.tcti(),
                               .more = verifier.ClientYaml(pki) + more});
  }
  // Has the daemon look at once: it does on SIGHUP, else every ten seconds.
  [[nodiscard]] bool AwaitTold(const std::function<bool()>& seen) const {
    return Eventually([this, &seen] {
      daemon->Signal(SIGHUP);
      return seen();
    });
  }
  [[nodiscard]] bool AwaitEnrolled() const {
    return AwaitTold([this] {
      return verifier.Vmattest({"hosts", "list"}).out.find("enrolled") !=
             std::string::npos;
    });
  }
  [[nodiscard]] std::string Logs() const {
    return verifier.log() + daemon->log();
  }

  TestPki pki;
  Swtpm tpm{Swtpm::Setup::kEkCertificate};
  VerifierProcess verifier{pki, tpm.ca_folder()};
  std::unique_ptr<DaemonProcess> daemon;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_VERIFIER_SITE_H_
