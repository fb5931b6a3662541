#ifndef VMATTEST_GATE_KEPT_FILE_H_
#define VMATTEST_GATE_KEPT_FILE_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

// A file in which the gate keeps what it knows of one VM: a format's name,
// content, a digest over both. The folder is ours alone; the digest is against
// damage. Callable from any thread.

namespace vmattest::gate {

// How long what is written must last.
enum class Lasting : uint8_t {
  kOnDisk,
  kThisBoot,  // quicker; a crash of the machine may leave the old one, or none
};
// In place of the old one, or not at all.
absl::Status WriteKept(const std::filesystem::path& path,
                       std::string_view format, ByteView content,
                       Lasting lasting = Lasting::kOnDisk);
// NOT_FOUND. DATA_LOSS: damaged, or of another format. INVALID_ARGUMENT: larger
// than `most`.
absl::StatusOr<Bytes> ReadKept(const std::filesystem::path& path,
                               std::string_view format, size_t most);

// The file's bytes, and the content of such bytes; errors as ReadKept.
Bytes FrameKept(std::string_view format, ByteView content);
absl::StatusOr<Bytes> OpenKept(ByteView file, std::string_view format);

// What ByteWriter::Sized() wrote, as text.
std::string SizedText(ByteReader& reader);
Bytes SizedBytes(ByteReader& reader);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_KEPT_FILE_H_
