#include "daemon/ledger_mark.h"

#include <charconv>
#include <utility>
#include <vector>

#include "attestor/await.h"
#include "base/file.h"
#include "base/log.h"
#include "eventlog/cel.h"
#include "fmt/format.h"
#include "signing/log_folder.h"

namespace vmattest::daemon {
namespace {

constexpr char kKind[] = "ledger-head";
constexpr char kOrigin[] = "origin";
constexpr char kSize[] = "size";
constexpr char kRoot[] = "root";
constexpr size_t kRootSize = 32;
constexpr char kAccepted[] = "rollback-accepted";
constexpr size_t kMaxOrder = 512;
constexpr std::chrono::minutes kInterval{5};
constexpr std::chrono::seconds kLimit{2};

std::optional<LedgerMark> MarkOf(const eventlog::HostEvent& event,
                                 const std::string& origin) {
  const auto fact = [&event](const char* name) {
    const auto it = event.facts.find(name);
    return it == event.facts.end() ? std::string() : it->second;
  };
  const std::string size = fact(kSize);
  absl::StatusOr<Bytes> root = ParseHex(fact(kRoot));
  LedgerMark mark;
  if (event.kind != kKind || fact(kOrigin) != origin || !root.ok() ||
      root->size() != kRootSize ||
      std::from_chars(size.data(), size.data() + size.size(), mark.size).ec !=
          std::errc()) {
    return std::nullopt;
  }
  mark.root = *std::move(root);
  return mark;
}

}  // namespace

std::optional<LedgerMark> NewestMark(ByteView records,
                                     const std::string& origin) {
  std::optional<LedgerMark> newest;
  eventlog::CelReader reader(records);
  while (true) {
    const absl::StatusOr<std::optional<eventlog::CelRecord>> record =
        reader.Next();
    if (!record.ok() || !*record) {
      return newest;
    }
    if ((*record)->content_type != eventlog::kCelContentHostEvent) {
      continue;
    }
    const absl::StatusOr<eventlog::HostEvent> event =
        eventlog::ParseHostEvent(AsText((*record)->content));
    if (event.ok()) {
      if (std::optional<LedgerMark> mark = MarkOf(*event, origin)) {
        newest = std::move(mark);
      }
    }
  }
}

std::optional<LedgerMark> FindNewestMark(const std::filesystem::path& folder,
                                         const std::string& origin) {
  signing::DiskLogFolder log(folder);
  const absl::StatusOr<std::vector<std::string>> names = log.List();
  if (!names.ok()) {
    return std::nullopt;
  }
  for (auto name = names->rbegin(); name != names->rend(); ++name) {
    const absl::StatusOr<Bytes> records = log.Read(*name);
    std::optional<LedgerMark> mark =
        records.ok() ? NewestMark(*records, origin) : std::nullopt;
    if (mark) {
      return mark;
    }
  }
  return std::nullopt;
}

absl::Status CheckMark(ledger::Log& log, const LedgerMark& mark) {
  const ledger::LogHead head = log.head();
  if (head.size < mark.size) {
    return absl::DataLossError(fmt::format(
        "this host's ledger has {} records, and had {} when the event log that "
        "the TPM anchors noted it: it was rolled back, as by a restore",
        head.size, mark.size));
  }
  if (mark.size == 0) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Bytes root, log.RootAt(mark.size));
  return root == mark.root
             ? absl::OkStatus()
             : absl::DataLossError(fmt::format(
                   "the first {} records of this host's ledger are not those "
                   "that the event log, which the TPM anchors, noted: it was "
                   "rolled back and grew again, or is another one",
                   mark.size));
}

absl::Status WriteMark(signing::Signer& signer, const Clock& clock,
                       const std::string& origin, const LedgerMark& mark,
                       MonotonicTime deadline) {
  eventlog::HostEvent event{
      .kind = kKind,
      .facts = {{kOrigin, origin},
                {kSize, fmt::format("{}", mark.size)},
                {kRoot, ToHex(mark.root)}},
      .time_unix_ms = clock.Now().time_since_epoch().count()};
  return attestor::Await<absl::StatusOr<eventlog::LogHead>>(
             deadline,
             [&](auto done) {
               return signer.Append(std::move(event), deadline,
                                    std::move(done));
             })
      .status();
}

LedgerMarker::LedgerMarker(Parts parts)
    : parts_(std::move(parts)),
      next_(std::chrono::steady_clock::now() + kInterval) {}

absl::Status LedgerMarker::Compare() {
  std::optional<LedgerMark> mark =
      FindNewestMark(parts_.event_log, parts_.origin);
  absl::Status status;
  if (mark) {
    marked_ = *std::move(mark);
    status = CheckMark(parts_.log, marked_);
  }
  if (!status.ok() && IsAccepted()) {
    log::Warning("the ledger lacks records, and somebody accepted that",
                 {{"records_before", fmt::format("{}", marked_.size)}});
    status = absl::OkStatus();
  }
  may_mark_ = status.ok();
  return status;
}

bool LedgerMarker::IsAccepted() const {
  const absl::StatusOr<Bytes> order =
      ReadFile(parts_.folder / kAccepted, kMaxOrder);
  if (!order.ok()) {
    return false;
  }
  const std::string_view text = AsText(*order);
  return text.substr(0, text.find_first_of(" \n")) ==
         fmt::format("{}", marked_.size);
}

void LedgerMarker::MarkNowAndThen() {
  if (std::chrono::steady_clock::now() < next_) {
    return;
  }
  if (const absl::Status status = Mark(); !status.ok()) {
    log::Debug("the TPM does not vouch for the ledger yet",
               {{"why", status.ToString()}});
  }
  next_ = std::chrono::steady_clock::now() + kInterval;
}

absl::Status LedgerMarker::Mark() {
  const ledger::LogHead head = parts_.log.head();
  if (!may_mark_ || head.size == 0 ||
      (head.size == marked_.size && head.root == marked_.root)) {
    return absl::OkStatus();
  }
  LedgerMark mark{.size = head.size, .root = head.root};
  RETURN_IF_ERROR(WriteMark(parts_.signer, parts_.clock, parts_.origin, mark,
                            std::chrono::steady_clock::now() + kLimit));
  marked_ = std::move(mark);
  return absl::OkStatus();
}

}  // namespace vmattest::daemon
