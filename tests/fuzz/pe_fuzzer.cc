// PE images: boot loaders and kernels of the guest's choice.

#include <cstdlib>

#include "disk/pe_image.h"
#include "fakes/memory_block_source.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::testing::MemoryBlockSource file(vmattest::Bytes(data, data + size));
  const auto is_pe = vmattest::disk::IsPeImage(file);
  const auto digest = vmattest::disk::AuthenticodeDigest(
      file, vmattest::HashAlgorithm::kSha256);
  if (!is_pe.ok() || (digest.ok() && (!*is_pe || digest->size() != 32)) ||
      file.read_bytes > 4 * size + 65536) {
    std::abort();
  }
  return 0;
}
