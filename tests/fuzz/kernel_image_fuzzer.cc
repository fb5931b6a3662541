// Kernel images: an ELF file with relocations behind it, or a bzImage.

#include <cstdlib>

#include "linuxguest/kernel_image.h"
#include "linuxguest/text_sites.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmattest::linuxguest;
  const absl::StatusOr<KernelImage> image = KernelImage::Parse({data, size});
  if (!image.ok()) {
    return 0;
  }
  const KernelImage::Section& text = *image->Find(".text");
  if (image->Loaded(text.address, text.size, 0x1000000).size() !=
      image->At(text.address, text.size).size()) {
    std::abort();
  }
  SymbolTable symbols;
  symbols.Sort();
  for (const TextSite& site : ReadTextSites(*image, symbols, 0)) {
    if (site.offset >= text.size || site.size > text.size - site.offset) {
      std::abort();
    }
  }
  return 0;
}
