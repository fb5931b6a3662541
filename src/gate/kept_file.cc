#include "gate/kept_file.h"

#include <utility>

#include "base/file.h"
#include "crypto/digest.h"

namespace vmattest::gate {
namespace {

constexpr size_t kDigest = 32;

}  // namespace

Bytes FrameKept(std::string_view format, ByteView content) {
  ByteWriter writer;
  writer.Sized(format).Raw(content);
  writer.Raw(Hash(HashAlgorithm::kSha256, writer.bytes()));
  return std::move(writer).Take();
}

absl::StatusOr<Bytes> OpenKept(ByteView file, std::string_view format) {
  if (file.size() < kDigest) {
    return absl::DataLossError("too short");
  }
  const ByteView content = file.first(file.size() - kDigest);
  if (Hash(HashAlgorithm::kSha256, content) != ToBytes(file.last(kDigest))) {
    return absl::DataLossError("its digest is another");
  }
  ByteReader reader(content);
  if (SizedText(reader) != format) {
    return absl::DataLossError("of another format");
  }
  return ToBytes(reader.Raw(reader.remaining()));
}

absl::Status WriteKept(const std::filesystem::path& path,
                       std::string_view format, ByteView content,
                       Lasting lasting) {
  const Bytes file = FrameKept(format, content);
  return lasting == Lasting::kThisBoot ? WriteFileForThisBoot(path, file, 0600)
                                       : WriteFileAtomic(path, file, 0600);
}

absl::StatusOr<Bytes> ReadKept(const std::filesystem::path& path,
                               std::string_view format, size_t most) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, most));
  ASSIGN_OR_RETURN_WITH(Bytes content, OpenKept(bytes, format), path.string());
  return content;
}

std::string SizedText(ByteReader& reader) {
  return std::string(AsText(reader.Raw(reader.U32())));
}

Bytes SizedBytes(ByteReader& reader) {
  return ToBytes(reader.Raw(reader.U32()));
}

}  // namespace vmattest::gate
