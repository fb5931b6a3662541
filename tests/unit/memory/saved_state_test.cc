#include "memory/stream/saved_state.h"

#include <sys/mman.h>

#include "fmt/format.h"
#include "memory/stream/device_state.h"
#include "memory/stream/saved_ram.h"
#include "support/matchers.h"
#include "support/migration_stream.h"
#include "support/save_image.h"

namespace vmattest::memory {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::MemoryStream;
using testing::MigrationWriter;
using testing::StatusIs;

constexpr uint64_t kRam = 2u << 20;
constexpr std::string_view kNoDevices("\0", 1);

RamLayout Layout() {
  DomainMemory domain;
  domain.machine = "pc-q35-7.2";
  domain.arch = "x86_64";
  domain.boot_bytes = kRam;
  return LayOut(domain).value();
}

// A stream with two pages of RAM, one of a ROM, one device and a vCPU.
MigrationWriter Small() {
  MigrationWriter writer;
  writer.Begin().Configuration().Start().Total(kRam + 4096);
  writer.Block("pc.ram", kRam).Block("rom", 4096).EndOfSection();
  writer.Part(2).Page("pc.ram", 0x1000, 1).Page("", 0x2000, 2);
  writer.Page("rom", 0, 9).EndOfSection();
  writer.Part(3).Page("pc.ram", 0x1000, 3).EndOfSection();
  return writer;
}
constexpr std::string_view kCpu =
    R"({"page_size":4096,"devices":[)"
    R"({"name":"timer","instance_id":0,"fields":[{"name":"a","size":3}]},)"
    R"({"name":"cpu","instance_id":1,"fields":[)"
    R"({"name":"env.lstar","type":"uint64","size":8},)"
    R"({"name":"env.idt","type":"struct","struct":{"fields":[)"
    R"({"name":"limit","size":4},{"name":"base","size":8}]},"size":12},)"
    R"({"name":"env.dr","array_len":8,"size":8}]}]})";
Bytes CpuFields() {
  ByteWriter fields;
  fields.U64(0xffffffff81000080).U32(0xfff).U64(0xfffffe0000000000);
  for (uint64_t i = 0; i < 8; ++i) {
    fields.U64(0x100 + i);
  }
  return std::move(fields).Take();
}
MigrationWriter WithDevices() {
  MigrationWriter writer = Small();
  writer.Device("timer", 0, Bytes(3)).Device("cpu", 1, CpuFields());
  writer.Description(kCpu);
  return writer;
}

struct Kept {
  absl::Status status;
  SavedState state;
  std::unique_ptr<SavedMemory> memory;
  uint64_t bytes = 0;
};
Kept Keep(ByteView bytes, uint64_t most = kRam,
          const SavedStateLimits& limits = {}, size_t step = SIZE_MAX) {
  const RamLayout layout = Layout();
  UniqueFd file(memfd_create("saved", MFD_CLOEXEC));
  EXPECT_EQ(ftruncate(file.get(), kRam), 0);
  SavedRam ram(UniqueFd(dup(file.get())), layout.blocks, most);
  MemoryStream stream(bytes, step);
  absl::StatusOr<SavedState> state = ReadSavedState(stream, ram, limits);
  Kept kept;
  kept.status = state.ok() ? ram.Finish() : state.status();
  if (kept.status.ok()) {
    kept.state = *std::move(state);
    kept.memory = std::make_unique<SavedMemory>(std::move(file), layout, true);
    kept.bytes = ram.bytes();
  }
  return kept;
}
uint8_t ByteAt(SavedMemory& memory, uint64_t address) {
  uint8_t byte = 0xff;
  EXPECT_THAT(memory.ReadAt(address, {&byte, 1}), IsOk());
  return byte;
}

TEST(SavedState, KeepsTheLastOfEachPageAndNothingButRam) {
  for (const size_t step : {SIZE_MAX, size_t{7}}) {
    const Bytes stream = WithDevices().bytes();
    Kept kept = Keep(stream, kRam, {}, step);
    ASSERT_THAT(kept.status, IsOk());
    EXPECT_EQ(kept.state.machine, "pc-q35-7.2");
    EXPECT_EQ(kept.state.pages, 4U);
    EXPECT_EQ(kept.state.bytes, stream.size());
    EXPECT_EQ(kept.bytes, 2 * kPageSize);
    EXPECT_EQ(ByteAt(*kept.memory, 0), 0);
    EXPECT_EQ(ByteAt(*kept.memory, 0x1fff), 3);
    EXPECT_EQ(ByteAt(*kept.memory, 0x2000), 2);
    uint8_t byte = 0;
    EXPECT_THAT(kept.memory->ReadAt(0xA0000, {&byte, 1}),
                StatusIs(absl::StatusCode::kOutOfRange));
  }
}

TEST(SavedState, PageThatBecameZeroIsZero) {
  MigrationWriter writer;
  writer.Begin().Configuration().Start().Total(kRam).Block("pc.ram", kRam);
  writer.EndOfSection().Part(3).Page("pc.ram", 0x5000, 1);
  writer.Zero("pc.ram", 0x5000).EndOfSection().Raw(kNoDevices);
  Kept kept = Keep(writer.bytes());
  ASSERT_THAT(kept.status, IsOk());
  EXPECT_EQ(ByteAt(*kept.memory, 0x5000), 0);
}

TEST(SavedState, StandsBehindLibvirtsHeaderAndBeforeItsSecondOne) {
  const Bytes stream = WithDevices().bytes();
  const std::string image = testing::SaveImage(
      "6d1c7c2e-3f0e-4ea9-8a6a-0a7b1f4f0001", AsText(stream), false);
  std::string trailer = image.substr(0, 92);
  trailer.replace(0, 16, "LibvirtQemudSave");
  Kept kept = Keep(AsBytes(image + trailer));
  ASSERT_THAT(kept.status, IsOk());
  EXPECT_THAT(ReadVcpuStates(kept.state.devices), IsOk());
  std::string compressed = image;
  compressed[16 + 12] = 1;
  EXPECT_THAT(Keep(AsBytes(compressed)).status,
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("snapshot_image_format")));
}

TEST(SavedState, RegistersAreReadByTheNamesThatQemuGives) {
  const Kept kept = Keep(WithDevices().bytes());
  ASSERT_THAT(kept.status, IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<VcpuState> vcpus,
                       ReadVcpuStates(kept.state.devices));
  ASSERT_EQ(vcpus.size(), 1U);
  EXPECT_EQ(vcpus[0].lstar, 0xffffffff81000080);
  EXPECT_EQ(vcpus[0].idtr, (VcpuState::Table{0xfffffe0000000000, 0xfff}));
  EXPECT_EQ((*vcpus[0].dr)[7], 0x107U);
  EXPECT_EQ((*vcpus[0].dr)[4], 0U);
  EXPECT_EQ(vcpus[0].cr3, std::nullopt) << "it was not described";
}

TEST(SavedState, DevicesThatAreNotAsDescribedAreRefusedByName) {
  const auto read = [](const MigrationWriter& writer) {
    const Kept kept = Keep(writer.bytes());
    EXPECT_THAT(kept.status, IsOk());
    return ReadVcpuStates(kept.state.devices).status();
  };
  EXPECT_THAT(read(Small().Device("timer", 0, Bytes(4)).Description(kCpu)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("device 'timer'")));
  EXPECT_THAT(
      read(Small()
               .Device("timer", 0, Bytes(3))
               .Device("cpu", 2, CpuFields())
               .Description(kCpu)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("device 'cpu'")));
  EXPECT_THAT(read(Small()
                       .Device("timer", 0, Bytes(3))
                       .Device("cpu", 1, CpuFields())
                       .Device("extra", 0, Bytes(1))
                       .Description(kCpu)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("nothing describes")));
  EXPECT_THAT(read(Small().Raw(kNoDevices)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(read(Small().Description(R"({"devices":[]})")),
              StatusIs(absl::StatusCode::kNotFound));
  // Sizes whose sum is past 64 bits.
  EXPECT_THAT(
      read(
          Small()
              .Device("timer", 0, {})
              .Description(
                  R"({"devices":[{"name":"timer","instance_id":0,"fields":[)"
                  R"({"name":"a","size":8,"array_len":2305843009213693952}]}]})")),
      StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SavedState, EveryCutOfAStreamIsAnAnswer) {
  const Bytes whole = WithDevices().bytes();
  const size_t memory = Small().bytes().size();
  for (size_t size = 0; size < memory; size += size < 200 ? 1 : 61) {
    const Kept kept = Keep(ByteView(whole).first(size));
    EXPECT_THAT(kept.status, StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
  for (size_t size = memory; size < whole.size(); ++size) {
    const Kept kept = Keep(ByteView(whole).first(size));
    EXPECT_FALSE(kept.status.ok() && ReadVcpuStates(kept.state.devices).ok());
  }
}

TEST(SavedState, RefusesWhatItDoesNotRead) {
  const auto started = [] {
    MigrationWriter writer;
    writer.Begin().Configuration().Start().Total(kRam);
    writer.Block("pc.ram", kRam).EndOfSection();
    return writer;
  };
  const auto status = [](const MigrationWriter& writer) {
    return Keep(writer.bytes()).status;
  };
  const auto unimplemented = absl::StatusCode::kUnimplemented;
  const auto invalid = absl::StatusCode::kInvalidArgument;
  // XBZRLE, a hook, compressed pages, several channels.
  for (const uint64_t flag : {0x40, 0x80, 0x100, 0x200}) {
    EXPECT_THAT(status(started().Part(2).Word(flag)), StatusIs(unimplemented));
  }
  EXPECT_THAT(status(started().Raw(std::string_view("\x08\0\x04\0\0", 5))),
              StatusIs(unimplemented, HasSubstr("post-copy")));
  EXPECT_THAT(status(MigrationWriter().Begin().Configuration().Start("vfio")),
              StatusIs(unimplemented, HasSubstr("'vfio'")));
  EXPECT_THAT(status(started().Device("early", 0, {})),
              StatusIs(unimplemented, HasSubstr("0x04")));
  EXPECT_THAT(status(started().Part(2).Page("pc.rom", 0, 1)),
              StatusIs(invalid, HasSubstr("pc.rom")));
  EXPECT_THAT(status(started().Part(2).Page("", 0, 1)), StatusIs(invalid));
  EXPECT_THAT(status(started().Part(2).Page("pc.ram", kRam, 1)),
              StatusIs(invalid));
  EXPECT_THAT(status(started().Start()), StatusIs(invalid));
  EXPECT_THAT(status(started().Part(2).Total(4096).Block("b", 4096)),
              StatusIs(invalid, HasSubstr("twice")));
  EXPECT_THAT(Keep(AsBytes("ELF and nothing else")).status, StatusIs(invalid));
}

TEST(SavedState, BlocksOfAnotherSizeAndMissingOnesAreNamed) {
  MigrationWriter smaller;
  smaller.Begin().Configuration().Start().Total(4096).Block("pc.ram", 4096);
  EXPECT_THAT(Keep(smaller.bytes()).status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("ram-block: 'pc.ram'")));
  MigrationWriter other;
  other.Begin().Configuration().Start().Total(4096).Block("rom", 4096);
  other.EndOfSection().Part(3).EndOfSection().Raw(kNoDevices);
  EXPECT_THAT(Keep(other.bytes()).status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("did not come")));
}

TEST(SavedState, LimitsHold) {
  const Bytes stream = WithDevices().bytes();
  const auto exhausted = absl::StatusCode::kResourceExhausted;
  EXPECT_THAT(Keep(stream, kPageSize).status, StatusIs(exhausted));
  SavedStateLimits limits;
  limits.stream_bytes = 5000;
  EXPECT_THAT(Keep(stream, kRam, limits).status, StatusIs(exhausted));
  limits = {};
  limits.device_bytes = 100;
  EXPECT_THAT(Keep(stream, kRam, limits).status, StatusIs(exhausted));
  limits = {};
  limits.blocks = 1;
  EXPECT_THAT(Keep(stream, kRam, limits).status, StatusIs(exhausted));
}

TEST(SavedRam, FindsNumaCellsAndDimmsByQemusNames) {
  const RamLayout layout{{{"cell0", 4096}, {"cell1", 4096}, {"dimm0", 4096}},
                         {{{0, 4096}, 0, 0},
                          {{4096, 8192}, 1, 0},
                          {{1 << 20, (1 << 20) + 4096}, 2, 0}},
                         {}};
  UniqueFd file(memfd_create("saved", MFD_CLOEXEC));
  ASSERT_EQ(SavedRamBytes(layout.blocks), 3 * 4096U);
  ASSERT_EQ(ftruncate(file.get(), 3 * 4096), 0);
  SavedRam ram(UniqueFd(dup(file.get())), layout.blocks, kRam);
  ASSERT_THAT(ram.OnBlock("memdimm0", 4096), IsOk());
  ASSERT_THAT(ram.OnBlock("vga.vram", 8192), IsOk());
  ASSERT_THAT(ram.OnBlock("ram-node1", 4096), IsOk());
  ASSERT_THAT(ram.OnBlock("/objects/ram-node0", 4096), IsOk());
  for (const size_t block : {0, 1, 2, 3}) {
    ASSERT_THAT(
        ram.OnPage(block, 0, Bytes(4096, static_cast<uint8_t>(block + 1))),
        IsOk());
  }
  ASSERT_THAT(ram.Finish(), IsOk());
  SavedMemory memory(std::move(file), layout, true);
  EXPECT_EQ(ByteAt(memory, 0), 4);
  EXPECT_EQ(ByteAt(memory, 4096), 3);
  EXPECT_EQ(ByteAt(memory, 1 << 20), 1);
}

}  // namespace
}  // namespace vmattest::memory
