#include "memory/stream/saved_state.h"

#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "fmt/format.h"
#include "memory/guest_memory.h"

namespace vmattest::memory {
namespace {

constexpr std::string_view kLibvirtComplete = "LibvirtQemudSave";
constexpr std::string_view kLibvirtPartial = "LibvirtQemudPart";
constexpr size_t kLibvirtMagic = 16;
constexpr size_t kLibvirtHeader = kLibvirtMagic + 5 * 4 + 14 * 4;
constexpr uint32_t kMaxLibvirtData = 64u << 20;

constexpr uint32_t kQemuVersion = 3;
constexpr uint32_t kMaxText = 4096;
constexpr uint32_t kMaxCapabilities = 256;
constexpr uint32_t kPageBits = 12;

// QEMU's migration/savevm.h.
enum Section : uint8_t {
  kEnd = 0x00,
  kStart = 0x01,
  kPart = 0x02,
  kLast = 0x03,
  kFull = 0x04,
  kSubsection = 0x05,
  kConfiguration = 0x07,
  kCommand = 0x08,
  kFooter = 0x7e,
};
// migration/ram.c: in the low bits of a page's address.
enum RamFlag : uint64_t {
  kZero = 0x02,
  kMemorySize = 0x04,
  kPage = 0x08,
  kEndOfSection = 0x10,
  kSameBlock = 0x20,
};
constexpr uint64_t kFlags = kPageSize - 1;
constexpr uint16_t kPackagedCommand = 3;
constexpr uint16_t kFirstPostcopyCommand = 4;
constexpr uint16_t kLastPostcopyCommand = 7;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(std::string(what));
}

class Parser {
 public:
  Parser(ByteStream& stream, RamSink& sink, const SavedStateLimits& limits)
      : in_(stream), sink_(sink), limits_(limits) {}

  absl::StatusOr<SavedState> Read() {
    RETURN_IF_ERROR_WITH(ReadLibvirtHeader(), "libvirt's header");
    if (in_.U32() != 0x5145564d || in_.U32() != kQemuVersion) {
      return in_.status().ok() ? Malformed("not a migration stream of QEMU")
                               : in_.status();
    }
    while (true) {
      if (in_.NextIs(std::string_view("\x07", 1))) {
        RETURN_IF_ERROR_WITH(ReadConfiguration(), "configuration");
      } else if (in_.NextIs(std::string_view("\x08", 1))) {
        RETURN_IF_ERROR_WITH(ReadCommand(), "command");
      } else if (in_.NextIs("\x01") || in_.NextIs("\x02") ||
                 in_.NextIs("\x03")) {
        RETURN_IF_ERROR_WITH(ReadMemory(), "memory");
      } else {
        break;
      }
    }
    RETURN_IF_ERROR(in_.status());
    if (!complete_) {
      return absl::UnimplementedError(
          fmt::format("section of kind {:#04x} before all memory has come",
                      unsigned{in_.U8()}));
    }
    ASSIGN_OR_RETURN_WITH(state_.devices, in_.Rest(limits_.device_bytes),
                          "devices");
    state_.bytes = in_.position();
    DropLibvirtTrailer();
    return std::move(state_);
  }

 private:
  // libvirt writes its own machine's byte order: this one's.
  absl::Status ReadLibvirtHeader() {
    libvirt_ = in_.NextIs(kLibvirtComplete) || in_.NextIs(kLibvirtPartial);
    if (!libvirt_) {
      return absl::OkStatus();
    }
    const ByteView header = in_.Raw(kLibvirtHeader);
    if (header.empty()) {
      return in_.status();
    }
    uint32_t numbers[4];  // version, bytes of data, was running, compressed
    std::memcpy(numbers, header.data() + kLibvirtMagic, sizeof numbers);
    if (numbers[0] == 0 || numbers[0] > 2 || numbers[1] > kMaxLibvirtData) {
      return Malformed("a version or size that libvirt does not write");
    }
    if (numbers[3] != 0) {
      return absl::UnimplementedError(fmt::format(
          "compressed by method {}: set snapshot_image_format = \"raw\" in "
          "libvirt's qemu.conf",
          numbers[3]));
    }
    in_.Skip(numbers[1]);
    return in_.status();
  }

  // libvirt writes its header again when all is there; into a pipe, at the end.
  void DropLibvirtTrailer() {
    Bytes& devices = state_.devices;
    if (libvirt_ && devices.size() >= kLibvirtHeader &&
        AsText(ByteView(devices).last(kLibvirtHeader).first(kLibvirtMagic)) ==
            kLibvirtComplete) {
      devices.resize(devices.size() - kLibvirtHeader);
    }
  }

  absl::Status ReadConfiguration() {
    (void)in_.U8();
    const uint32_t size = in_.U32();
    if (size > kMaxText || !state_.machine.empty() || section_) {
      return Malformed(
          "a machine's name that is too long, or not at the start");
    }
    state_.machine = std::string(AsText(in_.Raw(size)));
    while (in_.NextIs("\x05")) {
      (void)in_.U8();
      const std::string name = in_.ShortText();
      const uint32_t version = in_.U32();
      RETURN_IF_ERROR(ReadConfigurationPart(name, version));
    }
    return in_.status();
  }

  absl::Status ReadConfigurationPart(const std::string& name,
                                     uint32_t version) {
    if (name == "configuration/target-page-bits" && version == 1) {
      if (in_.U32() != kPageBits && in_.status().ok()) {
        return absl::UnimplementedError("pages that have not 4 KiB");
      }
      return in_.status();
    }
    if (name == "configuration/capabilities" && version == 1) {
      const uint32_t count = in_.U32();
      if (count > kMaxCapabilities) {
        return Malformed("too many capabilities");
      }
      for (uint32_t i = 0; i < count; ++i) {
        const std::string capability = in_.ShortText();
        if (capability == "x-ignore-shared" || capability == "mapped-ram") {
          return absl::UnimplementedError(
              fmt::format("made with '{}'", capability));
        }
      }
      return in_.status();
    }
    if (name == "configuration/uuid" && version == 1) {
      in_.Skip(16);
      return in_.status();
    }
    return absl::UnimplementedError(
        fmt::format("part '{}', version {}", name, version));
  }

  absl::Status ReadCommand() {
    (void)in_.U8();
    const uint16_t command = in_.U16();
    const uint16_t size = in_.U16();
    if (command >= kFirstPostcopyCommand && command <= kLastPostcopyCommand) {
      return absl::UnimplementedError("post-copy");
    }
    if (command == kPackagedCommand) {
      return absl::UnimplementedError("packaged");
    }
    in_.Skip(size);
    return in_.status();
  }

  absl::Status ReadMemory() {
    const uint8_t kind = in_.U8();
    const uint32_t id = in_.U32();
    if (kind == kStart) {
      const std::string name = in_.ShortText();
      const uint32_t instance = in_.U32();
      const uint32_t version = in_.U32();
      RETURN_IF_ERROR(in_.status());
      if (name != "ram" || version != 4) {
        return absl::UnimplementedError(
            fmt::format("section '{}', version {}", name, version));
      }
      if (instance != 0 || section_) {
        return Malformed("it begins twice");
      }
      section_ = id;
    } else if (section_ != id || complete_) {
      return in_.status().ok() ? Malformed("a part of a section that is none")
                               : in_.status();
    }
    RETURN_IF_ERROR(ReadPages());
    if (in_.U8() != kFooter || in_.U32() != id) {
      return in_.status().ok() ? Malformed("a section without its footer")
                               : in_.status();
    }
    complete_ = kind == kLast;
    return absl::OkStatus();
  }

  // Until the section's end.
  absl::Status ReadPages() {
    while (true) {
      const uint64_t word = in_.U64();
      RETURN_IF_ERROR(in_.status());
      if (in_.position() > limits_.stream_bytes) {
        return absl::ResourceExhaustedError(
            fmt::format("more than {} bytes came", limits_.stream_bytes));
      }
      const uint64_t value = word & ~kFlags;
      switch (word & kFlags) {
        case kEndOfSection:
          return absl::OkStatus();
        case kMemorySize:
          RETURN_IF_ERROR_WITH(ReadBlocks(value), "blocks");
          break;
        case kZero:
        case kZero | kSameBlock:
        case kPage:
        case kPage | kSameBlock:
          RETURN_IF_ERROR(ReadPage(word));
          break;
        default:
          return absl::UnimplementedError(
              fmt::format("a page with flags {:#x}", word & kFlags));
      }
    }
  }

  absl::Status ReadBlocks(uint64_t total) {
    if (!blocks_.empty()) {
      return Malformed("they are told twice");
    }
    while (total > 0) {
      const std::string name = in_.ShortText();
      const uint64_t bytes = in_.U64();
      RETURN_IF_ERROR(in_.status());
      if (bytes == 0 || bytes > total || bytes % kPageSize != 0 ||
          name.empty()) {
        return Malformed(fmt::format("'{}' has {} bytes", name, bytes));
      }
      if (blocks_.size() >= limits_.blocks) {
        return absl::ResourceExhaustedError(
            fmt::format("more than {}", limits_.blocks));
      }
      if (!numbers_.emplace(name, blocks_.size()).second) {
        return Malformed(fmt::format("'{}' is there twice", name));
      }
      blocks_.push_back(bytes);
      total -= bytes;
      RETURN_IF_ERROR(sink_.OnBlock(name, bytes));
    }
    return absl::OkStatus();
  }

  absl::Status ReadPage(uint64_t word) {
    if ((word & kSameBlock) == 0) {
      const std::string name = in_.ShortText();
      RETURN_IF_ERROR(in_.status());
      const auto found = numbers_.find(name);
      if (found == numbers_.end()) {
        return Malformed(
            fmt::format("a page of '{}', which is no block", name));
      }
      block_ = found->second;
      named_ = true;
    }
    const uint64_t offset = word & ~kFlags;
    if (!named_ || offset >= blocks_[block_]) {
      return Malformed(fmt::format("a page at {:#x} of no block", offset));
    }
    ++state_.pages;
    if ((word & kZero) != 0) {
      const uint8_t fill = in_.U8();
      RETURN_IF_ERROR(in_.status());
      return fill == 0 ? sink_.OnPage(block_, offset, {})
                       : Malformed("a page that is filled, and not with zero");
    }
    const ByteView page = in_.Raw(kPageSize);
    RETURN_IF_ERROR(in_.status());
    return sink_.OnPage(block_, offset, page);
  }

  StreamCursor in_;
  RamSink& sink_;
  const SavedStateLimits& limits_;
  SavedState state_;
  bool libvirt_ = false;
  std::optional<uint32_t> section_;  // the number of memory's
  bool complete_ = false;
  std::vector<uint64_t> blocks_;
  std::map<std::string, size_t> numbers_;
  size_t block_ = 0;
  bool named_ = false;
};

}  // namespace

absl::StatusOr<SavedState> ReadSavedState(ByteStream& stream, RamSink& sink,
                                          const SavedStateLimits& limits) {
  return Parser(stream, sink, limits).Read();
}

}  // namespace vmattest::memory
