#include "measurement/arrived_xml.h"

#include "base/bytes.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::measurement {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Version 2; without an extension that names the backing file's format.
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

class ArrivedXmlTest : public ::testing::Test {
 protected:
  std::string File(std::string_view name, std::string_view content) {
    return dir_.Write(name, content).string();
  }
  static std::string Arrived(const std::string& file, std::string_view format,
                             std::string_view store) {
    const absl::StatusOr<std::string> xml = AsBeforeMigration(
        fmt::format("<domain><devices><disk type='file' device='disk'>"
                    "<driver name='qemu' type='{}'/><source file='{}'/>{}"
                    "<target dev='vda'/></disk></devices></domain>",
                    format, file, store),
        image::MakeDirectHeaderParser);
    EXPECT_THAT(xml, testing::IsOk());
    return xml.value_or("");
  }
  testing::TempDir dir_;
};

TEST_F(ArrivedXmlTest, WhatTheImagesSayThemselvesIsTakenOut) {
  EXPECT_THAT(Arrived(File("raw", "d"), "raw", "<backingStore/>"),
              Not(HasSubstr("backingStore")));
  EXPECT_THAT(Arrived(File("one", Qcow2("")), "qcow2", "<backingStore/>"),
              Not(HasSubstr("backingStore")));
}

// QEMU is told what the XML says: it stays, and is a leaf that nobody approved.
TEST_F(ArrivedXmlTest, LayersThatTheImagesDoNotNameStay) {
  const std::string other = File("other", "o");
  const std::string store = fmt::format(
      "<backingStore type='file'><format type='raw'/><source file='{}'/>"
      "<backingStore/></backingStore>",
      other);
  EXPECT_THAT(Arrived(File("one", Qcow2("")), "qcow2", store),
              HasSubstr(other));
  const std::string base = File("base", "b");
  const std::string top = File("top", Qcow2(base));
  EXPECT_THAT(Arrived(top, "qcow2", store), HasSubstr(other));
  // Its backing file would not be opened.
  EXPECT_THAT(Arrived(top, "qcow2", "<backingStore/>"),
              HasSubstr("backingStore"));
}

TEST_F(ArrivedXmlTest, LayersThatCannotBeReadStay) {
  EXPECT_THAT(Arrived("/nowhere/disk", "qcow2", "<backingStore/>"),
              HasSubstr("backingStore"));
  EXPECT_THAT(Arrived(File("bad", "no qcow2"), "qcow2", "<backingStore/>"),
              HasSubstr("backingStore"));
}

TEST_F(ArrivedXmlTest, WhatIsNoDomainIsAnError) {
  EXPECT_FALSE(
      AsBeforeMigration("<network/>", image::MakeDirectHeaderParser).ok());
  EXPECT_FALSE(
      AsBeforeMigration("<domain>", image::MakeDirectHeaderParser).ok());
}

}  // namespace
}  // namespace vmattest::measurement
