#ifndef VMATTEST_IMAGE_IMAGE_CHAIN_H_
#define VMATTEST_IMAGE_IMAGE_CHAIN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace vmattest::image {

class HeaderParser;

// What the header of a disk image says. Never believed for access control:
// the guest writes a raw image, so `format` comes from the domain's XML where
// it is given.
struct ImageHeader {
  std::string format;         // "raw", "qcow2", or another probed name
  uint64_t virtual_size = 0;  // of qcow2 only
  std::optional<std::string> backing_file;    // as written in the header
  std::optional<std::string> backing_format;  // qcow2 header extension
  std::optional<std::string> data_file;       // qcow2 external data file
  bool encrypted = false;
};

// Parses hostile bytes: the first `bytes` of an image, a whole cluster of it if
// it is qcow2 (2 MiB is enough). `format` "qcow2" demands that magic, versions
// 2 and 3; any other name is believed and nothing parsed; empty probes. Formats
// other than qcow2 are only named: what they refer to is not found.
// INVALID_ARGUMENT says which field is wrong. QEMU docs/interop/qcow2.txt.
absl::StatusOr<ImageHeader> ParseImageHeader(ByteView bytes,
                                             std::string_view format);

// One layer of a disk, the top first.
struct ImageLayer {
  std::string path;     // absolute file or device; or the "json:", "nbd://"...
                        // specification of a layer that is not a local file
  std::string format;   // empty if not local and the layer above names none
  bool local = true;    // false: network or other driver, never opened
  bool probed = false;  // the format is a guess: nobody named it
  bool encrypted = false;
  // As `path` and `local`, for a qcow2 external data file. Not opened here. A
  // relative name is resolved against the layer's folder, as libvirt does
  // before it tells QEMU; QEMU by itself would take its working directory.
  std::optional<std::string> data_file;
  bool data_file_local = true;
};

// Follows backing files from `path` down, relative names resolved against the
// folder of the layer that names them, as QEMU does. `path` itself is a path,
// whatever it looks like; an empty `format` probes. Opens local regular files
// and block devices only, never the network. At most 64 layers. A layer that is
// not qcow2 ends the chain.
//   NOT_FOUND: a layer is missing. INVALID_ARGUMENT: a loop, a bad header, a
//   relative `path`. Messages name the layer. Else the parser's errors.
absl::StatusOr<std::vector<ImageLayer>> ResolveChain(const std::string& path,
                                                     std::string_view format,
                                                     HeaderParser& parser);
// With a DirectHeaderParser.
absl::StatusOr<std::vector<ImageLayer>> ResolveChain(const std::string& path,
                                                     std::string_view format);

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_IMAGE_CHAIN_H_
