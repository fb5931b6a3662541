#include <algorithm>
#include <cstdlib>

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader script(ByteView(data, size));
  vmattest::tpm::EsysHostTpmOptions options;
  options.key_auth = vmattest::SecretBytes(Bytes(32, 1));
  // Never written: nobody without the salt's key gets that far.
  options.pin_file = "/nonexistent/tpm.json";
  vmattest::tpm::EsysHostTpm tpm(std::move(options), [&script] {
    return absl::StatusOr<std::unique_ptr<vmattest::tpm::Tcti>>(
        std::make_unique<HostileTpm>(script));
  });
  for (int i = 0; i < 3; ++i) {
    if (tpm.Provision().ok() || tpm.GetIdentity().ok() ||
        tpm.ReadClock().ok()) {
      std::abort();
    }
  }
  return 0;
}
