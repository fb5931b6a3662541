#include "linuxguest/decompress.h"

#include <lz4.h>
#include <lzma.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kMostBytes = 256 << 20;
constexpr uint64_t kLz4Legacy = 0x184c2102;
constexpr uint64_t kZstd = 0xfd2fb528;
constexpr size_t kLz4Block = 8 << 20;
constexpr std::string_view kXz(
    "\xfd"
    "7zXZ\0",
    6);
constexpr uint64_t kXzMemory = 66 << 20;  // a dictionary of 64 MiB, and itself
constexpr int kZstdWindow = 26;           // log2
constexpr size_t kPiece = 1 << 20;

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

absl::Status BadModule(std::string_view what) {
  return absl::InvalidArgumentError("module: " + std::string(what));
}

// Room behind `done` bytes: one past `most`, so that more of them shows.
size_t Grow(Bytes& out, size_t done, uint64_t most) {
  out.resize(std::min<uint64_t>(done + std::max(kPiece, done), most + 1));
  return out.size() - done;
}

absl::StatusOr<Bytes> XzModule(ByteView data, uint64_t most) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_ret result = lzma_stream_decoder(&stream, kXzMemory, 0);
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&stream,
                                                                 lzma_end);
  stream.next_in = data.data();
  stream.avail_in = data.size();
  Bytes out;
  size_t done = 0;
  while (result == LZMA_OK && done <= most) {
    stream.avail_out = Grow(out, done, most);
    stream.next_out = out.data() + done;
    result = lzma_code(&stream, LZMA_FINISH);
    done = out.size() - stream.avail_out;
  }
  if (done > most) {
    return BadModule("larger than any when it is unpacked");
  }
  if (result == LZMA_MEMLIMIT_ERROR) {
    return BadModule("a dictionary of more than 64 MiB");
  }
  if (result != LZMA_STREAM_END || stream.avail_in > 0) {
    return BadModule("the xz stream is damaged");
  }
  out.resize(done);
  return out;
}

absl::StatusOr<Bytes> ZstdModule(ByteView data, uint64_t most) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(
      ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (context == nullptr ||
      ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax,
                                          kZstdWindow)) != 0) {
    return BadModule("no memory to unpack it");
  }
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  Bytes out;
  size_t done = 0;
  size_t result = 1;  // 0: the frame is over
  while (result != 0 && ZSTD_isError(result) == 0 && done <= most) {
    ZSTD_outBuffer to{nullptr, Grow(out, done, most), 0};
    to.dst = out.data() + done;
    result = ZSTD_decompressStream(context.get(), &to, &in);
    done += to.pos;
    if (result != 0 && in.pos == in.size && to.pos < to.size) {
      break;  // truncated
    }
  }
  if (done > most) {
    return BadModule("larger than any when it is unpacked");
  }
  if (result != 0 || in.pos != in.size) {
    return BadModule("the Zstandard frame is damaged");
  }
  out.resize(done);
  return out;
}

}  // namespace

absl::StatusOr<Bytes> DecompressModule(ByteView file, uint64_t most) {
  if (AsText(file).substr(0, kXz.size()) == kXz) {
    return XzModule(file, most);
  }
  if (file.size() >= 4 && LittleEndian(file, 0, 4) == kZstd) {
    return ZstdModule(file, most);
  }
  if (file.size() > most) {
    return BadModule("larger than any");
  }
  return ToBytes(file);
}

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
