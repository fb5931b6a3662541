#include "eventlog/boot_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "crypto/tpm_digest.h"

namespace vmattest::eventlog {
namespace {

constexpr uint32_t kEventHcrtm = 0x80000010;
constexpr uint32_t kLastRegister = 31;
constexpr size_t kSha1Size = 20;
constexpr size_t kMaxBanks = 16;
constexpr size_t kMaxEvents = 1u << 16;
constexpr size_t kMaxDigestSize = 64;
constexpr std::string_view kSpecId("Spec ID Event03\0", 16);
constexpr std::string_view kStartupLocality("StartupLocality\0", 16);

// The log is little-endian, unlike all that a TPM makes.
class LittleEndianReader {
 public:
  explicit LittleEndianReader(ByteView bytes) : all_(bytes) {}

  uint8_t U8() { return static_cast<uint8_t>(Number(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Number(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Number(4)); }
  ByteView Raw(size_t size) {
    if (size > rest().size()) {
      ok_ = false;
    }
    if (!ok_) {
      return {};
    }
    const ByteView taken = all_.subspan(offset_, size);
    offset_ += size;
    return taken;
  }
  [[nodiscard]] ByteView rest() const { return all_.subspan(offset_); }
  [[nodiscard]] size_t offset() const { return offset_; }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  uint64_t Number(size_t size) {
    const ByteView bytes = Raw(size);
    uint64_t value = 0;
    for (size_t i = bytes.size(); i > 0; --i) {
      value = value << 8 | bytes[i - 1];
    }
    return value;
  }

  ByteView all_;
  size_t offset_ = 0;
  bool ok_ = true;
};

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(std::string(what));
}

bool StartsWith(ByteView bytes, std::string_view prefix) {
  return AsText(bytes).substr(0, prefix.size()) == prefix;
}

// Where the run of equal bytes 0xFF or 0x00 begins that ends the log.
size_t PaddingBegin(ByteView bytes) {
  const uint8_t last = bytes.back();
  if (last != 0xFF && last != 0x00) {
    return bytes.size();
  }
  const auto run = std::find_if(bytes.rbegin(), bytes.rend(),
                                [last](uint8_t byte) { return byte != last; });
  return static_cast<size_t>(bytes.rend() - run);
}

absl::StatusOr<ByteView> ReadData(LittleEndianReader& reader) {
  const uint32_t size = reader.U32();
  const ByteView data = reader.Raw(size);
  if (!reader.ok()) {
    return Malformed("the log ends inside of it");
  }
  return data;
}

// TCG_PCClientPCREvent.
absl::StatusOr<BootEvent> ReadSha1Event(LittleEndianReader& reader) {
  BootEvent event;
  event.offset = reader.offset();
  event.register_index = reader.U32();
  event.type = reader.U32();
  event.digests[kTpmAlgIdSha1] = ToBytes(reader.Raw(kSha1Size));
  ASSIGN_OR_RETURN(const ByteView data, ReadData(reader));
  event.data = ToBytes(data);
  return event;
}

struct Bank {
  uint16_t algorithm = 0;
  uint16_t size = 0;
};

// TCG_EfiSpecIdEvent.
absl::StatusOr<std::vector<Bank>> ParseSpecId(ByteView data) {
  LittleEndianReader reader(data);
  reader.Raw(kSpecId.size());
  reader.U32();  // platformClass
  reader.U32();  // versions, errata, size of UINTN
  const uint32_t count = reader.U32();
  if (!reader.ok() || count == 0 || count > kMaxBanks) {
    return Malformed(fmt::format("Spec ID event with {} banks", count));
  }
  std::vector<Bank> banks;
  for (uint32_t i = 0; i < count; ++i) {
    Bank bank;
    bank.algorithm = reader.U16();
    bank.size = reader.U16();
    const size_t known = TpmDigestSize(bank.algorithm);
    if (reader.ok() && (bank.size == 0 || bank.size > kMaxDigestSize ||
                        (known != 0 && known != bank.size))) {
      return Malformed(
          fmt::format("Spec ID event: digests of {:#06x} have {} bytes",
                      bank.algorithm, bank.size));
    }
    for (const Bank& other : banks) {
      if (other.algorithm == bank.algorithm) {
        return Malformed(
            fmt::format("Spec ID event: bank {:#06x} twice", bank.algorithm));
      }
    }
    banks.push_back(bank);
  }
  const uint8_t vendor_size = reader.U8();
  reader.Raw(vendor_size);
  if (!reader.ok() || !reader.rest().empty()) {
    return Malformed("Spec ID event: its size and its content do not agree");
  }
  return banks;
}

// TCG_PCR_EVENT2.
absl::StatusOr<BootEvent> ReadCryptoAgileEvent(LittleEndianReader& reader,
                                               const std::vector<Bank>& banks) {
  BootEvent event;
  event.offset = reader.offset();
  event.register_index = reader.U32();
  event.type = reader.U32();
  const uint32_t count = reader.U32();
  if (reader.ok() && count > banks.size()) {
    return Malformed(
        fmt::format("{} digests in a log of {} banks", count, banks.size()));
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint16_t algorithm = reader.U16();
    const auto bank = std::find_if(
        banks.begin(), banks.end(),
        [algorithm](const Bank& one) { return one.algorithm == algorithm; });
    if (reader.ok() && bank == banks.end()) {
      return Malformed(fmt::format(
          "a digest of {:#06x}, which the Spec ID event does not list",
          algorithm));
    }
    const ByteView digest = reader.Raw(reader.ok() ? bank->size : 0);
    if (!event.digests.emplace(algorithm, ToBytes(digest)).second &&
        reader.ok()) {
      return Malformed(fmt::format("two digests of {:#06x}", algorithm));
    }
  }
  ASSIGN_OR_RETURN(const ByteView data, ReadData(reader));
  event.data = ToBytes(data);
  return event;
}

// Where PCR 0 starts (section 10.4.5.3): from the locality of TPM2_Startup, or
// from 4 after an H-CRTM, whose event is then the first.
void NoteLocality(const BootEvent& event, bool* pcr0_extended, BootLog& log) {
  if (event.register_index != 0) {
    return;
  }
  if (event.type == kEventNoAction) {
    if (event.data.size() == kStartupLocality.size() + 1 &&
        StartsWith(event.data, kStartupLocality)) {
      log.startup_locality = event.data.back();
    }
    return;
  }
  if (event.type == kEventHcrtm && !*pcr0_extended) {
    log.startup_locality = 4;
  }
  *pcr0_extended = true;
}

absl::Status CheckEvent(const BootEvent& event) {
  if (event.type != kEventNoAction && event.register_index > kLastRegister) {
    return Malformed(fmt::format("extends register {}", event.register_index));
  }
  return absl::OkStatus();
}

std::string Where(const BootLog& log, size_t offset) {
  return fmt::format("boot log: event {} at offset {}", log.events.size(),
                     offset);
}

absl::Status ReadEvents(LittleEndianReader& reader, size_t padding,
                        const std::vector<Bank>& banks, BootLog& log) {
  bool pcr0_extended = false;
  for (const BootEvent& event : log.events) {
    NoteLocality(event, &pcr0_extended, log);
  }
  while (!reader.rest().empty()) {
    if (reader.offset() >= padding) {
      log.trailing_padding = reader.rest().size();
      return absl::OkStatus();
    }
    const std::string where = Where(log, reader.offset());
    if (log.events.size() == kMaxEvents) {
      return Malformed(where + ": there are too many");
    }
    ASSIGN_OR_RETURN_WITH(BootEvent event,
                          log.crypto_agile ? ReadCryptoAgileEvent(reader, banks)
                                           : ReadSha1Event(reader),
                          where);
    RETURN_IF_ERROR_WITH(CheckEvent(event), where);
    NoteLocality(event, &pcr0_extended, log);
    log.events.push_back(std::move(event));
  }
  return absl::OkStatus();
}

bool IsExtended(const BootEvent& event) { return event.type != kEventNoAction; }

}  // namespace

absl::StatusOr<BootLog> ParseBootLog(ByteView bytes) {
  if (bytes.empty() || bytes.size() > kMaxBootLog) {
    return Malformed(fmt::format("boot log: {} bytes", bytes.size()));
  }
  BootLog log;
  LittleEndianReader reader(bytes);
  const std::string where = Where(log, 0);
  ASSIGN_OR_RETURN_WITH(BootEvent first, ReadSha1Event(reader), where);
  std::vector<Bank> banks = {{kTpmAlgIdSha1, kSha1Size}};
  log.crypto_agile =
      first.type == kEventNoAction && StartsWith(first.data, kSpecId);
  if (log.crypto_agile) {
    ASSIGN_OR_RETURN_WITH(banks, ParseSpecId(first.data), where);
  } else {
    RETURN_IF_ERROR_WITH(CheckEvent(first), where);
    log.events.push_back(std::move(first));
  }
  for (const Bank& bank : banks) {
    log.banks.push_back(bank.algorithm);
  }
  RETURN_IF_ERROR(ReadEvents(reader, PaddingBegin(bytes), banks, log));
  return log;
}

absl::StatusOr<std::map<uint32_t, Bytes>> ReplayBootLog(const BootLog& log,
                                                        uint16_t bank) {
  const size_t size = TpmDigestSize(bank);
  if (size == 0 ||
      std::find(log.banks.begin(), log.banks.end(), bank) == log.banks.end()) {
    return absl::InvalidArgumentError(
        fmt::format("boot log: no bank {:#06x} to replay", bank));
  }
  std::map<uint32_t, Bytes> registers;
  for (const BootEvent& event : log.events) {
    const auto digest = event.digests.find(bank);
    if (!IsExtended(event) || digest == event.digests.end()) {
      continue;
    }
    const auto [value, added] =
        registers.try_emplace(event.register_index, size, uint8_t{0});
    if (added && event.register_index == 0) {
      value->second.back() = log.startup_locality;
    }
    value->second = TpmHash(bank, {value->second, digest->second});
  }
  return registers;
}

bool HasSeparator(const BootLog& log, uint16_t bank, uint32_t register_index) {
  if (TpmDigestSize(bank) == 0) {
    return false;
  }
  constexpr std::array<std::array<uint8_t, 4>, 3> kContents = {
      {{0, 0, 0, 0}, {0xFF, 0xFF, 0xFF, 0xFF}, {1, 0, 0, 0}}};
  std::vector<Bytes> separators;
  for (const auto& content : kContents) {
    separators.push_back(TpmHash(bank, {content}));
  }
  for (const BootEvent& event : log.events) {
    const auto digest = event.digests.find(bank);
    if (IsExtended(event) && event.register_index == register_index &&
        digest != event.digests.end() &&
        std::find(separators.begin(), separators.end(), digest->second) !=
            separators.end()) {
      return true;
    }
  }
  return false;
}

std::string BootEventTypeName(uint32_t type) {
  using Name = std::pair<uint32_t, const char*>;
  static constexpr std::array<Name, 32> kNames = {{
      {0x00000000, "EV_PREBOOT_CERT"},
      {0x00000001, "EV_POST_CODE"},
      {0x00000003, "EV_NO_ACTION"},
      {0x00000004, "EV_SEPARATOR"},
      {0x00000005, "EV_ACTION"},
      {0x00000006, "EV_EVENT_TAG"},
      {0x00000007, "EV_S_CRTM_CONTENTS"},
      {0x00000008, "EV_S_CRTM_VERSION"},
      {0x00000009, "EV_CPU_MICROCODE"},
      {0x0000000A, "EV_PLATFORM_CONFIG_FLAGS"},
      {0x0000000B, "EV_TABLE_OF_DEVICES"},
      {0x0000000C, "EV_COMPACT_HASH"},
      {0x0000000D, "EV_IPL"},
      {0x0000000E, "EV_IPL_PARTITION_DATA"},
      {0x0000000F, "EV_NONHOST_CODE"},
      {0x00000010, "EV_NONHOST_CONFIG"},
      {0x00000011, "EV_NONHOST_INFO"},
      {0x00000012, "EV_OMIT_BOOT_DEVICE_EVENTS"},
      {0x80000001, "EV_EFI_VARIABLE_DRIVER_CONFIG"},
      {0x80000002, "EV_EFI_VARIABLE_BOOT"},
      {0x80000003, "EV_EFI_BOOT_SERVICES_APPLICATION"},
      {0x80000004, "EV_EFI_BOOT_SERVICES_DRIVER"},
      {0x80000005, "EV_EFI_RUNTIME_SERVICES_DRIVER"},
      {0x80000006, "EV_EFI_GPT_EVENT"},
      {0x80000007, "EV_EFI_ACTION"},
      {0x80000008, "EV_EFI_PLATFORM_FIRMWARE_BLOB"},
      {0x80000009, "EV_EFI_HANDOFF_TABLES"},
      {0x8000000A, "EV_EFI_PLATFORM_FIRMWARE_BLOB2"},
      {0x8000000B, "EV_EFI_HANDOFF_TABLES2"},
      {0x80000010, "EV_EFI_HCRTM_EVENT"},
      {0x800000E0, "EV_EFI_VARIABLE_AUTHORITY"},
      {0x800000E1, "EV_EFI_SPDM_FIRMWARE_BLOB"},
  }};
  for (const auto& [number, name] : kNames) {
    if (number == type) {
      return name;
    }
  }
  return fmt::format("{:#010x}", type);
}

}  // namespace vmattest::eventlog
