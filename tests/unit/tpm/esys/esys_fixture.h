#ifndef VMATTEST_TESTS_UNIT_TPM_ESYS_ESYS_FIXTURE_H_
#define VMATTEST_TESTS_UNIT_TPM_ESYS_ESYS_FIXTURE_H_

#include <cstdlib>
#include <fstream>
#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "tpm/esys/esys_host_tpm.h"

namespace vmattest::tpm {

inline constexpr uint32_t kTransient = 0x80000000;
inline constexpr uint32_t kPersistent = 0x81000000;
inline constexpr uint32_t kLoadedSession = 0x02000000;
inline constexpr uint32_t kBase = 0x81010100;
inline constexpr uint32_t kLogIndex = 0x01810130;
inline constexpr uint32_t kBootCounter = 0x01810131;

// TPM_RC_INITIALIZE: what a TPM answers after a power cycle.
inline Bytes NotStarted() { return {0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0}; }

// An adapter on a real TPM 2.0 of its own.
class EsysFixture : public ::testing::Test {
 protected:
  EsysHostTpmOptions Options() const {
    EsysHostTpmOptions options;
    options.tcti = swtpm_.tcti();
    options.key_auth = SecretBytes(Bytes(32, 0x5A));
    options.pin_file = pin_file();
    options.hostname = "host-1";
    return options;
  }
  std::filesystem::path pin_file() const { return dir_.path() / "tpm.json"; }
  absl::StatusOr<Quote> QuoteOn(HostTpm& tpm) const {
    return tpm.MakeQuote(KeyPurpose::kConfig, data_);
  }
  static int TryRun(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str());
  }
  static void Run(const std::string& command) {
    ASSERT_EQ(TryRun(command), 0) << command;
  }
  // A tool of tpm2-tools, as somebody with the owner's authorisation.
  void RunTool(const std::string& tool, const std::string& arguments) const {
    Run(fmt::format("{} -T {} {}", tool, swtpm_.tcti(), arguments));
  }
  void Evict(uint32_t handle) const {
    RunTool("tpm2_evictcontrol", fmt::format("-c {:#x}", handle));
  }
  std::string ReadPin() const {
    std::ifstream in(pin_file());
    return {std::istreambuf_iterator<char>(in), {}};
  }
  TpmPin LoadedPin() const {
    const auto pin = LoadPin(pin_file());
    EXPECT_THAT(pin, testing::IsOk());
    return pin.ok() && pin->has_value() ? **pin : TpmPin();
  }

  const Bytes data_ = Bytes(32, 0xA5);
  testing::TempDir dir_;
  testing::Swtpm swtpm_;
};

}  // namespace vmattest::tpm

#endif  // VMATTEST_TESTS_UNIT_TPM_ESYS_ESYS_FIXTURE_H_
