// Has memory as QEMU would for a guest, and no guest. Its name is one of QEMU's
// programs. Its arguments: -uuid UUID BYTES@ADDRESS...; every byte of each
// block is the low byte of its page's number. Says "ready" when it has them,
// and after each line that it reads what became of it: "drop N" takes a block
// away, as an unplugged DIMM is.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

struct Block {
  int fd = -1;
  size_t bytes = 0;
  void* memory = nullptr;
};

Block Make(const char* argument) {
  char* rest = nullptr;
  Block block;
  block.bytes = std::strtoull(argument, &rest, 0);
  const uint64_t address = std::strtoull(rest + 1, nullptr, 0);
  block.fd = memfd_create("stand-in", MFD_CLOEXEC);
  if (ftruncate(block.fd, static_cast<off_t>(block.bytes)) != 0) {
    std::exit(1);
  }
  block.memory = mmap(nullptr, block.bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                      block.fd, 0);
  if (block.memory == MAP_FAILED) {
    std::exit(1);
  }
  for (uint64_t at = 0; at < block.bytes; at += 4096) {
    std::memset(static_cast<uint8_t*>(block.memory) + at,
                static_cast<int>((address + at) >> 12 & 0xFF), 4096);
  }
  return block;
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<Block> blocks;
  for (int i = 3; i < count; ++i) {
    blocks.push_back(Make(arguments[i]));
  }
  std::puts("ready");
  std::fflush(stdout);
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    unsigned number = 0;
    if (std::sscanf(line, "drop %u", &number) != 1 || number >= blocks.size()) {
      return 1;
    }
    munmap(blocks[number].memory, blocks[number].bytes);
    close(blocks[number].fd);
    std::puts("dropped");
    std::fflush(stdout);
  }
  return 0;
}
