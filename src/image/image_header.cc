#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "image/image_chain.h"

namespace vmattest::image {
namespace {

constexpr uint32_t kQcowMagic = 0x514649fb;  // "QFI\xfb"
constexpr uint32_t kEndExtension = 0;
constexpr uint32_t kBackingFormatExtension = 0xe2792aca;
constexpr uint32_t kDataFileExtension = 0x44415441;
constexpr uint64_t kDataFileFeature = 1 << 2;
// Dirty, corrupt, data file, compression type, extended L2 entries.
constexpr uint64_t kKnownIncompatible = 0x1f;
constexpr uint32_t kV2HeaderLength = 72;
constexpr uint32_t kV3HeaderLength = 104;
constexpr uint32_t kMaxName = 1023;
constexpr uint32_t kMaxFormatName = 15;

absl::Status Invalid(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("qcow2 header: {}", what));
}

struct Magic {
  size_t offset;
  std::string_view bytes;
  std::string_view format;
};

constexpr Magic kMagics[] = {
    {0, {"KDMV", 4}, "vmdk"},
    {0, {"COWD", 4}, "vmdk"},
    {0, {"# Disk DescriptorFile", 21}, "vmdk"},
    {0x40, {"\x7f\x10\xda\xbe", 4}, "vdi"},
    {0, {"vhdxfile", 8}, "vhdx"},
    {0, {"conectix", 8}, "vpc"},
    {0, {"LUKS\xba\xbe", 6}, "luks"},
    {0, {"QED\0", 4}, "qed"},
    {0, {"WithoutFreeSpace", 16}, "parallels"},
    {0, {"WithouFreSpacExt", 16}, "parallels"},
    {0, {"Bochs Virtual HD Image", 22}, "bochs"},
};

bool HasQcowMagic(ByteView bytes) {
  return ByteReader(bytes).U32() == kQcowMagic;
}

std::string Probe(ByteView bytes) {
  if (HasQcowMagic(bytes)) {
    ByteReader reader(bytes.subspan(4));
    return reader.U32() == 1 ? "qcow" : "qcow2";
  }
  for (const Magic& magic : kMagics) {
    if (bytes.size() >= magic.offset + magic.bytes.size() &&
        AsText(bytes.subspan(magic.offset, magic.bytes.size())) ==
            magic.bytes) {
      return std::string(magic.format);
    }
  }
  return "raw";
}

// The fields that matter here, in file order.
struct Qcow2Fields {
  uint32_t version = 0;
  uint64_t backing_offset = 0;
  uint32_t backing_size = 0;
  uint32_t cluster_bits = 0;
  uint64_t virtual_size = 0;
  uint32_t crypt_method = 0;
  uint64_t incompatible = 0;
  uint32_t header_length = kV2HeaderLength;

  [[nodiscard]] uint64_t cluster_size() const {
    return uint64_t{1} << cluster_bits;
  }
};

absl::StatusOr<Qcow2Fields> ReadFields(ByteView bytes) {
  ByteReader reader(bytes);
  Qcow2Fields fields;
  reader.U32();  // the magic
  fields.version = reader.U32();
  fields.backing_offset = reader.U64();
  fields.backing_size = reader.U32();
  fields.cluster_bits = reader.U32();
  fields.virtual_size = reader.U64();
  fields.crypt_method = reader.U32();
  reader.Raw(kV2HeaderLength - 36);
  if (fields.version == 3) {
    fields.incompatible = reader.U64();
    reader.Raw(20);  // other features, refcount order
    fields.header_length = reader.U32();
  }
  if (!reader.ok()) {
    return Invalid("the file ends inside it");
  }
  return fields;
}

absl::Status CheckFields(const Qcow2Fields& fields) {
  if (fields.version != 2 && fields.version != 3) {
    return Invalid(
        fmt::format("version {} is neither 2 nor 3", fields.version));
  }
  if (fields.cluster_bits < 9 || fields.cluster_bits > 21) {
    return Invalid(
        fmt::format("cluster_bits {} is not in 9..21", fields.cluster_bits));
  }
  if (fields.crypt_method > 2) {
    return Invalid(
        fmt::format("crypt_method {} is unknown", fields.crypt_method));
  }
  if ((fields.incompatible & ~kKnownIncompatible) != 0) {
    return Invalid(fmt::format("incompatible_features {:#x} has unknown bits",
                               fields.incompatible));
  }
  if (fields.version == 3 && (fields.header_length < kV3HeaderLength ||
                              fields.header_length > fields.cluster_size())) {
    return Invalid(fmt::format("header_length {} is not in {}..{}",
                               fields.header_length, kV3HeaderLength,
                               fields.cluster_size()));
  }
  if (fields.backing_offset != 0 &&
      (fields.backing_size > kMaxName ||
       fields.backing_offset < fields.header_length ||
       fields.backing_offset > fields.cluster_size() ||
       fields.backing_size > fields.cluster_size() - fields.backing_offset)) {
    return Invalid(fmt::format(
        "backing_file_offset {} and backing_file_size {} do not lie in the "
        "first cluster",
        fields.backing_offset, fields.backing_size));
  }
  return absl::OkStatus();
}

// QEMU would stop at a NUL byte: a name that two readers read differently.
absl::StatusOr<std::string> ReadName(ByteView bytes, std::string_view field) {
  const std::string name(AsText(bytes));
  if (name.find('\0') != std::string::npos) {
    return Invalid(fmt::format("{} has a NUL byte inside", field));
  }
  return name;
}

absl::Status ReadExtension(uint32_t type, ByteView content,
                           ImageHeader& header) {
  if (type == kBackingFormatExtension) {
    if (content.size() > kMaxFormatName) {
      return Invalid("the backing format's name is too long");
    }
    ASSIGN_OR_RETURN(header.backing_format,
                     ReadName(content, "the backing format"));
  } else if (type == kDataFileExtension) {
    if (content.empty() || content.size() > kMaxName) {
      return Invalid(
          fmt::format("the data file's name has {} bytes", content.size()));
    }
    ASSIGN_OR_RETURN(header.data_file, ReadName(content, "the data file"));
  }
  return absl::OkStatus();
}

// They lie between the header and the backing file's name.
absl::Status ReadExtensions(ByteView bytes, const Qcow2Fields& fields,
                            ImageHeader& header) {
  const uint64_t end = fields.backing_offset != 0 ? fields.backing_offset
                                                  : fields.cluster_size();
  const size_t begin = std::min<size_t>(fields.header_length, bytes.size());
  ByteReader reader(
      bytes.first(std::min<size_t>(end, bytes.size())).subspan(begin));
  while (reader.remaining() >= 8) {
    const uint32_t type = reader.U32();
    const uint32_t size = reader.U32();
    if (type == kEndExtension) {
      break;
    }
    const ByteView content = reader.Raw(size);
    if (!reader.ok()) {
      return Invalid(fmt::format(
          "extension {:#x} of {} bytes does not fit its area", type, size));
    }
    RETURN_IF_ERROR(ReadExtension(type, content, header));
    reader.Raw(std::min<size_t>((8 - size % 8) % 8, reader.remaining()));
  }
  return absl::OkStatus();
}

absl::Status ReadBackingName(ByteView bytes, const Qcow2Fields& fields,
                             ImageHeader& header) {
  if (fields.backing_offset == 0 || fields.backing_size == 0) {
    return absl::OkStatus();
  }
  if (fields.backing_offset + fields.backing_size > bytes.size()) {
    return Invalid("the file ends before the backing file's name does");
  }
  ASSIGN_OR_RETURN(
      header.backing_file,
      ReadName(bytes.subspan(fields.backing_offset, fields.backing_size),
               "the backing file"));
  return absl::OkStatus();
}

absl::StatusOr<ImageHeader> ParseQcow2(ByteView bytes) {
  ASSIGN_OR_RETURN(const Qcow2Fields fields, ReadFields(bytes));
  RETURN_IF_ERROR(CheckFields(fields));
  ImageHeader header;
  header.format = "qcow2";
  header.virtual_size = fields.virtual_size;
  header.encrypted = fields.crypt_method != 0;
  RETURN_IF_ERROR(ReadExtensions(bytes, fields, header));
  RETURN_IF_ERROR(ReadBackingName(bytes, fields, header));
  if ((fields.incompatible & kDataFileFeature) == 0) {
    header.data_file.reset();  // QEMU ignores the name, too
  } else if (!header.data_file) {
    return Invalid("the external data file has no name");
  }
  if (!header.backing_file) {
    header.backing_format.reset();
  }
  return header;
}

}  // namespace

absl::StatusOr<ImageHeader> ParseImageHeader(ByteView bytes,
                                             std::string_view format) {
  ImageHeader header;
  header.format = format.empty() ? Probe(bytes) : std::string(format);
  if (header.format != "qcow2") {
    return header;
  }
  if (!HasQcowMagic(bytes)) {
    return Invalid("the magic number is missing");
  }
  return ParseQcow2(bytes);
}

}  // namespace vmattest::image
