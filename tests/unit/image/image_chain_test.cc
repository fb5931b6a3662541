#include "image/image_chain.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <map>

#include "base/handles.h"
#include "fmt/format.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

namespace vmattest::image {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::vector<std::string> Paths(const std::vector<ImageLayer>& chain) {
  std::vector<std::string> paths;
  for (const ImageLayer& layer : chain) {
    paths.push_back(layer.path);
  }
  return paths;
}

TEST(ImageVectors, HaveTheHeadersThatQemuImgReports) {
  VMATTEST_REQUIRE_VECTORS(folder, "disk-images");
  size_t checked = 0;
  const auto rows =
      Split(vmattest::testing::Slurp(folder / "expected.tsv"), '\n');
  for (const std::string& row : rows) {
    const auto cells = Split(row, '\t');
    if (cells.size() < 9 || cells[0] == "file") {
      continue;
    }
    const std::string content = vmattest::testing::Slurp(folder / cells[0]);
    ASSERT_OK_AND_ASSIGN(const ImageHeader header,
                         ParseImageHeader(AsBytes(content), ""));
    EXPECT_EQ(header.format, cells[1]) << cells[0];
    EXPECT_EQ(header.backing_file.value_or("-"), cells[5]) << cells[0];
    EXPECT_EQ(header.data_file.value_or("-"), cells[7]) << cells[0];
    if (header.format == "qcow2") {
      EXPECT_EQ(std::to_string(header.virtual_size), cells[2]) << cells[0];
      EXPECT_EQ(header.backing_format.value_or("-"), cells[6]) << cells[0];
    }
    ++checked;
  }
  EXPECT_GT(checked, 20u);
}

// libvirt's own reading of a chain, tests/virstoragetestdata/out.
struct LibvirtLayer {
  std::string path;
  std::string format;
  std::string type;
  std::string data_file;
};

std::vector<LibvirtLayer> ReadLibvirt(const fs::path& file,
                                      const std::string& images) {
  std::vector<LibvirtLayer> layers;
  bool data_file = false;
  for (const std::string& line : Split(vmattest::testing::Slurp(file), '\n')) {
    const size_t colon = line.find(':');
    const std::string key = line.substr(0, colon);
    std::string value =
        colon == std::string::npos ? "" : line.substr(colon + 1);
    value.erase(0, value.find_first_not_of(' '));
    const std::string marker = "ABS_SRCDIR/virstoragetestdata/images";
    if (value.compare(0, marker.size(), marker) == 0) {
      value = images + value.substr(marker.size());
    }
    if (key == "dataFileStoreSource") {
      data_file = true;
    } else if (key == "path" && data_file) {
      layers.back().data_file = value;
    } else if (key == "path") {
      layers.push_back({value, "", "", ""});
    } else if (key == "format" && !data_file) {
      layers.back().format = value;
    } else if (key == "type" && !data_file) {
      layers.back().type = value;
    }
  }
  return layers;
}

class LibvirtChain
    : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};
// Test name of libvirt = format given for the top + "-" + its image.
INSTANTIATE_TEST_SUITE_P(
    ImageVectors, LibvirtChain,
    ::testing::Values(std::pair("raw-raw", "raw"),
                      std::pair("qcow2-datafile", "qcow2"),
                      std::pair("qcow2-protocol-backing-file", "qcow2"),
                      std::pair("qcow2-qcow2_nbd-raw", "qcow2"),
                      std::pair("qcow2-qcow2_qcow2-auto", "qcow2"),
                      std::pair("qcow2-qcow2_qcow2-qcow2_qcow2-auto", "qcow2"),
                      std::pair("qcow2-qcow2_qcow2-qcow2_raw-auto", "qcow2"),
                      std::pair("qcow2-qcow2_raw-raw-relative", "qcow2"),
                      std::pair("qcow2datafile-qcow2_qcow2-datafile",
                                "qcow2")));

TEST_P(LibvirtChain, IsReadAsLibvirtReadsIt) {
  VMATTEST_REQUIRE_VECTORS(folder, "disk-images");
  const std::string images = fs::canonical(folder / "libvirt/images").string();
  const std::vector<LibvirtLayer> expected =
      ReadLibvirt(folder / "libvirt/out" / GetParam().first, images);
  ASSERT_FALSE(expected.empty());
  ASSERT_OK_AND_ASSIGN(const std::vector<ImageLayer> chain,
                       ResolveChain(expected.front().path, GetParam().second));
  ASSERT_EQ(chain.size(), expected.size());
  for (size_t i = 0; i < chain.size(); ++i) {
    EXPECT_EQ(chain[i].local, expected[i].type == "file");
    EXPECT_EQ(chain[i].format, expected[i].format);
    // libvirt leaves the data file of a top layer out that qemu-img reports
    // (ImageVectors.HaveTheHeadersThatQemuImgReports).
    if (!expected[i].data_file.empty()) {
      EXPECT_EQ(chain[i].data_file, expected[i].data_file);
    }
    if (chain[i].local) {
      EXPECT_EQ(chain[i].path, expected[i].path);
    }
  }
}

TEST(ImageVectors, SelfLoopEndsInAnErrorNamingIt) {
  VMATTEST_REQUIRE_VECTORS(folder, "disk-images");
  const fs::path image =
      fs::canonical(folder / "libvirt/images/loop-self.qcow2");
  EXPECT_THAT(ResolveChain(image.string(), "qcow2"),
              StatusIs(kInvalid, HasSubstr("loops back")));
}

TEST(ImageVectors, MissingBackingFileIsNotFound) {
  VMATTEST_REQUIRE_VECTORS(folder, "disk-images");
  TempDir dir;
  fs::copy(folder / "libvirt/images/qcow2_qcow2-auto.qcow2",
           dir.path() / "top.qcow2");
  EXPECT_THAT(ResolveChain((dir.path() / "top.qcow2").string(), "qcow2"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/qcow2")));
}

// Chains made by qemu-img itself.
class ImageChainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("qemu-img --version >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "qemu-img not found: install qemu-utils";
    }
  }
  [[nodiscard]] std::string At(const std::string& name) const {
    return (dir_.path() / name).string();
  }
  void QemuImg(const std::string& arguments) {
    const std::string command =
        fmt::format("cd {} && qemu-img {} >/dev/null 2>qemu-img.err",
                    dir_.path().string(), arguments);
    ASSERT_EQ(std::system(command.c_str()), 0)
        << arguments << vmattest::testing::Slurp(dir_.path() / "qemu-img.err");
  }
  // -u: the backing file is neither opened nor checked.
  void Overlay(const std::string& name, const std::string& backing,
               const std::string& format = "qcow2",
               const std::string& options = "") {
    QemuImg(fmt::format("create -u -f qcow2 {} -b '{}' -F {} {} 1M", options,
                        backing, format, name));
  }

  TempDir dir_;
};

TEST_F(ImageChainTest, FollowsRelativeNamesFromTheFolderOfTheLayer) {
  fs::create_directories(dir_.path() / "base");
  QemuImg("create -f raw base/bottom.raw 1M");
  Overlay("base/middle.qcow2", "bottom.raw", "raw");
  Overlay("top.qcow2", "base/middle.qcow2");
  ASSERT_OK_AND_ASSIGN(const auto chain,
                       ResolveChain(At("top.qcow2"), "qcow2"));
  EXPECT_THAT(Paths(chain),
              ElementsAre(At("top.qcow2"), At("base/middle.qcow2"),
                          At("base/bottom.raw")));
  EXPECT_EQ(chain[2].format, "raw");
  EXPECT_FALSE(chain[2].probed);
}

TEST_F(ImageChainTest, ResolvesAgainstTheNameOfALinkNotItsTarget) {
  fs::create_directories(dir_.path() / "elsewhere");
  QemuImg("create -f raw bottom.raw 1M");
  Overlay("elsewhere/real.qcow2", "bottom.raw", "raw");
  fs::create_symlink(At("elsewhere/real.qcow2"), At("link.qcow2"));
  ASSERT_OK_AND_ASSIGN(const auto chain,
                       ResolveChain(At("link.qcow2"), "qcow2"));
  EXPECT_THAT(Paths(chain), ElementsAre(At("link.qcow2"), At("bottom.raw")));
}

TEST_F(ImageChainTest, StripsTheFilePrefix) {
  QemuImg("create -f raw bottom.raw 1M");
  Overlay("relative.qcow2", "file:bottom.raw", "raw");
  ASSERT_OK_AND_ASSIGN(const auto relative,
                       ResolveChain(At("relative.qcow2"), "qcow2"));
  EXPECT_EQ(relative.back().path, At("bottom.raw"));
  Overlay("absolute.qcow2", "file:" + At("bottom.raw"), "raw");
  ASSERT_OK_AND_ASSIGN(const auto absolute,
                       ResolveChain(At("absolute.qcow2"), "qcow2"));
  EXPECT_EQ(absolute.back().path, At("bottom.raw"));
}

TEST_F(ImageChainTest, ReportsWhatIsNotALocalFileAndEndsThere) {
  for (const std::string spec :
       {"json:{\"driver\":\"nbd\",\"host\":\"example.org\"}",
        "nbd://example.org/export", "nbd:unix:/run/socket:exportname=x",
        "rbd:pool/image", "http://example.org/disk.qcow2",
        "json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}"}) {
    Overlay("top.qcow2", spec, "raw");
    ASSERT_OK_AND_ASSIGN(const auto chain,
                         ResolveChain(At("top.qcow2"), "qcow2"));
    ASSERT_THAT(chain, SizeIs(2)) << spec;
    EXPECT_FALSE(chain[1].local);
    EXPECT_EQ(chain[1].path, spec);
    fs::remove(At("top.qcow2"));
  }
}

// A server that would notice: nothing may knock.
TEST_F(ImageChainTest, NeverContactsANetworkLayer) {
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const UniqueFd owned(listener);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  At("nbd.sock").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address),
                 sizeof address),
            0);
  ASSERT_EQ(listen(listener, 1), 0);
  Overlay("top.qcow2", "nbd:unix:" + At("nbd.sock"), "raw");
  EXPECT_THAT(ResolveChain(At("top.qcow2"), "qcow2"), IsOk());
  EXPECT_EQ(accept(listener, nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ImageChainTest, KeepsATopPathWithAColonAPath) {
  QemuImg("create -f raw ./plain.raw 1M");
  fs::rename(At("plain.raw"), At("nbd:disk.raw"));
  ASSERT_OK_AND_ASSIGN(const auto chain,
                       ResolveChain(At("nbd:disk.raw"), "raw"));
  EXPECT_TRUE(chain[0].local);
}

TEST_F(ImageChainTest, ProbesABackingFormatThatNobodyNames) {
  QemuImg("create -f qcow2 bottom.qcow2 1M");
  Overlay("top.qcow2", "bottom.qcow2");
  // Without its format, as old tools made them: the extension gets a number
  // that nobody knows.
  std::string image = vmattest::testing::Slurp(At("top.qcow2"));
  const size_t extension = image.find("\xe2\x79\x2a\xca");
  ASSERT_NE(extension, std::string::npos);
  image[extension] = '\x12';
  dir_.Write("top.qcow2", image);
  ASSERT_OK_AND_ASSIGN(const auto chain,
                       ResolveChain(At("top.qcow2"), "qcow2"));
  EXPECT_EQ(chain[1].format, "qcow2");
  EXPECT_TRUE(chain[1].probed);
  EXPECT_FALSE(chain[0].probed);
}

TEST_F(ImageChainTest, BelievesTheNamedFormatOverTheContent) {
  QemuImg("create -f qcow2 secret.qcow2 1M");
  Overlay("inner.qcow2", "secret.qcow2");
  Overlay("top.qcow2", "inner.qcow2", "raw");
  ASSERT_OK_AND_ASSIGN(const auto chain,
                       ResolveChain(At("top.qcow2"), "qcow2"));
  EXPECT_THAT(Paths(chain), ElementsAre(At("top.qcow2"), At("inner.qcow2")));
  ASSERT_OK_AND_ASSIGN(const auto raw, ResolveChain(At("top.qcow2"), "raw"));
  EXPECT_THAT(raw, SizeIs(1));
}

TEST_F(ImageChainTest, FindsLoopsOfTwo) {
  Overlay("a.qcow2", "b.qcow2");
  Overlay("b.qcow2", "a.qcow2");
  EXPECT_THAT(ResolveChain(At("a.qcow2"), "qcow2"),
              StatusIs(kInvalid, HasSubstr("loops back")));
}

TEST_F(ImageChainTest, FindsLoopsThroughHardLinks) {
  Overlay("a.qcow2", "other-name.qcow2");
  fs::create_hard_link(At("a.qcow2"), At("other-name.qcow2"));
  EXPECT_THAT(ResolveChain(At("a.qcow2"), "qcow2"),
              StatusIs(kInvalid, HasSubstr("other-name.qcow2")));
}

TEST_F(ImageChainTest, EndsAtSixtyFourLayers) {
  Overlay("0.qcow2", "missing.qcow2");
  const std::string header = vmattest::testing::Slurp(At("0.qcow2"));
  for (int i = 1; i <= 65; ++i) {
    std::string copy = header;
    const std::string next = i == 65 ? "" : fmt::format("{}.qcow2", i);
    const size_t at = copy.find("missing.qcow2");
    ASSERT_NE(at, std::string::npos);
    copy.replace(at, next.size(), next);
    copy[19] = static_cast<char>(next.size());  // backing_file_size
    dir_.Write(fmt::format("{}.qcow2", i - 1), copy);
  }
  EXPECT_THAT(ResolveChain(At("0.qcow2"), "qcow2"),
              StatusIs(kInvalid, HasSubstr("64 layers")));
  ASSERT_OK_AND_ASSIGN(const auto chain, ResolveChain(At("1.qcow2"), "qcow2"));
  EXPECT_THAT(chain, SizeIs(64));
}

TEST_F(ImageChainTest, ReadsHeadersOfEveryClusterSize) {
  for (const char* size : {"512", "65536", "2M"}) {
    Overlay("top.qcow2", "missing.raw", "raw",
            fmt::format("-o cluster_size={}", size));
    EXPECT_THAT(
        ResolveChain(At("top.qcow2"), "qcow2"),
        StatusIs(absl::StatusCode::kNotFound, HasSubstr(At("missing.raw"))))
        << size;
    fs::remove(At("top.qcow2"));
  }
}

TEST_F(ImageChainTest, RejectsWhatIsNoFile) {
  EXPECT_THAT(ResolveChain(dir_.path().string(), "raw"),
              StatusIs(kInvalid, HasSubstr("a folder")));
  EXPECT_THAT(ResolveChain("relative.qcow2", "qcow2"),
              StatusIs(kInvalid, HasSubstr("not absolute")));
  EXPECT_THAT(ResolveChain("", "qcow2"), StatusIs(kInvalid));
  Overlay("top.qcow2", "/dev/zero", "raw");
  EXPECT_THAT(ResolveChain(At("top.qcow2"), "qcow2"),
              StatusIs(kInvalid, HasSubstr("a character device")));
}

TEST_F(ImageChainTest, NamesTheLayerWhoseHeaderIsBad) {
  dir_.Write("bad.qcow2", "no qcow2 at all");
  Overlay("top.qcow2", "bad.qcow2");
  EXPECT_THAT(ResolveChain(At("top.qcow2"), "qcow2"),
              StatusIs(kInvalid, HasSubstr("layer 1 of " + At("top.qcow2") +
                                           ": " + At("bad.qcow2"))));
}

TEST_F(ImageChainTest, ResolvesTheDataFileBesideTheImage) {
  QemuImg("create -f qcow2 -o data_file=" + At("payload.raw") +
          ",data_file_raw=on top.qcow2 1M");
  ASSERT_OK_AND_ASSIGN(const auto chain,
                       ResolveChain(At("top.qcow2"), "qcow2"));
  EXPECT_EQ(chain[0].data_file, At("payload.raw"));
  EXPECT_TRUE(chain[0].data_file_local);
}

}  // namespace
}  // namespace vmattest::image
