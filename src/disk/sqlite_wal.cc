#include "disk/sqlite_wal.h"

#include <algorithm>
#include <map>

namespace vmattest::disk {
namespace {

constexpr std::string_view kMagic("SQLite format 3\0", 16);
constexpr size_t kDatabaseHeader = 100;
constexpr size_t kWalHeader = 32;
constexpr size_t kFrameHeader = 24;

// The two running sums over 32-bit words.
class WalChecksum {
 public:
  explicit WalChecksum(bool big_endian) : big_endian_(big_endian) {}

  // `bytes` is a multiple of 8 long.
  void Update(ByteView bytes) {
    for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      first_ += Word(bytes, at) + second_;
      second_ += Word(bytes, at + 4) + first_;
    }
  }
  [[nodiscard]] bool Is(uint32_t first, uint32_t second) const {
    return first == first_ && second == second_;
  }

 private:
  [[nodiscard]] uint32_t Word(ByteView bytes, size_t at) const {
    const uint32_t a = bytes[at];
    const uint32_t b = bytes[at + 1];
    const uint32_t c = bytes[at + 2];
    const uint32_t d = bytes[at + 3];
    return big_endian_ ? a << 24 | b << 16 | c << 8 | d
                       : d << 24 | c << 16 | b << 8 | a;
  }

  const bool big_endian_;
  uint32_t first_ = 0;
  uint32_t second_ = 0;
};

struct WalContent {
  uint64_t page_size = 0;
  uint64_t pages = 0;                   // of the database after it
  std::map<uint64_t, size_t> frame_at;  // page to where its content is
};

// All frames up to the last whole commit.
WalContent ReadFrames(ByteView wal) {
  WalContent content;
  if (wal.size() < kWalHeader) {
    return content;
  }
  ByteReader header(wal);
  const uint32_t magic = header.U32();
  header.U32();  // format
  const uint32_t page_size = header.U32();
  header.U32();  // checkpoint number
  const ByteView salts = wal.subspan(16, 8);
  header.Raw(8);
  const uint32_t first = header.U32();
  const uint32_t second = header.U32();
  WalChecksum checksum((magic & 1) != 0);
  checksum.Update(wal.first(24));
  if ((magic & ~1U) != 0x377F0682 || page_size < 512 || page_size > 65536 ||
      (page_size & (page_size - 1)) != 0 || !checksum.Is(first, second)) {
    return content;
  }
  content.page_size = page_size;
  std::map<uint64_t, size_t> since_commit;
  for (size_t at = kWalHeader; at + kFrameHeader + page_size <= wal.size();
       at += kFrameHeader + page_size) {
    ByteReader frame(wal.subspan(at, kFrameHeader));
    const uint32_t page = frame.U32();
    const uint32_t commit = frame.U32();
    const ByteView frame_salts = frame.Raw(8);
    const uint32_t frame_first = frame.U32();
    const uint32_t frame_second = frame.U32();
    checksum.Update(wal.subspan(at, 8));
    checksum.Update(wal.subspan(at + kFrameHeader, page_size));
    if (page == 0 ||
        !std::equal(salts.begin(), salts.end(), frame_salts.begin(),
                    frame_salts.end()) ||
        !checksum.Is(frame_first, frame_second)) {
      break;
    }
    since_commit[page] = at + kFrameHeader;
    if (commit != 0) {
      for (const auto& [number, where] : since_commit) {
        content.frame_at[number] = where;
      }
      since_commit.clear();
      content.pages = commit;
    }
  }
  return content;
}

}  // namespace

absl::Status ApplyWal(ByteView wal, size_t max_size, Bytes& database) {
  const WalContent content = ReadFrames(wal);
  if (content.pages > 0) {
    if (content.pages > max_size / content.page_size) {
      return absl::ResourceExhaustedError("the database is too large");
    }
    database.resize(content.pages * content.page_size);
    for (const auto& [page, where] : content.frame_at) {
      if (page <= content.pages) {
        std::copy_n(wal.begin() + static_cast<ptrdiff_t>(where),
                    content.page_size,
                    database.begin() +
                        static_cast<ptrdiff_t>((page - 1) * content.page_size));
      }
    }
  }
  if (database.size() < kDatabaseHeader ||
      AsText(database).substr(0, kMagic.size()) != kMagic) {
    return absl::DataLossError("no SQLite database");
  }
  database[18] = 1;
  database[19] = 1;
  return absl::OkStatus();
}

}  // namespace vmattest::disk
