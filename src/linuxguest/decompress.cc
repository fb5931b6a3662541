#include "linuxguest/decompress.h"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>

#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kMostBytes = 256 << 20;
constexpr uint64_t kLz4Legacy = 0x184c2102;
constexpr uint64_t kZstd = 0xfd2fb528;
constexpr size_t kLz4Block = 8 << 20;

absl::Status Damaged() {
  return absl::InvalidArgumentError("bzImage: the payload is damaged");
}

absl::StatusOr<Bytes> FromLz4(ByteView data, uint64_t size) {
  Bytes out(size);
  size_t done = 0;
  data = data.subspan(4);
  while (data.size() > 4 && done < out.size()) {
    const uint64_t block = LittleEndian(data, 0, 4);
    if (block == 0 || block > data.size() - 4) {
      return Damaged();
    }
    const int got = LZ4_decompress_safe(
        reinterpret_cast<const char*>(data.data() + 4),
        reinterpret_cast<char*>(out.data() + done), static_cast<int>(block),
        static_cast<int>(std::min(kLz4Block, out.size() - done)));
    if (got <= 0) {
      return Damaged();
    }
    done += static_cast<size_t>(got);
    data = data.subspan(4 + block);
  }
  if (done != out.size()) {
    return Damaged();
  }
  return out;
}

absl::StatusOr<Bytes> FromZstd(ByteView data, uint64_t size) {
  Bytes out(size);
  const size_t frame = ZSTD_findFrameCompressedSize(data.data(), data.size());
  if (ZSTD_isError(frame) != 0) {
    return Damaged();
  }
  const size_t got =
      ZSTD_decompress(out.data(), out.size(), data.data(), frame);
  if (ZSTD_isError(got) != 0 || got != out.size()) {
    return Damaged();
  }
  return out;
}

}  // namespace

absl::StatusOr<Bytes> DecompressKernel(ByteView payload) {
  if (payload.size() < 16) {
    return Damaged();
  }
  const uint64_t size = LittleEndian(payload, payload.size() - 4, 4);
  if (size > kMostBytes) {
    return Damaged();
  }
  payload = payload.first(payload.size() - 4);
  const uint64_t magic = LittleEndian(payload, 0, 4);
  if (magic == kLz4Legacy) {
    return FromLz4(payload, size);
  }
  if (magic == kZstd) {
    return FromZstd(payload, size);
  }
  return absl::UnimplementedError(
      "bzImage: compressed neither with LZ4 nor with Zstandard");
}

}  // namespace vmattest::linuxguest
