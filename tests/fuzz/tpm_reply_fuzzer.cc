#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "tpm/esys/esys_host_tpm.h"

// A hostile TPM at the TCTI seam: whatever it answers, nothing crashes, and
// nothing that it did not prove is believed. The input is the list of answers:
//   size (uint16) || form (1) || response code (1) || body
// form bit 0: the header is made right for the body, so that answers get past
// the first look; bit 1: with sessions; bits 2 and 3 pick the code's format.

namespace {

using vmattest::ByteReader;
using vmattest::Bytes;
using vmattest::ByteView;
using vmattest::ByteWriter;

constexpr uint32_t kHeader = 10;

class HostileTpm final : public vmattest::tpm::Tcti {
 public:
  explicit HostileTpm(ByteReader& script) : script_(script) {}
  absl::Status Transmit(ByteView) override { return absl::OkStatus(); }
  absl::StatusOr<Bytes> Receive() override {
    if (!script_.ok() || script_.remaining() < 4) {
      return absl::UnavailableError("the script ended");
    }
    const size_t size = script_.U16() % vmattest::tpm::kMaxTpmMessage;
    const uint8_t form = script_.U8();
    const uint8_t code = script_.U8();
    const ByteView body = script_.Raw(std::min(size, script_.remaining()));
    if ((form & 1) == 0) {
      return NotBusy(vmattest::ToBytes(body));
    }
    ByteWriter answer;
    answer.U16((form & 2) != 0 ? 0x8002 : 0x8001);
    answer.U32(static_cast<uint32_t>(kHeader + body.size()));
    answer.U32((form & 4) != 0 ? code | 0x900U : (form & 8) != 0 ? code : 0U);
    answer.Raw(body);
    Bytes frame = std::move(answer).Take();
    frame.resize(std::min(frame.size(), vmattest::tpm::kMaxTpmMessage));
    return NotBusy(std::move(frame));
  }

 private:
  // A busy TPM is waited for: true to life, and useless here.
  static Bytes NotBusy(Bytes frame) {
    if (frame.size() >= kHeader && frame[8] == 0x09) {
      frame[9] = 0x01;
    }
    return frame;
  }

  ByteReader& script_;
};

// Nobody without the salt's key gets so far that a call does anything.
void ExpectRefusesAll(vmattest::tpm::HostTpm& tpm) {
  const Bytes digest(32, 1);
  const auto config = vmattest::KeyPurpose::kConfig;
  if (tpm.Provision().ok() || tpm.GetIdentity().ok() || tpm.ReadClock().ok() ||
      tpm.MakeQuote(config, digest).ok() || tpm.ListKeys().ok() ||
      tpm.RotateKey(config).ok() || tpm.RetireKey(config, 1).ok() ||
      tpm.RevokeKey(config, 1).ok() || tpm.ReadLogRegisters().ok() ||
      tpm.ExtendLog(digest).ok() || tpm.WriteLogAnchor(1, digest).ok() ||
      tpm.CountBoot().ok() || tpm.CertifyLogAnchor(digest).ok() ||
      tpm.ReadSealRegisters().ok() || tpm.RevokeApprovals().ok()) {
    std::abort();
  }
}

// A host that was enrolled once: its TPM is to prove that it is the same one,
// or that it can take its place.
class EnrolledHost {
 public:
  EnrolledHost() {
    char folder[] = "/tmp/tpm_reply_fuzzer.XXXXXX";
    if (mkdtemp(folder) == nullptr) {
      std::abort();
    }
    folder_ = folder;
    vmattest::tpm::TpmPin pin;
    pin.ek_template = "L-2";
    pin.ek_name = Bytes(34, 1);
    pin.ak_name = Bytes(34, 2);
    if (!vmattest::tpm::StorePin(pin_file(), pin).ok()) {
      std::abort();
    }
  }
  EnrolledHost(const EnrolledHost&) = delete;
  EnrolledHost& operator=(const EnrolledHost&) = delete;
  ~EnrolledHost() { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path pin_file() const {
    return folder_ / "tpm.json";
  }
  [[nodiscard]] std::string id() const { return vmattest::ToHex(Bytes(32, 1)); }

 private:
  std::filesystem::path folder_;
};

vmattest::tpm::EsysHostTpmOptions OptionsWith(std::filesystem::path pin_file) {
  vmattest::tpm::EsysHostTpmOptions options;
  options.key_auth = vmattest::SecretBytes(Bytes(32, 1));
  options.pin_file = std::move(pin_file);
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const EnrolledHost enrolled;
  ByteReader script(ByteView(data, size));
  const auto opener = [&script] {
    return absl::StatusOr<std::unique_ptr<vmattest::tpm::Tcti>>(
        std::make_unique<HostileTpm>(script));
  };
  vmattest::tpm::EsysHostTpm fresh(OptionsWith("/nonexistent/tpm.json"),
                                   opener);
  for (int i = 0; i < 3; ++i) {
    ExpectRefusesAll(fresh);
  }
  script = ByteReader(ByteView(data, size));
  vmattest::tpm::EsysHostTpm known(OptionsWith(enrolled.pin_file()), opener);
  ExpectRefusesAll(known);
  if (known.ReEnroll(enrolled.id()).ok()) {
    std::abort();
  }
  return 0;
}
