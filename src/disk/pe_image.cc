#include "disk/pe_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "crypto/digest.h"
#include "disk/partition_table.h"

// Offsets: Microsoft "PE Format", COFF file header and optional header.

namespace vmattest::disk {
namespace {

constexpr size_t kDosHeader = 64;
constexpr size_t kCoffHeader = 24;  // signature included
constexpr size_t kSectionHeader = 40;
constexpr size_t kChecksumAt = 64;  // in the optional header
constexpr size_t kHeadersSizeAt = 60;
constexpr uint64_t kMaxOptionalHeader = 4096;
constexpr uint64_t kMaxSections = 96;  // the Windows loader's limit
constexpr uint32_t kCertificateEntry = 4;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("malformed PE image: {}", what));
}

struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct PeLayout {
  uint64_t checksum_at = 0;
  std::optional<uint64_t> certificate_entry_at;
  uint64_t headers_size = 0;
  uint64_t certificates_size = 0;
  std::vector<Range> sections;  // by begin, those with data
};

absl::StatusOr<Bytes> ReadPart(BlockSource& file, uint64_t at, uint64_t size,
                               std::string_view what) {
  if (!CheckRange(file, at, size).ok()) {
    return Malformed(what);
  }
  Bytes part(size);
  RETURN_IF_ERROR(file.ReadAt(at, part));
  return part;
}

// Where the PE signature is, if there is one.
absl::StatusOr<std::optional<uint64_t>> FindSignature(BlockSource& file) {
  std::array<uint8_t, kDosHeader> dos{};
  if (file.size() < dos.size()) {
    return std::optional<uint64_t>();
  }
  RETURN_IF_ERROR(file.ReadAt(0, dos));
  const uint64_t at = LittleEndian(dos, 60, 4);
  std::array<uint8_t, 4> signature{};
  if (AsText(dos).substr(0, 2) != "MZ" ||
      !CheckRange(file, at, kCoffHeader).ok()) {
    return std::optional<uint64_t>();
  }
  RETURN_IF_ERROR(file.ReadAt(at, signature));
  if (AsText(signature) != std::string_view("PE\0\0", 4)) {
    return std::optional<uint64_t>();
  }
  return std::optional<uint64_t>(at);
}

absl::Status ReadSections(BlockSource& file, uint64_t at, uint64_t count,
                          PeLayout& layout) {
  if (count > kMaxSections) {
    return Malformed(fmt::format("{} sections", count));
  }
  ASSIGN_OR_RETURN(const Bytes table, ReadPart(file, at, count * kSectionHeader,
                                               "sections past the end"));
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t size = LittleEndian(table, i * kSectionHeader + 16, 4);
    const uint64_t begin = LittleEndian(table, i * kSectionHeader + 20, 4);
    if (size == 0) {
      continue;
    }
    if (!CheckRange(file, begin, size).ok()) {
      return Malformed("a section past the end");
    }
    layout.sections.push_back({begin, begin + size});
  }
  std::stable_sort(
      layout.sections.begin(), layout.sections.end(),
      [](const Range& a, const Range& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < layout.sections.size(); ++i) {
    if (layout.sections[i].begin < layout.sections[i - 1].end) {
      return Malformed("sections that overlap");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<PeLayout> ReadLayout(BlockSource& file) {
  ASSIGN_OR_RETURN(const std::optional<uint64_t> signature,
                   FindSignature(file));
  if (!signature) {
    return absl::InvalidArgumentError("no PE image");
  }
  ASSIGN_OR_RETURN(const Bytes coff, ReadPart(file, *signature, kCoffHeader,
                                              "a truncated header"));
  const uint64_t optional_at = *signature + kCoffHeader;
  const uint64_t optional_size = LittleEndian(coff, 20, 2);
  if (optional_size > kMaxOptionalHeader || optional_size < 96) {
    return Malformed("the size of the optional header");
  }
  ASSIGN_OR_RETURN(const Bytes optional,
                   ReadPart(file, optional_at, optional_size,
                            "a truncated optional header"));
  const uint64_t magic = LittleEndian(optional, 0, 2);
  if (magic != 0x10B && magic != 0x20B) {
    return Malformed("neither PE32 nor PE32+");
  }
  const size_t count_at = magic == 0x10B ? 92 : 108;
  if (optional.size() < count_at + 4) {
    return Malformed("the size of the optional header");
  }
  PeLayout layout;
  layout.checksum_at = optional_at + kChecksumAt;
  layout.headers_size = LittleEndian(optional, kHeadersSizeAt, 4);
  const uint64_t directories = LittleEndian(optional, count_at, 4);
  const size_t entry_at = count_at + 4 + kCertificateEntry * 8;
  if (directories > kCertificateEntry) {
    if (optional.size() < entry_at + 8) {
      return Malformed("data directories past the optional header");
    }
    layout.certificate_entry_at = optional_at + entry_at;
    const uint64_t begin = LittleEndian(optional, entry_at, 4);
    layout.certificates_size = LittleEndian(optional, entry_at + 4, 4);
    if (layout.certificates_size > 0 &&
        begin + layout.certificates_size != file.size()) {
      return Malformed("signatures that are not at the end");
    }
  }
  const uint64_t headers_end =
      layout.certificate_entry_at.value_or(layout.checksum_at - 4) + 8;
  if (layout.headers_size < headers_end ||
      layout.headers_size > file.size() - layout.certificates_size) {
    return Malformed("the size of the headers");
  }
  RETURN_IF_ERROR(ReadSections(file, optional_at + optional_size,
                               LittleEndian(coff, 6, 2), layout));
  return layout;
}

}  // namespace

absl::StatusOr<bool> IsPeImage(BlockSource& file) {
  ASSIGN_OR_RETURN(const std::optional<uint64_t> signature,
                   FindSignature(file));
  return signature.has_value();
}

absl::StatusOr<DigestBytes> AuthenticodeDigest(BlockSource& file,
                                               HashAlgorithm algorithm) {
  ASSIGN_OR_RETURN(const PeLayout layout, ReadLayout(file));
  std::vector<Range> hashed;
  hashed.push_back({0, layout.checksum_at});
  uint64_t at = layout.checksum_at + 4;
  if (layout.certificate_entry_at) {
    hashed.push_back({at, *layout.certificate_entry_at});
    at = *layout.certificate_entry_at + 8;
  }
  hashed.push_back({at, layout.headers_size});
  uint64_t sum = layout.headers_size;
  for (const Range& section : layout.sections) {
    hashed.push_back(section);
    sum += section.end - section.begin;
  }
  // What follows the sections, but not the signatures.
  const uint64_t end = file.size() - layout.certificates_size;
  if (end > sum) {
    hashed.push_back({sum, end});
  }
  Hasher hasher(algorithm);
  for (const Range& range : hashed) {
    RETURN_IF_ERROR(
        file.ReadInOrder(range.begin, range.end, [&hasher](ByteView piece) {
          hasher.Update(piece);
          return absl::OkStatus();
        }));
  }
  return hasher.Finish();
}

}  // namespace vmattest::disk
