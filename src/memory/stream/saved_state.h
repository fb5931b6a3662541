#ifndef VMATTEST_MEMORY_STREAM_SAVED_STATE_H_
#define VMATTEST_MEMORY_STREAM_SAVED_STATE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "memory/stream/byte_stream.h"

// A guest's state as QEMU writes it when it migrates to a file: what libvirt's
// save, and its external snapshots of memory, hold. All of it is hostile.
//
//   [libvirt's header, XML, cookie]                 util/qemu_saveimage.h
//   "QEVM" 3  configuration  ram ... ram  devices  end  description
//                            `-- to RamSink        `--- to device_state.h

namespace vmattest::memory {

// Who gets the pages, in the stream's order. A page may come again; the last
// one counts.
class RamSink {
 public:
  virtual ~RamSink() = default;
  // Blocks have the numbers 0, 1, ... in the order of these calls.
  virtual absl::Status OnBlock(std::string_view name, uint64_t bytes) = 0;
  // `page` has kPageSize bytes; empty: all are zero. `offset` is in the block.
  virtual absl::Status OnPage(size_t block, uint64_t offset, ByteView page) = 0;
};

struct SavedStateLimits {
  uint64_t stream_bytes = uint64_t{1} << 44;
  size_t device_bytes = size_t{64} << 20;
  size_t blocks = 512;
};

struct SavedState {
  std::string machine;  // "pc-q35-7.2"
  uint64_t bytes = 0;   // of the whole stream
  uint64_t pages = 0;   // that came, zero ones and repeated ones included
  // From the first device's section on, with the description.
  Bytes devices;
};

// Reads `stream` to its end. Memory: a megabyte, the devices and the names of
// blocks. Errors name the section.
//   INVALID_ARGUMENT: not such a stream. UNIMPLEMENTED: a kind that is not read
//   (compressed, several channels, post-copy, XBZRLE, older than QEMU 2.4).
//   DATA_LOSS: it ends too early. RESOURCE_EXHAUSTED: a limit. Else as the
//   stream and the sink.
absl::StatusOr<SavedState> ReadSavedState(ByteStream& stream, RamSink& sink,
                                          const SavedStateLimits& limits = {});

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_STREAM_SAVED_STATE_H_
