// What a worker that is not to be trusted says about a guest.
#include "memory/worker/read_meaning.h"

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::memory {
namespace {

using Message = internal::WorkerReply::GuestMeaning;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

const std::vector<AddressRange> kRam = {{0, 0xA0000}, {0x100000, 0x800000}};

Message Good() {
  Message message;
  message.set_semantics("linux");
  message.set_code_hash(std::string(32, 'h'));
  auto& part = *message.add_regions()->add_parts();
  part.set_name("kernel/text");
  part.set_content("text");
  part.set_address(0xffffffff81000000);
  part.set_size(0x3000);
  part.set_absent(0x1000);
  part.add_runs()->set_begin(0x200000);
  part.mutable_runs(0)->set_end(0x202000);
  auto& finding = *message.add_findings();
  finding.set_code("syscall-hooked");
  finding.set_severity("critical");
  message.add_records()->set_name("syscall/1");
  message.add_records()->set_name("syscall/2");
  return message;
}

TEST(ReadMeaning, TakesWhatAnHonestWorkerSays) {
  ASSERT_OK_AND_ASSIGN(const GuestMeaning meaning,
                       ReadMeaning(Good(), 1, kRam));
  EXPECT_TRUE(meaning.understood());
  EXPECT_THAT(meaning.regions[0].parts[0].runs,
              ElementsAre(AddressRange{0x200000, 0x202000}));
  EXPECT_EQ(meaning.records.size(), 2U);
}

TEST(ReadMeaning, TakesSymbolsThatRiseAndCanBeShown) {
  Message good = Good();
  auto& part = *good.mutable_regions(0)->mutable_parts(0);
  part.set_absent(0);
  part.mutable_runs(0)->set_end(0x203000);
  const auto add = [](Message& message, uint64_t offset, std::string name) {
    auto& symbol = *message.mutable_regions(0)->mutable_parts(0)->add_symbols();
    symbol.set_offset(offset);
    symbol.set_name(std::move(name));
  };
  add(good, 0, "_text");
  add(good, 0x2fff, std::string(64, 'x'));
  ASSERT_OK_AND_ASSIGN(const GuestMeaning meaning, ReadMeaning(good, 1, kRam));
  EXPECT_EQ(meaning.regions[0].parts[0].symbols[0],
            (NamedPart::Symbol{0, "_text"}));
  for (const auto& [offset, name] :
       std::vector<std::pair<uint64_t, std::string>>{
           {0x2fff, "twice"}, {0x3000, "behind"}, {0x10, "falling"}}) {
    Message bad = good;
    add(bad, offset, name);
    EXPECT_THAT(ReadMeaning(bad, 1, kRam),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("a symbol of")))
        << name;
  }
  for (const std::string& name :
       {std::string(), std::string("a\x1b[2J"), std::string(65, 'x')}) {
    Message bad = good;
    bad.mutable_regions(0)->mutable_parts(0)->clear_symbols();
    add(bad, 0, name);
    EXPECT_THAT(ReadMeaning(bad, 1, kRam), StatusIs(absl::StatusCode::kDataLoss,
                                                    HasSubstr("a symbol of")));
  }
  Message absent = Good();
  add(absent, 0, "_text");
  EXPECT_THAT(ReadMeaning(absent, 1, kRam),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("a number of")));
}

TEST(ReadMeaning, RefusesWhatNoHonestWorkerSays) {
  const auto refuses = [](auto change, const char* what) {
    Message message = Good();
    change(message);
    EXPECT_THAT(ReadMeaning(message, 1, kRam),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(what)));
  };
  const auto part = [](Message& m) -> internal::WorkerReply::NamedPart& {
    return *m.mutable_regions(0)->mutable_parts(0);
  };
  refuses([](Message& m) { m.add_regions(); }, "number of regions");
  refuses([](Message& m) { m.clear_semantics(); }, "a kernel");
  refuses([](Message& m) { m.set_semantics("a\x1b[2J"); }, "a kernel");
  refuses([](Message& m) { m.set_code_hash("short"); }, "a kernel");
  refuses([&](Message& m) { part(m).set_name("\n"); }, "a part");
  refuses([&](Message& m) { part(m).set_content("gold"); }, "a part");
  refuses([&](Message& m) { part(m).set_absent(0x3001); }, "a part");
  refuses([&](Message& m) { part(m).set_absent(0); }, "the size of");
  refuses([&](Message& m) { part(m).set_size(UINT64_MAX); }, "the size of");
  refuses([&](Message& m) { part(m).mutable_runs(0)->set_end(0x900000); },
          "a run of");
  refuses([&](Message& m) { part(m).mutable_runs(0)->set_begin(0x202000); },
          "a run of");
  refuses(
      [&](Message& m) {
        part(m).mutable_runs(0)->set_begin(0x9F000);
        part(m).mutable_runs(0)->set_end(0xA1000);
      },
      "a run of");
  refuses(
      [](Message& m) { m.mutable_regions(0)->set_unavailable("and there"); },
      "a region");
  refuses(
      [&](Message& m) {
        *m.mutable_regions(0)->add_parts() = part(m);
        part(m).set_name("z");
      },
      "an order of parts");
  refuses([](Message& m) { m.mutable_findings(0)->set_severity("dire"); },
          "a finding");
  refuses(
      [](Message& m) {
        m.mutable_findings(0)->set_found(std::string(600, 'x'));
      },
      "a finding");
  refuses([](Message& m) { m.mutable_records(1)->set_name("syscall/0"); },
          "a record");
  refuses([](Message& m) { m.mutable_records(1)->set_text("\xff"); },
          "a record");
  refuses(
      [](Message& m) {
        for (int i = 0; i < 200; ++i) {
          *m.add_findings() = m.findings(0);
        }
      },
      "number of findings");
}

TEST(Confirmed, TellsOnlyWhatBothLooksSaw) {
  GuestMeaning first;
  first.findings = {{"module-hidden", "critical", "module a", "", ""},
                    {"code-unknown", "critical", "0x1", "", ""}};
  first.code_hash = std::vector<uint8_t>(32, 1);
  GuestMeaning second = first;
  second.findings.erase(second.findings.begin());
  second.findings.push_back({"module-hidden", "critical", "module b", "", ""});
  const GuestMeaning told = Confirmed(first, second);
  ASSERT_EQ(told.findings.size(), 1U);
  EXPECT_EQ(told.findings[0].element, "0x1");
  EXPECT_EQ(told.code_hash, first.code_hash);
}

TEST(Confirmed, HasNoCodeHashOfTextInTheMiddleOfAChange) {
  GuestMeaning first;
  first.code_hash = std::vector<uint8_t>(32, 1);
  first.records = {{"code/kernel", "01"}, {"module/a", "listed"}};
  GuestMeaning second = first;
  for (const char* code : {"code-modified", "rodata-modified"}) {
    second.findings = {{code, "critical", "schedule+0x5", "", ""}};
    const GuestMeaning told = Confirmed(first, second);
    EXPECT_THAT(told.findings, IsEmpty());
    EXPECT_THAT(told.code_hash, IsEmpty());
    EXPECT_THAT(told.code_hash_state, HasSubstr("changed while"));
    EXPECT_EQ(told.records[0].text, told.code_hash_state);
    EXPECT_EQ(told.records[1].text, "listed");
  }
}

}  // namespace
}  // namespace vmattest::memory
