// One stopped guest in three formats, none of them made by us: the same pages,
// and the same registers.

#include <sys/mman.h>
#include <zlib.h>

#include <cstring>

#include "base/strict_json.h"
#include "crypto/digest.h"
#include "memory/stream/device_state.h"
#include "memory/stream/saved_ram.h"
#include "support/matchers.h"
#include "support/migration_stream.h"
#include "support/vectors.h"

namespace vmattest::memory {
namespace {

using testing::IsOk;
using testing::MemoryStream;
using testing::Slurp;

constexpr size_t kPages = 512;

template <class T>
T At(std::string_view bytes, size_t offset) {
  T value;
  if (offset + sizeof value > bytes.size()) {
    throw std::out_of_range("a file that is cut off");
  }
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string PageDigest(std::string_view page) {
  return ToHex(Hash(HashAlgorithm::kSha256, AsBytes(page)));
}

// ELF-64's program headers: where physical address 0 is, and the notes.
struct Segment {
  uint32_t type = 0;
  uint64_t offset = 0, physical = 0, size = 0;
};
std::vector<Segment> Segments(std::string_view elf) {
  std::vector<Segment> segments;
  const auto table = At<uint64_t>(elf, 32);
  for (uint16_t i = 0; i < At<uint16_t>(elf, 56); ++i) {
    const size_t header = table + i * size_t{56};
    segments.push_back(
        {At<uint32_t>(elf, header), At<uint64_t>(elf, header + 8),
         At<uint64_t>(elf, header + 24), At<uint64_t>(elf, header + 32)});
  }
  return segments;
}

uint64_t BigEndianAt(std::string_view bytes, size_t offset) {
  return ByteReader(AsBytes(bytes.substr(offset, 8))).U64();
}

// makedumpfile's flattened format: pieces of a file, each with its place.
std::string Unflatten(std::string_view flat) {
  std::string file;
  for (size_t at = 4096;;) {
    const uint64_t offset = BigEndianAt(flat, at);
    const uint64_t size = BigEndianAt(flat, at + 8);
    if (offset == UINT64_MAX) {
      return file;
    }
    file.resize(std::max<size_t>(file.size(), offset + size));
    file.replace(offset, size, flat.substr(at + 16, size));
    at += 16 + size;
  }
}

// makedumpfile's format: a bitmap, a descriptor for each page in it, pages.
std::vector<std::string> KdumpDigests(std::string_view dump) {
  constexpr uint32_t kZlib = 1;
  const auto block = At<uint32_t>(dump, 428);
  const auto sub_header = At<uint32_t>(dump, 432);
  const auto bitmap = At<uint32_t>(dump, 436);
  const size_t second =
      (1 + sub_header) * size_t{block} + bitmap / 2 * size_t{block};
  size_t descriptor = (1 + sub_header + bitmap) * size_t{block};
  std::vector<std::string> digests;
  for (size_t page = 0; page < kPages; ++page) {
    if ((At<uint8_t>(dump, second + page / 8) >> (page % 8) & 1) == 0) {
      digests.emplace_back();
      continue;
    }
    const auto offset = At<uint64_t>(dump, descriptor);
    const auto size = At<uint32_t>(dump, descriptor + 8);
    const auto flags = At<uint32_t>(dump, descriptor + 12);
    descriptor += 24;
    std::string bytes(dump.substr(offset, size));
    if ((flags & kZlib) != 0) {
      std::string page_bytes(kPageSize, '\0');
      uLongf length = kPageSize;
      EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(page_bytes.data()), &length,
                           reinterpret_cast<const Bytef*>(bytes.data()),
                           bytes.size()),
                Z_OK);
      bytes = page_bytes;
    }
    digests.push_back(PageDigest(bytes));
  }
  return digests;
}

TEST(GuestFormats, GiveTheSamePagesAndRegisters) {
  VMATTEST_REQUIRE_VECTORS(folder, "guest-memory");
  const std::filesystem::path guest = folder / "tiny-2m";
  ASSERT_OK_AND_ASSIGN(const nlohmann::json expected,
                       ParseStrictJson(Slurp(guest / "expected.json")));
  const auto digests = expected["page_sha256"].get<std::vector<std::string>>();
  ASSERT_EQ(digests.size(), kPages);

  const std::string elf = Slurp(guest / "guest.elf");
  const std::vector<Segment> segments = Segments(elf);
  const auto ram = std::find_if(
      segments.begin(), segments.end(),
      [](const Segment& s) { return s.type == 1 && s.physical == 0; });
  const auto notes = std::find_if(segments.begin(), segments.end(),
                                  [](const Segment& s) { return s.type == 4; });
  ASSERT_NE(ram, segments.end());
  ASSERT_NE(notes, segments.end());
  const std::vector<std::string> kdump =
      KdumpDigests(Unflatten(Slurp(guest / "guest.kdump-zlib")));

  DomainMemory domain;
  domain.machine = "pc-i440fx-7.2";
  domain.arch = "x86_64";
  domain.boot_bytes = kPages * kPageSize;
  ASSERT_OK_AND_ASSIGN(const RamLayout layout, LayOut(domain));
  UniqueFd file(memfd_create("saved", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(file.get(), kPages * kPageSize), 0);
  SavedRam kept(UniqueFd(dup(file.get())), layout.blocks, domain.boot_bytes);
  const std::string migration = Slurp(guest / "guest.migration");
  MemoryStream stream(AsBytes(migration));
  ASSERT_OK_AND_ASSIGN(const SavedState state, ReadSavedState(stream, kept));
  ASSERT_THAT(kept.Finish(), IsOk());
  EXPECT_EQ(state.machine, "pc-i440fx-7.2");
  EXPECT_EQ(kept.bytes(),
            expected["nonzero_pages"].get<uint64_t>() * kPageSize);
  SavedMemory memory(std::move(file), layout, true);

  size_t compared = 0;
  for (const AddressRange& range : memory.ram()) {
    for (uint64_t at = range.begin; at < range.end; at += kPageSize) {
      std::string page(kPageSize, '\0');
      ASSERT_THAT(memory.ReadAt(
                      at, {reinterpret_cast<uint8_t*>(page.data()), kPageSize}),
                  IsOk());
      const size_t number = at / kPageSize;
      EXPECT_EQ(PageDigest(page), digests[number]) << number;
      EXPECT_EQ(PageDigest(elf.substr(ram->offset + at, kPageSize)),
                digests[number])
          << number;
      EXPECT_EQ(kdump[number], digests[number]) << number;
      ++compared;
    }
  }
  EXPECT_EQ(compared, kPages - 32) << "all but the video memory's window";

  // The ELF file has registers too, in QEMU's own note.
  ASSERT_OK_AND_ASSIGN(const std::vector<VcpuState> vcpus,
                       ReadVcpuStates(state.devices));
  ASSERT_EQ(vcpus.size(), 1U);
  const size_t name = elf.find(std::string_view("QEMU\0", 5), notes->offset);
  ASSERT_NE(name, std::string::npos);
  // target/i386/arch_dump.c: QEMUCPUState. Segments have 24 bytes.
  const size_t cpu = name + 8;
  const size_t gdt = cpu + 8 + 18 * 8 + 8 * 24;
  const size_t cr = gdt + 2 * 24;
  const auto table = [&](size_t at) {
    return VcpuState::Table{At<uint64_t>(elf, at + 16),
                            static_cast<uint16_t>(At<uint32_t>(elf, at + 4))};
  };
  EXPECT_EQ(vcpus[0].gdtr, table(gdt));
  EXPECT_EQ(vcpus[0].idtr, table(gdt + 24));
  EXPECT_EQ(vcpus[0].cr0, At<uint64_t>(elf, cr));
  EXPECT_EQ(vcpus[0].cr3, At<uint64_t>(elf, cr + 24));
  EXPECT_EQ(vcpus[0].cr4, At<uint64_t>(elf, cr + 32));
  EXPECT_NE(vcpus[0].cr0, 0U);
}

}  // namespace
}  // namespace vmattest::memory
