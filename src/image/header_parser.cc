#include "image/header_parser.h"

#include <algorithm>

#include "image/segments.h"

namespace vmattest::image {
namespace {

constexpr size_t kDefaultCluster = 65536;

absl::StatusOr<Bytes> ReadStart(int fd, uint64_t file_size, size_t size,
                                const std::string& name) {
  Bytes start(std::min<uint64_t>(file_size, size));
  RETURN_IF_ERROR(ReadExactly(fd, start, 0, name));
  return start;
}

// The first cluster of a qcow2 may be larger than what is read of the rest.
size_t ClusterSize(const Bytes& start) {
  ByteReader reader(start);
  reader.Raw(20);
  const uint32_t bits = reader.U32();
  return reader.ok() && bits >= 9 && bits <= 21
             ? std::max(size_t{1} << bits, kDefaultCluster)
             : kDefaultCluster;
}

}  // namespace

absl::StatusOr<ImageHeader> ReadImageHeader(int fd, uint64_t size,
                                            const std::string& name,
                                            std::string_view format) {
  ASSIGN_OR_RETURN(Bytes start, ReadStart(fd, size, kDefaultCluster, name));
  if (ClusterSize(start) > start.size() && start.size() < size) {
    ASSIGN_OR_RETURN(start, ReadStart(fd, size, ClusterSize(start), name));
  }
  return ParseImageHeader(start, format);
}

absl::StatusOr<ImageHeader> DirectHeaderParser::Parse(const ContentFile& file,
                                                      const std::string& name,
                                                      std::string_view format) {
  return ReadImageHeader(file.fd.get(), file.size, name, format);
}

std::unique_ptr<HeaderParser> MakeDirectHeaderParser() {
  return std::make_unique<DirectHeaderParser>();
}

}  // namespace vmattest::image
