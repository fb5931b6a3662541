#include "gate/kept_file.h"

#include <utility>

#include "base/file.h"
#include "crypto/digest.h"

namespace vmattest::gate {
namespace {

constexpr size_t kDigest = 32;

}  // namespace

absl::Status WriteKept(const std::filesystem::path& path,
                       std::string_view format, ByteView content) {
  ByteWriter writer;
  writer.Sized(format).Raw(content);
  writer.Raw(Hash(HashAlgorithm::kSha256, writer.bytes()));
  return WriteFileAtomic(path, writer.bytes(), 0600);
}

absl::StatusOr<Bytes> ReadKept(const std::filesystem::path& path,
                               std::string_view format, size_t most) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, most));
  if (bytes.size() < kDigest) {
    return absl::DataLossError(path.string() + ": too short");
  }
  const ByteView content = ByteView(bytes).first(bytes.size() - kDigest);
  if (Hash(HashAlgorithm::kSha256, content) !=
      ToBytes(ByteView(bytes).last(kDigest))) {
    return absl::DataLossError(path.string() + ": its digest is another");
  }
  ByteReader reader(content);
  if (SizedText(reader) != format) {
    return absl::DataLossError(path.string() + ": of another format");
  }
  return ToBytes(reader.Raw(reader.remaining()));
}

std::string SizedText(ByteReader& reader) {
  return std::string(AsText(reader.Raw(reader.U32())));
}

Bytes SizedBytes(ByteReader& reader) {
  return ToBytes(reader.Raw(reader.U32()));
}

}  // namespace vmattest::gate
