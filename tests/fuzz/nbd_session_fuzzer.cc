#include <cstddef>
#include <cstdint>

#include "fakes/memory_block_source.h"
#include "worker/guestfs/nbd_session.h"

// A QEMU that was taken over, at the other end of an NBD connection.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmattest::Bytes;
  using vmattest::ByteView;
  vmattest::testing::MemoryBlockSource content{Bytes(65536)};
  const std::vector<vmattest::worker::NbdExport> exports = {{"0", &content}};
  vmattest::worker::NbdSession session(exports);
  ByteView rest(data, size);
  Bytes out;
  while (true) {
    out.clear();
    const auto taken = session.Take(rest, out);
    if (!taken.ok() || *taken == 0) {
      return 0;
    }
    if (*taken > rest.size()) {
      __builtin_trap();
    }
    rest = rest.subspan(*taken);
  }
}
