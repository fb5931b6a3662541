#include "linuxguest/system_map.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/matchers.h"
#include "support/small_kernel.h"

namespace vmattest::linuxguest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::SmallKernel;
using testing::StatusIs;

class SystemMapTest : public ::testing::Test {
 protected:
  SystemMapTest() { kernel_ = std::move(DiscoverKernel(reader_)->kernel); }
  // As linked: the kernel was moved by that much.
  std::string Text(uint64_t moved = 0x1200000) {
    std::string text;
    for (size_t i = 0; i < kernel_->symbols().size(); ++i) {
      const Symbol symbol = kernel_->symbols().at(i);
      text += fmt::format("{:016x} {} {}\n", symbol.address - moved,
                          symbol.type, symbol.name);
    }
    return text;
  }
  Findings Check(const std::string& text) {
    const auto map = SystemMap::Parse(text, Limits());
    EXPECT_THAT(map, IsOk());
    return CheckSymbols(*kernel_, *map).value();
  }

  SmallKernel guest_;
  PhysicalReader reader_{guest_.memory(), Limits{}};
  std::unique_ptr<Kernel> kernel_;
};

TEST_F(SystemMapTest, IsTheGuestsWhereverTheKernelLies) {
  EXPECT_THAT(Check(Text()), IsEmpty());
  EXPECT_THAT(Check(Text(0)), IsEmpty());
  EXPECT_THAT(Check(Text() + "ffffffff81000004 t not_kept\n"), IsEmpty());
}

TEST_F(SystemMapTest, NamesASymbolThatIsNotInIt) {
  std::string text = Text();
  const size_t at = text.find("modprobe_path");
  ASSERT_NE(at, std::string::npos);
  text[at] = 'M';
  const Findings found = Check(text);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, "symbols-modified");
  EXPECT_EQ(found[0].element, "modprobe_path");
}

TEST_F(SystemMapTest, NeedsTheBeginOfTheImage) {
  const auto map = SystemMap::Parse("ffffffff81000004 t a\n", Limits());
  ASSERT_THAT(map, IsOk());
  EXPECT_THAT(CheckSymbols(*kernel_, *map),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("_text")));
}

TEST_F(SystemMapTest, RefusesOtherTextByLine) {
  for (const char* bad :
       {"x", "ffffffff81000004 t ", "ffffffff81000004 tt a",
        "ffffffff81000004  t a", "11111111111111111 t a", "\n"}) {
    EXPECT_THAT(
        SystemMap::Parse("1 t a\n" + std::string(bad) + "\n", Limits()),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 2")))
        << bad;
  }
  Limits few;
  few.symbols = 1;
  EXPECT_THAT(SystemMap::Parse("1 t a\n2 t b\n", few),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace vmattest::linuxguest
