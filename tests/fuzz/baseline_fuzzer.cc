// Hostile baselines, deltas and answers about nodes: what parses writes itself
// again, byte for byte; what a delta makes is the snapshot's own, or refused;
// a verifier that answers anything makes no host crash. What a guest says of
// itself, as a message and as text: what parses can be compared. The first byte
// chooses.

#include <cstdlib>

#include "baseline/cross_view.h"
#include "baseline/difference.h"
#include "baseline/guest_report.h"
#include "baseline/score.h"
#include "support/made_snapshot.h"

namespace vmattest::baseline {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

MadeSnapshot Before() {
  MadeSnapshot made;
  auto& region = made.AddRegion("text", 600);
  region.parts = {{.name = "kernel/text",
                   .content = "text",
                   .address = 0xffffffff81000000,
                   .size = 600 * 4096,
                   .first_page = 0,
                   .pages = 600}};
  made.AddRegion("ram", 10, 0x9000000);
  made.pages.records = {{"syscall/1", "a"}, {"syscall/2", "b"}};
  made.Seal();
  return made;
}

// Two pages and a record are not as they were.
MadeSnapshot Now() {
  MadeSnapshot made = Before();
  made.ChangePage(0, 3);
  made.ChangePage(1, 9);
  made.pages.records[1].text = "c";
  made.Seal();
  return made;
}

void Apply(ByteView bytes) {
  static const auto& loaded = *new std::shared_ptr(Before().Load());
  static const auto& now = *new MadeSnapshot(Now());
  absl::StatusOr<Delta> delta = ParseDelta(bytes);
  if (!delta.ok()) {
    return;
  }
  Require(EncodeDelta(*delta) == ToBytes(bytes));
  const Applied applied = ApplyDelta(*loaded, now.statement, *std::move(delta));
  if (!applied.refused) {
    // Nothing but the truth is proved.
    Require(applied.regions.size() == 2);
    Require(applied.regions[0].pages == std::vector<uint64_t>{3});
    Require(applied.records == now.pages.records);
  }
  (void)Score(CompareSnapshot(*loaded, now.statement, applied));
}

class Answers final : public NodeSource {
 public:
  explicit Answers(ByteView rest) : rest_(rest) {}
  absl::StatusOr<Bytes> Nodes(const std::string& /*region*/,
                              const std::vector<NodeRange>& ranges,
                              uint32_t prefix) override {
    uint64_t count = 0;
    for (const NodeRange& range : ranges) {
      count += range.count;
    }
    Require(count <= kMaxNodes);
    Bytes nodes(count * prefix);
    for (uint8_t& byte : nodes) {
      byte = Next();
    }
    if (Next() == 0xFF) {
      nodes.resize(nodes.size() / 2);
    }
    return nodes;
  }
  absl::StatusOr<std::vector<evidence::StateRecord>> Records() override {
    std::vector<evidence::StateRecord> records;
    while (Next() != 0 && records.size() < 100) {
      records.push_back({std::string(1, static_cast<char>(Next())), "x"});
    }
    return records;
  }

 private:
  uint8_t Next() {
    if (rest_.empty()) {
      return 0;
    }
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  ByteView rest_;
};

void Walk(ByteView bytes) {
  static const auto& baseline = *new Baseline(Before().ToBaseline());
  static const auto& now = *new MadeSnapshot(Now());
  Answers answers(bytes);
  (void)MakeDelta(baseline, now.statement, now.pages, answers, kShortPrefix);
}

// In whatever order they are said to be.
void CompareWith(const GuestReport& report) {
  MemoryLook before;
  before.vm_uuid = report.vm_uuid;
  before.digest = report.after;
  before.records = {{"kernel/release", "6.1"},
                    {"module/virtio", "listed"},
                    {"process/1", "pid=1 comm=init uid=0"}};
  MemoryLook after = before;
  after.nonce = NonceOf(report);
  Require(CompareReport({nullptr, before, report, after}).size() <= 3);
  before.nonce = after.nonce;
  (void)CompareReport({&report, before, report, after});
}

void Report(ByteView bytes) {
  if (const auto parsed = ParseGuestReport(bytes); parsed.ok()) {
    Require(Encode(*parsed) == ToBytes(bytes));
    CompareWith(*parsed);
  }
}

// What is read of text is what a message may say.
void ReportText(ByteView bytes) {
  const std::string_view text = AsText(bytes);
  GuestReport report;
  report.vm_uuid = "00000000-0000-4000-8000-000000000001";
  report.after = DigestBytes(32, 1);
  if (auto modules = ParseProcModules(text); modules.ok()) {
    report.modules = *std::move(modules);
  }
  if (auto tasks = ParseTaskList(text); tasks.ok()) {
    report.tasks = *std::move(tasks);
  }
  Require(ParseGuestReport(Encode(report)).ok());
  CompareWith(report);
}

void Run(ByteView bytes) {
  if (bytes.empty()) {
    return;
  }
  const ByteView rest = bytes.subspan(1);
  switch (bytes[0] % 5) {
    case 3:
      Report(rest);
      return;
    case 4:
      ReportText(rest);
      return;
    case 0:
      if (const auto parsed = Parse(rest); parsed.ok()) {
        Require(Encode(*parsed) == ToBytes(rest));
      }
      return;
    case 1:
      Apply(rest);
      return;
    default:
      Walk(rest);
  }
}

}  // namespace
}  // namespace vmattest::baseline

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::baseline::Run({data, size});
  return 0;
}
