#ifndef VMATTEST_TESTS_SUPPORT_MIGRATION_STREAM_H_
#define VMATTEST_TESTS_SUPPORT_MIGRATION_STREAM_H_

#include <algorithm>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "memory/guest_memory.h"
#include "memory/stream/byte_stream.h"

namespace vmattest::testing {

// Bytes in memory as a stream that gives `step` of them at a time.
class MemoryStream final : public memory::ByteStream {
 public:
  explicit MemoryStream(ByteView bytes, size_t step = SIZE_MAX)
      : bytes_(bytes), step_(step) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const size_t size = std::min({buffer.size(), bytes_.size(), step_});
    std::copy_n(bytes_.begin(), size, buffer.begin());
    bytes_ = bytes_.subspan(size);
    return size;
  }

 private:
  ByteView bytes_;
  size_t step_;
};

// Writes what QEMU writes, piece by piece; every piece can be left out.
class MigrationWriter {
 public:
  static constexpr uint32_t kRam = 2;

  MigrationWriter& Begin() {
    out_.Raw("QEVM").U32(3);
    return *this;
  }
  MigrationWriter& Configuration(std::string_view machine = "pc-q35-7.2") {
    out_.U8(7).Sized(machine);
    return *this;
  }
  MigrationWriter& Start(std::string_view name = "ram", uint32_t version = 4) {
    out_.U8(1).U32(kRam);
    Short(name);
    out_.U32(0).U32(version);
    return *this;
  }
  MigrationWriter& Part(uint8_t kind) {
    out_.U8(kind).U32(kRam);
    return *this;
  }
  MigrationWriter& Total(uint64_t bytes) {
    out_.U64(bytes | 4);
    return *this;
  }
  MigrationWriter& Block(std::string_view name, uint64_t bytes) {
    Short(name);
    out_.U64(bytes);
    return *this;
  }
  MigrationWriter& Page(std::string_view block, uint64_t offset, uint8_t fill) {
    out_.U64(offset | 8 | (block.empty() ? 0x20 : 0));
    if (!block.empty()) {
      Short(block);
    }
    out_.Raw(Bytes(memory::kPageSize, fill));
    return *this;
  }
  MigrationWriter& Zero(std::string_view block, uint64_t offset) {
    out_.U64(offset | 2);
    Short(block);
    out_.U8(0);
    return *this;
  }
  MigrationWriter& Word(uint64_t word) {
    out_.U64(word);
    return *this;
  }
  MigrationWriter& EndOfSection() {
    out_.U64(0x10).U8(0x7e).U32(kRam);
    return *this;
  }
  // A device's section with those fields.
  MigrationWriter& Device(std::string_view name, uint32_t instance,
                          ByteView fields) {
    out_.U8(4).U32(9);
    Short(name);
    out_.U32(instance).U32(1).Raw(fields).U8(0x7e).U32(9);
    return *this;
  }
  MigrationWriter& Description(std::string_view json) {
    out_.U8(0).U8(6).Sized(json);
    return *this;
  }
  MigrationWriter& Raw(std::string_view bytes) {
    out_.Raw(bytes);
    return *this;
  }
  [[nodiscard]] const Bytes& bytes() const { return out_.bytes(); }

 private:
  void Short(std::string_view text) {
    out_.U8(static_cast<uint8_t>(text.size())).Raw(text);
  }
  ByteWriter out_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_MIGRATION_STREAM_H_
