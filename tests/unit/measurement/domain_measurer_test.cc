#include "measurement/domain_measurer.h"

#include <filesystem>

#include "base/executor.h"
#include "crypto/digest.h"
#include "evidence/config_tree.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/vectors.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::StartsWith;
using testing::StatusIs;
using testing::TempDir;

// Reads the test's own files whole; says of those outside its folder, which
// belong to this machine, that they are not there.
class FolderDigester final : public image::ContentDigester {
 public:
  explicit FolderDigester(std::filesystem::path folder)
      : folder_(std::move(folder)) {}

  absl::StatusOr<image::ContentDigest> Digest(const Request& request) override {
    if (request.path.rfind(folder_.string(), 0) != 0) {
      return absl::NotFoundError(request.path + ": not of this test");
    }
    ASSIGN_OR_RETURN(const Bytes content, ReadFile(request.path, 1U << 20));
    return image::ContentDigest{.digest = Hash(request.algorithm, content),
                                .size = content.size()};
  }

 private:
  static absl::StatusOr<Bytes> ReadFile(const std::string& path, size_t max) {
    if (!std::filesystem::exists(path)) {
      return absl::NotFoundError(path + ": No such file or directory");
    }
    const std::string text = testing::Slurp(path);
    if (text.size() > max) {
      return absl::InvalidArgumentError(path + ": too large");
    }
    return ToBytes(text);
  }

  std::filesystem::path folder_;
};

// A qcow2 header of version 2 that names `backing`.
std::string Qcow2(std::string_view backing) {
  ByteWriter writer;
  writer.U32(0x514649fb).U32(2);
  writer.U64(backing.empty() ? 0 : 72).U32(backing.size());
  writer.U32(16).U64(1 << 20).U32(0).U32(1);
  writer.U64(0x30000).U64(0x10000).U32(1).U32(0).U64(0);
  writer.Raw(backing);
  std::string image(AsText(writer.bytes()));
  image.resize(0x40000);
  return image;
}

class DomainMeasurerTest : public ::testing::Test {
 protected:
  DomainMeasurerTest() : digester_(dir_.path()) {}

  std::string File(std::string_view name, std::string_view content = "x") {
    return dir_.Write(name, content).string();
  }
  absl::StatusOr<DomainMeasurement> Measure(
      const std::string& xml, ContentPolicy content = ContentPolicy::kFull) {
    MeasureOptions options;
    options.content = content;
    return DomainMeasurer(digester_, nullptr).Measure(xml, options);
  }
  std::string Leaf(const std::string& xml, std::string_view path,
                   ContentPolicy content = ContentPolicy::kFull) {
    const auto measured = Measure(xml, content);
    EXPECT_THAT(measured, IsOk());
    return measured.ok() ? LeafOf(measured->tree.leaves, path) : "";
  }
  static std::string DigestOf(std::string_view content) {
    return "digest sha256:" +
           ToHex(Hash(HashAlgorithm::kSha256, AsBytes(content)));
  }
  static std::string Boot(std::string_view os) {
    return fmt::format(
        "<domain type='kvm'><name>web</name><os>{}</os></domain>", os);
  }
  static std::string Disk(std::string_view file,
                          std::string_view format = "raw",
                          std::string_view more = "") {
    return DomainWith(
        fmt::format("<disk type='file'><driver type='{}'/><source file='{}'/>"
                    "<target dev='vda'/>{}</disk>",
                    format, file, more));
  }

  TempDir dir_;
  FolderDigester digester_;
};

TEST_F(DomainMeasurerTest, S18_BootFilesAreLeaves) {
  const std::string xml = Boot(fmt::format(
      "<loader>{}</loader><nvram template='{}'>{}</nvram><kernel>{}</kernel>"
      "<initrd>{}</initrd><dtb>{}</dtb><acpi><table type='slic'>{}</table>"
      "</acpi>",
      File("loader", "1"), File("template", "2"), File("nvram", "3"),
      File("kernel", "4"), File("initrd", "5"), File("dtb", "6"),
      File("slic", "7")));
  EXPECT_EQ(Leaf(xml, "os/loader/content"), DigestOf("1"));
  EXPECT_EQ(Leaf(xml, "os/nvram/template/content"), DigestOf("2"));
  EXPECT_EQ(Leaf(xml, "os/nvram/content"), DigestOf("3"));
  EXPECT_EQ(Leaf(xml, "os/kernel/content"), DigestOf("4"));
  EXPECT_EQ(Leaf(xml, "os/initrd/content"), DigestOf("5"));
  EXPECT_EQ(Leaf(xml, "os/dtb/content"), DigestOf("6"));
  EXPECT_EQ(Leaf(xml, "os/acpi/table/content"), DigestOf("7"));
}

TEST_F(DomainMeasurerTest, S18_ProgramsBesideTheGuestAreLeaves) {
  const std::string xml = DomainWith(fmt::format(
      "<emulator>{}</emulator><filesystem><binary path='{}'/>"
      "<target dir='t'/></filesystem><interface><rom file='{}'/></interface>",
      File("qemu", "q"), File("virtiofsd", "v"), File("rom", "r")));
  EXPECT_EQ(Leaf(xml, "emulator/content"), DigestOf("q"));
  EXPECT_EQ(Leaf(xml, "filesystem[t]/binary/content"), DigestOf("v"));
  EXPECT_EQ(Leaf(xml, "interface/rom/content"), DigestOf("r"));
  EXPECT_EQ(Leaf(xml, "host/qemu.conf/content"), "unavailable absent");
}

TEST_F(DomainMeasurerTest, S18_ProgramsThatLibvirtFindsAreLeaves) {
  EXPECT_THAT(Measure(DomainWith("<tpm><backend type='emulator'/></tpm>")),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(StartsWith("tpm/emulator/content: "),
                             HasSubstr("swtpm"))));
  EXPECT_THAT(Measure(DomainWith("<filesystem><driver type='virtiofs'/>"
                                 "<target dir='t'/></filesystem>")),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(StartsWith("filesystem[t]/binary/content: "),
                             HasSubstr("virtiofsd"))));
  EXPECT_THAT(Measure(DomainWith("<tpm><backend type='passthrough'/></tpm>")),
              IsOk());
}

TEST_F(DomainMeasurerTest, FilesHandedToFirmwareAreLeaves) {
  EXPECT_EQ(Leaf(DomainWith("", fmt::format("<sysinfo type='fwcfg'><entry "
                                            "name='opt/a' file='{}'/>"
                                            "</sysinfo>",
                                            File("fw", "f"))),
                 "sysinfo[fwcfg]/entry[opt/a]/content"),
            DigestOf("f"));
}

TEST_F(DomainMeasurerTest, MissingFileIsAnErrorThatNamesLeafAndFile) {
  EXPECT_THAT(Measure(Boot("<kernel>/nowhere/vmlinuz</kernel>")),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(StartsWith("os/kernel/content: "),
                             HasSubstr("/nowhere/vmlinuz"))));
}

TEST_F(DomainMeasurerTest, NvramBeforeTheFirstStartIsAbsent) {
  EXPECT_EQ(Leaf(Boot("<nvram>/nowhere/vars.fd</nvram>"), "os/nvram/content"),
            "unavailable absent");
}

TEST_F(DomainMeasurerTest, FirmwareThatLibvirtWillChooseIsUnbound) {
  EXPECT_THAT(Leaf("<domain type='kvm'><name>w</name><os firmware='efi'/>"
                   "</domain>",
                   "os/loader/content"),
              StartsWith("unavailable unbound: libvirt chooses"));
}

TEST_F(DomainMeasurerTest, RelativePathIsUnbound) {
  EXPECT_EQ(Leaf(Boot("<loader>bios.bin</loader>"), "os/loader/content"),
            "unavailable unbound: relative path");
}

TEST_F(DomainMeasurerTest, DiskIsALayerWithContent) {
  const std::string xml = Disk(File("disk", "data"));
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[0]/file"),
            "text " + (dir_.path() / "disk").string());
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[0]/format"), "text raw");
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[0]/content"), DigestOf("data"));
}

TEST_F(DomainMeasurerTest, FullDigestsEveryLayerOfAChain) {
  const std::string base = File("base", "base");
  const std::string top = Qcow2(base);
  const std::string xml = Disk(File("top", top), "qcow2");
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[0]/content"), DigestOf(top));
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[1]/file"), "text " + base);
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[1]/content"), DigestOf("base"));
}

TEST_F(DomainMeasurerTest, ChainTakesTheIdentityOfAWritableTopOnly) {
  const std::string xml = Disk(File("top", Qcow2(File("base", "b"))), "qcow2");
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[0]/content", ContentPolicy::kChain),
            "unavailable identity only: the guest writes to it");
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[1]/content", ContentPolicy::kChain),
            DigestOf("b"));
}

TEST_F(DomainMeasurerTest, ChainDigestsReadOnlyDisks) {
  EXPECT_EQ(Leaf(Disk(File("d", "ro"), "raw", "<readonly/>"),
                 "disk[vda]/chain[0]/content", ContentPolicy::kChain),
            DigestOf("ro"));
}

TEST_F(DomainMeasurerTest, ChainNoticesAChangedBackingFile) {
  const std::string xml = Disk(File("top", Qcow2(File("base", "b"))), "qcow2");
  const auto before = Measure(xml, ContentPolicy::kChain);
  File("base", "c");
  const auto after = Measure(xml, ContentPolicy::kChain);
  ASSERT_THAT(before, IsOk());
  ASSERT_THAT(after, IsOk());
  const auto differences =
      evidence::CompareLeaves(before->tree.leaves, after->tree.leaves);
  ASSERT_EQ(differences.size(), 1U);
  EXPECT_EQ(differences[0].path, "disk[vda]/chain[1]/content");
}

TEST_F(DomainMeasurerTest, ChainOfTheXmlWinsOverTheOneOfTheImage) {
  const std::string other = File("other", "other");
  const std::string xml =
      Disk(File("top", Qcow2("/nowhere/base")), "qcow2",
           fmt::format("<backingStore type='file'><format type='raw'/>"
                       "<source file='{}'/><backingStore/></backingStore>",
                       other));
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[1]/content"), DigestOf("other"));
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[2]/file"), "");
}

TEST_F(DomainMeasurerTest, ChainBelowTheXmlsComesFromTheImages) {
  const std::string middle = File("middle", Qcow2(File("base", "base")));
  const std::string xml =
      Disk(File("top", Qcow2("/nowhere")), "qcow2",
           fmt::format("<backingStore type='file'><format type='qcow2'/>"
                       "<source file='{}'/></backingStore>",
                       middle));
  EXPECT_EQ(Leaf(xml, "disk[vda]/chain[2]/content"), DigestOf("base"));
}

TEST_F(DomainMeasurerTest, S13_LayersOnTheNetworkAreUnboundAndNeverContacted) {
  EXPECT_EQ(Leaf(Disk(File("top", Qcow2("nbd://198.51.100.1/x")), "qcow2"),
                 "disk[vda]/chain[1]/content"),
            "unavailable unbound: not a local file");
  EXPECT_EQ(
      Leaf(Disk(File("json", Qcow2("json:{\"driver\":\"nbd\"}")), "qcow2"),
           "disk[vda]/chain[1]/file"),
      "text json:{\"driver\":\"nbd\"}");
  EXPECT_EQ(Leaf(Disk(File("top2", Qcow2("")), "qcow2",
                      "<backingStore type='network'><source protocol='rbd' "
                      "name='p/i'/></backingStore>"),
                 "disk[vda]/chain[1]/content"),
            "unavailable unbound: not a local file");
}

TEST_F(DomainMeasurerTest, DisksThatAreNoFileAreNamed) {
  for (const char* type :
       {"network", "volume", "dir", "nvme", "vhostuser", "vhostvdpa"}) {
    EXPECT_EQ(Leaf(DomainWith(fmt::format("<disk type='{}'><source/>"
                                          "<target dev='vda'/></disk>",
                                          type)),
                   "disk[vda]/chain[0]/content"),
              fmt::format("unavailable unbound: {} disk", type));
  }
}

TEST_F(DomainMeasurerTest, EmptyDriveHasNoContent) {
  EXPECT_THAT(Measure(DomainWith("<disk type='file' device='cdrom'>"
                                 "<target dev='sda'/></disk>")),
              IsOk());
}

TEST_F(DomainMeasurerTest, OptionalMediumMayBeAbsent) {
  const auto cdrom = [](std::string_view policy) {
    return DomainWith(fmt::format(
        "<disk type='file' device='cdrom'><source file='/nowhere/cd.iso' {}/>"
        "<target dev='sda'/></disk>",
        policy));
  };
  EXPECT_EQ(
      Leaf(cdrom("startupPolicy='optional'"), "disk[sda]/chain[0]/content"),
      "unavailable absent");
  EXPECT_THAT(Measure(cdrom("")),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(StartsWith("disk[sda]/chain: "),
                             HasSubstr("/nowhere/cd.iso"))));
}

TEST_F(DomainMeasurerTest, LoopingChainIsAnErrorThatNamesTheDisk) {
  const std::string path = (dir_.path() / "loop").string();
  EXPECT_THAT(
      Measure(Disk(File("loop", Qcow2(path)), "qcow2")),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(StartsWith("disk[vda]/chain: "), HasSubstr("loop"))));
}

TEST_F(DomainMeasurerTest, NvdimmIsContentTheGuestWrites) {
  const std::string xml = DomainWith(fmt::format(
      "<memory model='nvdimm'><source><path>{}</path></source></memory>",
      File("nv", "n")));
  EXPECT_EQ(Leaf(xml, "memory-device/source/content"), DigestOf("n"));
  EXPECT_EQ(Leaf(xml, "memory-device/source/content", ContentPolicy::kChain),
            "unavailable identity only: the guest writes to it");
}

TEST_F(DomainMeasurerTest, SecondDevicesElementIsNotOverlooked) {
  const std::string xml = fmt::format(
      "<domain><devices/><devices><disk><source file='{}'/><target dev='vda'/>"
      "</disk></devices></domain>",
      File("d", "second"));
  EXPECT_EQ(Leaf(xml, "devices[#2]/disk[vda]/chain[0]/content"),
            DigestOf("second"));
}

TEST_F(DomainMeasurerTest, NoneOpensNothing) {
  EXPECT_THAT(Measure(Disk("/nowhere/disk", "qcow2"), ContentPolicy::kNone),
              IsOk());
  EXPECT_EQ(Leaf(Disk("/nowhere/disk"), "disk[vda]/chain[0]/file",
                 ContentPolicy::kNone),
            "");
}

TEST_F(DomainMeasurerTest, TreeRebuildsFromItsLeaves) {
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    MeasureOptions options;
    options.algorithm = algorithm;
    ASSERT_OK_AND_ASSIGN(
        const DomainMeasurement measured,
        DomainMeasurer(digester_, nullptr).Measure(Disk(File("d")), options));
    ASSERT_OK_AND_ASSIGN(
        const ConfigTree tree,
        evidence::RebuildConfigTree(algorithm, measured.tree.leaves));
    EXPECT_EQ(tree.root, measured.tree.root);
  }
}

TEST(ContentPolicy, NamesRoundTrip) {
  for (const ContentPolicy policy :
       {ContentPolicy::kFull, ContentPolicy::kChain, ContentPolicy::kNone}) {
    ASSERT_OK_AND_ASSIGN(const ContentPolicy again,
                         ParseContentPolicy(ToString(policy)));
    EXPECT_EQ(again, policy);
  }
  EXPECT_THAT(ParseContentPolicy("some"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("some")));
}

}  // namespace
}  // namespace vmattest::measurement
