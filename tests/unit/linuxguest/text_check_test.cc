#include "linuxguest/text_check.h"

#include <gmock/gmock.h>

#include <map>

#include "crypto/digest.h"
#include "linuxguest/inspection.h"
#include "linuxguest/rodata_check.h"
#include "linuxguest/site_rules.h"
#include "support/matchers.h"
#include "support/small_kernel.h"

namespace vmattest::linuxguest {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::SmallKernel;
using testing::StatusIs;

constexpr uint64_t kLinked = 0xffffffff80200000;  // moved by 0xe00000 at boot
constexpr uint64_t kMoved = SmallKernel::kImage - kLinked;
constexpr uint64_t kText = 0x1000;
constexpr uint64_t kRodata = 0x2000;
constexpr uint64_t kRodataSize = 0xe000;
constexpr uint64_t kPointer = 0xb800;
constexpr uint64_t kGap = 0xe000, kGapEnd = 0xe100;
constexpr uint64_t kTail = 0xf800;  // nothing behind it

void Put(Bytes& bytes, uint64_t at, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    bytes[at + i] = static_cast<uint8_t>(value >> (8 * i));
  }
}

// An ELF file with relocations behind it, as a bzImage's payload.
class ImageWriter {
 public:
  void Section(std::string name, uint64_t address, Bytes bytes) {
    sections_.push_back({std::move(name), address, std::move(bytes)});
  }
  std::vector<uint64_t> add32, add64;

  [[nodiscard]] Bytes Finish() const {
    Bytes out(64);
    std::string names(1, '\0');
    Bytes headers(64);
    const auto add = [&](const std::string& name, uint64_t address,
                         ByteView bytes) {
      const size_t at = headers.size();
      headers.resize(at + 64);
      Put(headers, at, names.size(), 4);
      Put(headers, at + 4, 1, 4);
      Put(headers, at + 0x10, address, 8);
      Put(headers, at + 0x18, out.size(), 8);
      Put(headers, at + 0x20, bytes.size(), 8);
      names += name + '\0';
      out.insert(out.end(), bytes.begin(), bytes.end());
    };
    for (const Part& part : sections_) {
      add(part.name, part.address, part.bytes);
    }
    const std::string own = names + ".shstrtab" + '\0';
    add(".shstrtab", 0, AsBytes(own));
    std::copy_n(
        "\x7f"
        "ELF\x02\x01",
        6, out.begin());
    Put(out, 0x28, out.size(), 8);
    Put(out, 0x3c, headers.size() / 64, 2);
    Put(out, 0x3e, headers.size() / 64 - 1, 2);
    out.insert(out.end(), headers.begin(), headers.end());
    const auto word = [&out](uint64_t value) {
      out.resize(out.size() + 4);
      Put(out, out.size() - 4, value, 4);
    };
    word(0);
    for (const uint64_t place : add64) {
      word(place);
    }
    word(0);
    word(0);
    for (const uint64_t place : add32) {
      word(place);
    }
    return out;
  }

 private:
  struct Part {
    std::string name;
    uint64_t address;
    Bytes bytes;
  };
  std::vector<Part> sections_;
};

Bytes Relative(std::initializer_list<uint64_t> places, uint64_t section) {
  Bytes bytes(places.size() * 4);
  size_t at = 0;
  for (const uint64_t place : places) {
    Put(bytes, at, place - section - at, 4);
    at += 4;
  }
  return bytes;
}

// Text: at 0x310 a number that KASLR moves, at 0x320 a return, at 0x330 a
// lock prefix, at 0x340 an alternative of five bytes.
class TextCheckTest : public ::testing::Test {
 protected:
  TextCheckTest() {
    Put(text_, 0x310, kLinked + 0x300, 4);
    Put(text_, 0x320, 0xe9, 1);
    Put(text_, 0x321, 0x400 - 0x325, 4);
    Put(text_, 0x330, 0xf0, 1);
    Put(text_, 0x340, 0x9090909090, 5);
    guest_.memory().Write(SmallKernel::kImagePhysical, text_);
    guest_.memory().Number(SmallKernel::kImagePhysical + 0x310,
                           SmallKernel::kImage + 0x300, 4);
    guest_.memory().Number(SmallKernel::kImagePhysical + kPointer,
                           SmallKernel::kImage + 0x300, 8);
  }

  Bytes File() {
    ImageWriter image;
    image.Section(".text", kLinked, text_);
    Bytes rodata(kRodataSize);
    EXPECT_THAT(
        guest_.memory().ReadAt(SmallKernel::kImagePhysical + kRodata, rodata),
        IsOk());
    const uint64_t base =
        SmallKernel::Address("kallsyms_relative_base") - SmallKernel::kImage;
    Put(rodata, base - kRodata, kLinked, 8);
    const uint64_t notes =
        SmallKernel::Address("__start_notes") - SmallKernel::kImage - kRodata;
    image.Section(".notes", kLinked + 0x100000,
                  Bytes(rodata.begin() + static_cast<ptrdiff_t>(notes),
                        rodata.begin() + static_cast<ptrdiff_t>(notes) + 36));
    // At 0xb800 an address, between two sections nothing.
    Put(rodata, kPointer - kRodata, kLinked + 0x300, 8);
    const auto part = [&](uint64_t begin, uint64_t end) {
      return Bytes(rodata.begin() + static_cast<ptrdiff_t>(begin - kRodata),
                   rodata.begin() + static_cast<ptrdiff_t>(end - kRodata));
    };
    image.Section(".rodata", kLinked + kRodata, part(kRodata, kGap));
    image.Section("__param", kLinked + kGapEnd, part(kGapEnd, kTail));
    image.Section(".return_sites", kLinked + 0x110000,
                  Relative({kLinked + 0x320}, kLinked + 0x110000));
    image.Section(".smp_locks", kLinked + 0x120000,
                  Relative({kLinked + 0x330}, kLinked + 0x120000));
    Bytes alternative(12);
    const uint64_t table = kLinked + 0x130000;
    Put(alternative, 0, kLinked + 0x340 - table, 4);
    Put(alternative, 4, kLinked + 0x140000 - table - 4, 4);
    Put(alternative, 10, 5, 1);
    Put(alternative, 11, 3, 1);
    image.Section(".altinstructions", table, alternative);
    image.Section(".altinstr_replacement", kLinked + 0x140000,
                  {0x0f, 0x01, 0xca});
    image.Section(".init.text", kLinked + 0x150000, Bytes(0x3000, 0xcc));
    image.add32 = {kLinked + 0x310};
    image.add64 = {kLinked + base, kLinked + kPointer};
    return image.Finish();
  }

  absl::StatusOr<TextCheck> Check() {
    const absl::StatusOr<KernelImage> image = KernelImage::Parse(File());
    EXPECT_THAT(image, IsOk());
    PhysicalReader reader(guest_.memory(), Limits{});
    const Discovery found = DiscoverKernel(reader).value();
    const Modules modules = ReadModules(*found.kernel).value();
    const AddressNames names =
        AddressNames::Make(*found.kernel, modules).value();
    const CodeRanges ranges =
        ReadCodeRanges(*found.kernel, modules, names).value();
    return CheckKernelText(*found.kernel, names, ranges, *image);
  }
  void Write(uint64_t offset, const Bytes& bytes) {
    guest_.memory().Write(SmallKernel::kImagePhysical + offset, bytes);
  }
  std::string Clean() const {
    return ToHex(Hash(HashAlgorithm::kSha256, text_));
  }

  SmallKernel guest_;
  Bytes text_ = Bytes(kText, 0xcc);
};

TEST_F(TextCheckTest, MovedTextHasTheImagesDigest) {
  const TextCheck check = Check().value();
  EXPECT_THAT(check.findings, IsEmpty());
  EXPECT_EQ(check.relocations, 3U);
  EXPECT_EQ(ToHex(check.code_hash), Clean());
}

TEST_F(TextCheckTest, WhatTheKernelRewritesIsUndone) {
  Write(0x320, {0xc3, 0xcc, 0xcc, 0xcc, 0xcc});
  Write(0x330, {0x3e});
  Write(0x340, {0x0f, 0x01, 0xca, 0x66, 0x90});
  const TextCheck check = Check().value();
  EXPECT_THAT(check.findings, IsEmpty());
  EXPECT_EQ(check.rewritten,
            (std::map<std::string, uint64_t>{
                {"alternative", 1}, {"return-thunk", 1}, {"smp-lock", 1}}));
  EXPECT_EQ(ToHex(check.code_hash), Clean());
}

TEST_F(TextCheckTest, SitesMayHoldNothingElse) {
  for (const auto& [offset, bytes] : std::vector<std::pair<uint64_t, Bytes>>{
           {0x320, {0xc3, 0xcc, 0xcc, 0xcc, 0x90}},
           {0x320, {0xe9, 0, 0, 0, 0}},
           {0x330, {0x90}},
           {0x340, {0x0f, 0x01, 0xcb, 0x66, 0x90}},
           {0x340, {0xe8, 0x00, 0x01, 0x00, 0x00}},
           {0x310, {0x01}},
           {0x500, {0xcd}}}) {
    SmallKernel fresh;
    guest_ = fresh;
    guest_.memory().Write(SmallKernel::kImagePhysical, text_);
    guest_.memory().Number(SmallKernel::kImagePhysical + 0x310,
                           SmallKernel::kImage + 0x300, 4);
    Write(offset, bytes);
    const TextCheck check = Check().value();
    EXPECT_THAT(check.findings,
                ElementsAre(AllOf(
                    Field("code", &Finding::code, "code-modified"),
                    Field("element", &Finding::element,
                          HasSubstr(offset == 0x500 ? "__x64_sys_write+0x100"
                                                    : "__x64_sys_read+0x")))))
        << std::hex << offset;
    EXPECT_NE(ToHex(check.code_hash), Clean());
  }
}

TEST_F(TextCheckTest, OtherSymbolTablesAreSaid) {
  const Bytes file = File();
  // A longer name for another function: still decodes.
  guest_.memory().Number(SmallKernel::Physical("kallsyms_names") + 1, 'W', 1);
  const KernelImage image = KernelImage::Parse(file).value();
  PhysicalReader reader(guest_.memory(), Limits{});
  const Discovery found = DiscoverKernel(reader).value();
  const Modules modules = ReadModules(*found.kernel).value();
  const AddressNames names = AddressNames::Make(*found.kernel, modules).value();
  const CodeRanges ranges =
      ReadCodeRanges(*found.kernel, modules, names).value();
  EXPECT_THAT(CheckKernelText(*found.kernel, names, ranges, image)->findings,
              ElementsAre(Field("code", &Finding::code, "symbols-modified")));
}

class RodataCheckTest : public TextCheckTest {
 protected:
  // Of the guest as it is, against the image as it was at first.
  absl::StatusOr<RodataCheck> CheckRodata() {
    PhysicalReader reader(guest_.memory(), Limits{});
    const Discovery found = DiscoverKernel(reader).value();
    const Modules modules = ReadModules(*found.kernel).value();
    const AddressNames names =
        AddressNames::Make(*found.kernel, modules).value();
    return CheckKernelRodata(*found.kernel, names, image_);
  }

  const KernelImage image_ = KernelImage::Parse(File()).value();
};

TEST_F(RodataCheckTest, MovedConstantsHaveTheImagesDigest) {
  const RodataCheck check = CheckRodata().value();
  EXPECT_THAT(check.findings, IsEmpty());
  EXPECT_EQ(ToHex(check.hash),
            ToHex(Hash(HashAlgorithm::kSha256,
                       image_.Across(kLinked + kRodata, kRodataSize))));
}

TEST_F(RodataCheckTest, WhatIsWrittenAtBootIsComparedWithNothing) {
  const RodataCheck before = CheckRodata().value();
  Write(0xc000, Bytes(0x1000, 0x5a));
  const RodataCheck check = CheckRodata().value();
  EXPECT_THAT(check.findings, IsEmpty());
  EXPECT_EQ(ToHex(check.hash), ToHex(before.hash));
}

TEST_F(RodataCheckTest, BehindTheLastSectionIsWhatUnpackingLeft) {
  const RodataCheck before = CheckRodata().value();
  const ByteView left =
      image_.LeftBehind(kLinked + kTail, kRodata + kRodataSize - kTail);
  ASSERT_EQ(left.size(), 0x800U);
  ASSERT_NE(ToBytes(left), Bytes(0x800));
  Write(kTail, ToBytes(left));
  const RodataCheck check = CheckRodata().value();
  EXPECT_THAT(check.findings, IsEmpty());
  EXPECT_EQ(ToHex(check.hash), ToHex(before.hash));
  Write(kTail + 0x7ff, {static_cast<uint8_t>(left[0x7ff] ^ 1)});
  EXPECT_THAT(CheckRodata()->findings,
              ElementsAre(Field("code", &Finding::code, "rodata-modified")));
}

TEST_F(RodataCheckTest, EachOtherChangeIsNamed) {
  const std::string before = ToHex(CheckRodata()->hash);
  for (const auto& [offset, name] :
       std::vector<std::pair<uint64_t, std::string>>{
           {kRodata, "__start_rodata, 1 bytes"},
           {kPointer, "__stop_BTF+0x800, 1 bytes"},
           {0xbfff, "__stop_BTF+0xfff, 1 bytes"},
           {0xd000, "__end_ro_after_init, 1 bytes"},
           {kGap, "__end_ro_after_init+0x1000, 1 bytes"},
           {kRodata + kRodataSize - 1,
            "__end_ro_after_init+0x2fff, 1 bytes"}}) {
    Bytes byte(1);
    ASSERT_THAT(
        guest_.memory().ReadAt(SmallKernel::kImagePhysical + offset, byte),
        IsOk());
    const uint8_t old = byte[0];
    Write(offset, {static_cast<uint8_t>(old ^ 1)});
    const RodataCheck check = CheckRodata().value();
    EXPECT_THAT(check.findings,
                ElementsAre(AllOf(
                    Field("code", &Finding::code, "rodata-modified"),
                    Field("severity", &Finding::severity, Severity::kCritical),
                    Field("element", &Finding::element, name))));
    EXPECT_NE(ToHex(check.hash), before);
    Write(offset, {old});
  }
}

TEST_F(RodataCheckTest, WithOtherSymbolTablesNothingIsSaid) {
  guest_.memory().Number(SmallKernel::Physical("kallsyms_names") + 1, 'W', 1);
  EXPECT_THAT(CheckRodata(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(KernelImageTest, RefusesWhatIsNone) {
  EXPECT_THAT(KernelImage::Parse({}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  Bytes image(0x300);
  std::copy_n("HdrS", 4, image.begin() + 0x202);
  image[0x207] = 2;
  image[0x206] = 15;
  Put(image, 0x24c, 100, 4);
  EXPECT_THAT(KernelImage::Parse(image),
              StatusIs(absl::StatusCode::kInvalidArgument));
  image.resize(4096);
  EXPECT_THAT(KernelImage::Parse(image),
              StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(NopsTest, AreToldFromOtherCode) {
  EXPECT_TRUE(IsNops({}));
  for (const Bytes& code :
       std::vector<Bytes>{{0x90, 0x66, 0x90},
                          {0x0f, 0x1f, 0x44, 0x00, 0x00},
                          {0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
                          {0xeb, 0x02, 0xcc, 0xff}}) {
    EXPECT_TRUE(IsNops(code)) << ToHex(code);
  }
  for (const Bytes& code : std::vector<Bytes>{{0x0f, 0x1f},
                                              {0x66},
                                              {0xeb, 0x03, 0xcc, 0xff},
                                              {0x0f, 0x1f, 0x44, 0x00, 0x01},
                                              {0x90, 0xc3}}) {
    EXPECT_FALSE(IsNops(code)) << ToHex(code);
  }
}

}  // namespace
}  // namespace vmattest::linuxguest
