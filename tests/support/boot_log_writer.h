#ifndef VMATTEST_TESTS_SUPPORT_BOOT_LOG_WRITER_H_
#define VMATTEST_TESTS_SUPPORT_BOOT_LOG_WRITER_H_

#include <cstdint>
#include <map>
#include <string_view>

#include "base/bytes.h"
#include "crypto/tpm_digest.h"

namespace vmattest::testing {

// Writes a measured-boot log as firmware does, crypto-agile with one bank, and
// keeps the PCRs that it extends.
class BootLogWriter {
 public:
  static constexpr uint32_t kSeparator = 4;
  static constexpr uint32_t kNoAction = 3;
  static constexpr uint32_t kPostCode = 1;

  explicit BootLogWriter(uint16_t bank = kTpmAlgIdSha256) : bank_(bank) {}

  BootLogWriter& U16(uint16_t value) { return Number(value, 2); }
  BootLogWriter& U32(uint32_t value) { return Number(value, 4); }
  BootLogWriter& Raw(ByteView bytes) {
    log_.insert(log_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  BootLogWriter& Raw(std::string_view text) { return Raw(AsBytes(text)); }

  // Spec ID Event03.
  BootLogWriter& Header() {
    constexpr uint32_t kSize = 33;
    return U32(0)
        .U32(kNoAction)
        .Raw(Bytes(20, 0))
        .U32(kSize)
        .Raw(std::string_view("Spec ID Event03\0", 16))
        .U32(0)
        .U32(0x02000200)
        .U32(1)
        .U16(bank_)
        .U16(static_cast<uint16_t>(TpmDigestSize(bank_)))
        .Raw(Bytes(1, 0));
  }
  BootLogWriter& Event(uint32_t pcr, uint32_t type, ByteView digest,
                       std::string_view data = "") {
    if (type != kNoAction) {
      Bytes& value = pcrs_.try_emplace(pcr, TpmDigestSize(bank_), uint8_t{0})
                         .first->second;
      value = TpmHash(bank_, {value, digest});
    }
    return U32(pcr)
        .U32(type)
        .U32(1)
        .U16(bank_)
        .Raw(digest)
        .U32(static_cast<uint32_t>(data.size()))
        .Raw(data);
  }
  BootLogWriter& Measure(uint32_t pcr, std::string_view data) {
    return Event(pcr, kPostCode, TpmHash(bank_, {AsBytes(data)}), data);
  }
  BootLogWriter& Separator(uint32_t pcr) {
    constexpr std::string_view kContent("\0\0\0\0", 4);
    return Event(pcr, kSeparator, TpmHash(bank_, {AsBytes(kContent)}),
                 kContent);
  }

  [[nodiscard]] const Bytes& log() const { return log_; }
  [[nodiscard]] const std::map<uint32_t, Bytes>& pcrs() const { return pcrs_; }

  // What a sound firmware leaves: something measured and a separator in each
  // of PCR 0 to 7.
  static BootLogWriter Sound(uint16_t bank = kTpmAlgIdSha256) {
    BootLogWriter writer(bank);
    writer.Header();
    for (uint32_t pcr = 0; pcr < 8; ++pcr) {
      writer.Measure(pcr, "firmware").Separator(pcr);
    }
    return writer;
  }

 private:
  BootLogWriter& Number(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) {
      log_.push_back(static_cast<uint8_t>(value >> (8 * i)));
    }
    return *this;
  }

  uint16_t bank_;
  Bytes log_;
  std::map<uint32_t, Bytes> pcrs_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_BOOT_LOG_WRITER_H_
