// What the worker makes of a guest's memory, on the smallest kernel there is.
#include "worker/memory/guest_look.h"

#include <map>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "memory/guest_meaning.h"
#include "support/matchers.h"
#include "support/small_kernel.h"
#include "worker/memory/meaning_reply.h"
#include "worker/memory/symbol_index.h"

namespace vmattest::worker {
namespace {

using memory::MeaningQuery;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using ::testing::Property;
using testing::SmallKernel;
using ::testing::StartsWith;
using testing::StatusIs;

// The test's guest, for somebody who wants to own one.
class Borrowed final : public memory::GuestMemory {
 public:
  explicit Borrowed(memory::GuestMemory& of) : of_(of) {}
  [[nodiscard]] const std::vector<memory::AddressRange>& ram() const override {
    return of_.ram();
  }
  [[nodiscard]] absl::Status ReadAt(uint64_t address,
                                    std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(gone);
    return of_.ReadAt(address, buffer);
  }
  absl::Status gone;

 private:
  memory::GuestMemory& of_;
};

class GuestLookTest : public ::testing::Test {
 protected:
  GuestLookTest() {
    auto ram = std::make_unique<Borrowed>(guest_.memory());
    ram_ = ram.get();
    look_ = std::make_unique<GuestLook>(std::move(ram));
    request_.set_time_ms(10000);
    Ask(MeaningQuery::What::kSymbols, "modprobe_*");
    Ask(MeaningQuery::What::kModuleText, "sma?l");
    Ask(MeaningQuery::What::kModuleText, "other");
    request_.add_regions();  // tasks
    request_.add_task_fields("pid");
    request_.add_task_fields("uid");
  }
  void Ask(MeaningQuery::What what, const char* pattern) {
    auto& query = *request_.add_regions()->add_queries();
    query.set_what(static_cast<uint32_t>(what));
    query.set_pattern(pattern);
  }
  absl::StatusOr<MeaningReply> Look() {
    return look_->Look(request_, cpus_,
                       {absl::NotFoundError("no file"), {}, {}});
  }

  SmallKernel guest_;
  Borrowed* ram_ = nullptr;
  std::unique_ptr<GuestLook> look_;
  internal::LookAtGuest request_;
  std::vector<memory::VcpuState> cpus_;
};

TEST_F(GuestLookTest, FindsWhatThePolicyWants) {
  ASSERT_OK_AND_ASSIGN(const MeaningReply reply, Look());
  EXPECT_EQ(reply.semantics(), "linux");
  ASSERT_EQ(reply.regions_size(), 4);
  EXPECT_EQ(reply.regions(0).parts(0).name(), "symbol/modprobe_path");
  EXPECT_EQ(reply.regions(0).parts(0).runs(0).begin(),
            SmallKernel::Physical("modprobe_path"));
  EXPECT_EQ(reply.regions(1).parts(0).name(), "module/small/text");
  EXPECT_EQ(reply.regions(1).parts(0).content(), "text");
  EXPECT_THAT(reply.regions(2).unavailable(), StartsWith("not-found"));
  EXPECT_EQ(reply.regions(3).unavailable(), "");
  EXPECT_EQ(reply.code_hash_state(), "unavailable: no file");
  EXPECT_THAT(reply.cpu_state(), StartsWith("unavailable"));
  EXPECT_THAT(
      reply.records(),
      Contains(AllOf(
          Property(&internal::WorkerReply::Record::name, "process/7"),
          Property(&internal::WorkerReply::Record::text,
                   AllOf(HasSubstr("pid=7 uid="), Not(HasSubstr("comm=")))))));
}

TEST_F(GuestLookTest, NamesWhatBeginsInTextAndConstants) {
  Ask(MeaningQuery::What::kKernelText, "");
  Ask(MeaningQuery::What::kKernelRodata, "");
  ASSERT_OK_AND_ASSIGN(const MeaningReply reply, Look());
  std::map<std::string, uint64_t> text;
  for (const auto& symbol : reply.regions(4).parts(0).symbols()) {
    text[symbol.name()] = symbol.offset();
  }
  EXPECT_EQ(text,
            (std::map<std::string, uint64_t>{{"_text", 0},
                                             {"entry_SYSCALL_64", 0x100},
                                             {"entry_SYSCALL_compat", 0x140},
                                             {"entry_SYSENTER_compat", 0x180},
                                             {"asm_exc_page_fault", 0x200},
                                             {"__x64_sys_read", 0x300},
                                             {"__x64_sys_write", 0x400}}));
  uint64_t before = 0;
  for (const auto& symbol : reply.regions(5).parts(0).symbols()) {
    EXPECT_TRUE(before == 0 || symbol.offset() > before);
    before = symbol.offset();
  }
  EXPECT_EQ(before, SmallKernel::Address("__end_ro_after_init") -
                        SmallKernel::Address("__start_rodata"));
  EXPECT_EQ(reply.regions(0).parts(0).symbols_size(), 0)
      << "its name is the symbol's";
}

TEST(AddSymbolsTest, KeepsOfEachPageTheFirstAndTheLast) {
  linuxguest::SymbolTable table;
  constexpr uint64_t kText = 0xffffffff81000000;
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_THAT(table.Add(kText + i * 0x80, 'T', fmt::format("f{}", i),
                          linuxguest::Limits()),
                IsOk());
    ASSERT_THAT(
        table.Add(kText + i * 0x80 + 0x70, 'T', fmt::format("__pfx_f{}", i + 1),
                  linuxguest::Limits()),
        IsOk());
  }
  table.Sort();
  MeaningReply reply;
  auto& part = *reply.add_regions()->add_parts();
  part.set_name("kernel/text");
  part.set_address(kText);
  part.set_size(0x2000);
  AddSymbols(table, {}, reply);
  std::vector<std::string> names;
  for (const auto& symbol : part.symbols()) {
    names.push_back(symbol.name());
  }
  EXPECT_THAT(
      names, ElementsAre("f0", "f1", "f2", "f3", "f4", "f5", "f6", "f31", "f32",
                         "f33", "f34", "f35", "f36", "f37", "f38", "f63"));
}

TEST(AddSymbolsTest, IsBoundedWhateverTheGuestSays) {
  linuxguest::SymbolTable table;
  constexpr uint64_t kText = 0xffffffff81000000;
  constexpr uint64_t kPages = 20'000;
  for (uint64_t i = 0; i < kPages; ++i) {
    for (uint64_t k = 0; k < 4; ++k) {
      ASSERT_THAT(
          table.Add(kText + i * 4096 + k, 'T', "\x1b" + std::string(300, 'x'),
                    linuxguest::Limits()),
          IsOk());
    }
  }
  table.Sort();
  const auto index = [&](uint64_t pages) {
    MeaningReply reply;
    auto& part = *reply.add_regions()->add_parts();
    part.set_name("kernel/text");
    part.set_address(kText);
    part.set_size(pages * 4096);
    AddSymbols(table, {}, reply);
    EXPECT_LE(reply.ByteSizeLong(), kMaxIndexBytes + 100);
    for (const auto& symbol : part.symbols()) {
      EXPECT_LE(symbol.name().size(), kMaxSymbolName);
      EXPECT_THAT(symbol.name(), StartsWith("\\x1b"));
    }
    return part.symbols_size();
  };
  EXPECT_EQ(index(1'000), 4'000);
  EXPECT_EQ(index(5'000), 10'000) << "two of each page";
  EXPECT_EQ(index(10'000), 10'000) << "one";
  EXPECT_EQ(index(kPages), 0);
}

TEST_F(GuestLookTest, RegistersAreAmongTheRecordsAndMissingOnesAreNamed) {
  const auto record = [](const char* name, const char* text) {
    return AllOf(Property(&internal::WorkerReply::Record::name, name),
                 Property(&internal::WorkerReply::Record::text, text));
  };
  const auto named = [](const char* name) {
    return Property(&internal::WorkerReply::Record::name, StartsWith(name));
  };
  ASSERT_OK_AND_ASSIGN(MeaningReply reply, Look());
  EXPECT_THAT(reply.records(), Not(Contains(named("cpu/"))));
  cpus_ = {SmallKernel::Vcpu()};
  ASSERT_OK_AND_ASSIGN(reply, Look());
  EXPECT_EQ(reply.cpu_state(), "measured");
  EXPECT_THAT(reply.records(),
              Contains(record("cpu/0/lstar", "entry_SYSCALL_64")));
  EXPECT_EQ(reply.findings_size(), 0);
  cpus_[0].star.reset();
  cpus_[0].efer = 0x501;
  ASSERT_OK_AND_ASSIGN(reply, Look());
  EXPECT_EQ(reply.cpu_state(), "partly: without cpu 0 star");
  EXPECT_THAT(reply.records(), Not(Contains(named("cpu/0/star"))));
  ASSERT_EQ(reply.findings_size(), 1);
  EXPECT_EQ(reply.findings(0).code(), "cpu-protection-off");
}

TEST_F(GuestLookTest, SaysNothingOfProcessesThatNobodyAskedFor) {
  request_.clear_task_fields();
  ASSERT_OK_AND_ASSIGN(const MeaningReply reply, Look());
  for (const auto& record : reply.records()) {
    EXPECT_THAT(record.name(), Not(StartsWith("process/")));
  }
}

TEST_F(GuestLookTest, SaysWhatMovedSince) {
  EXPECT_THAT(look_->LookAgain(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(Look(), IsOk());
  ASSERT_OK_AND_ASSIGN(auto moved, look_->LookAgain());
  EXPECT_THAT(moved.parts(), ElementsAre(0, 0, 0, 0));
  // The module's text lies in another frame now.
  guest_.memory().Number(SmallKernel::kRoot + 0x6000,
                         (SmallKernel::kModuleTables + 0x2000) | 1);
  ASSERT_OK_AND_ASSIGN(moved, look_->LookAgain());
  EXPECT_THAT(moved.parts(), ElementsAre(0, 1, 0, 0));
}

TEST_F(GuestLookTest, SaysWhyAGuestHasNoMeaning) {
  for (uint64_t at = SmallKernel::kNote; at < SmallKernel::kNote + 64;
       at += 8) {
    guest_.memory().Number(at, 0);
  }
  ASSERT_OK_AND_ASSIGN(const MeaningReply reply, Look());
  EXPECT_THAT(reply.semantics(), StartsWith("no-linux: "));
  ASSERT_EQ(reply.regions_size(), 4);
  EXPECT_EQ(reply.regions(3).unavailable(), reply.semantics());
  EXPECT_EQ(reply.findings_size(), 0);
}

TEST_F(GuestLookTest, MakesAContradictionAFinding) {
  guest_.memory().Number(SmallKernel::kRoot, 0);
  guest_.memory().Number(SmallKernel::kRoot + 511 * 8, 0);
  ASSERT_OK_AND_ASSIGN(const MeaningReply reply, Look());
  EXPECT_THAT(reply.semantics(), StartsWith("guest-structures-inconsistent"));
  ASSERT_EQ(reply.findings_size(), 1);
  EXPECT_EQ(reply.findings(0).code(), "guest-structures-inconsistent");
}

TEST_F(GuestLookTest, MakesALimitAnAnswerAndAGoneGuestAnError) {
  ram_->gone = absl::DeadlineExceededError("reading takes too long");
  ASSERT_OK_AND_ASSIGN(const MeaningReply reply, Look());
  EXPECT_THAT(reply.semantics(), StartsWith("limit: "));
  EXPECT_EQ(reply.regions_size(), 4);
  ram_->gone = absl::UnavailableError("guest-gone");
  EXPECT_THAT(Look(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(MeaningReply, ShowsOnlyPrintableText) {
  EXPECT_EQ(Printable("a\x1b[2J\\\xff"), "a\\x1b[2J\\x5c\\xff");
  EXPECT_EQ(Printable(std::string(300, 'x')).size(), kMaxMeaningText - 3);
}

TEST(MeaningReply, CountsFindingsPastTheLimit) {
  linuxguest::Findings many(
      130, linuxguest::Finding{"x", linuxguest::Severity::kLow, "", "", ""});
  many.back().severity = linuxguest::Severity::kCritical;
  MeaningReply reply;
  AddFindings(std::move(many), reply);
  EXPECT_EQ(reply.findings_size(), 128);
  EXPECT_EQ(reply.findings(0).severity(), "critical");
  EXPECT_THAT(reply.notes(), ElementsAre("more-findings: 2"));
}

}  // namespace
}  // namespace vmattest::worker
