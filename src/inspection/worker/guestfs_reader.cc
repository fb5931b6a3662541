#include "inspection/worker/guestfs_reader.h"

#include <algorithm>
#include <set>
#include <utility>

#include "fmt/format.h"
#include "inspection/worker/reply_leaves.h"

namespace vmattest::inspection {
namespace {

constexpr size_t kMaxReason = 600;
constexpr size_t kMaxAppliances = 2;
// Address space of each process: the appliance's memory, 1 GiB of translated
// code without KVM, libraries.
constexpr uint64_t kMemory = uint64_t{6} << 30;
constexpr uint64_t kOpenFiles = 512;

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

bool IsCancelled(const DiskInspector::Request& request) {
  return request.cancelled && request.cancelled();
}

std::string Printable(std::string text) {
  text.resize(std::min(text.size(), kMaxReason));
  for (char& c : text) {
    c = c >= ' ' && c <= '~' ? c : '?';
  }
  return text;
}

// The leaves that say why a content is not read.
void Refuse(const UnreadContent& content, const std::string& why,
            DiskReport& report) {
  for (ConfigLeaf& leaf : report.leaves) {
    if (leaf.path == content.prefix && leaf.type == LeafType::kUnavailable) {
      leaf.value = Printable(fmt::format("{}: {}", content.title, why));
    }
  }
}

bool IsOf(std::string_view path, std::string_view prefix) {
  return path == prefix ||
         (path.starts_with(prefix) && path.substr(prefix.size())[0] == '/');
}

absl::Status CheckPlaces(const std::vector<ConfigLeaf>& leaves,
                         const internal::WorkerRequest::InspectDisk& asked) {
  for (const ConfigLeaf& leaf : leaves) {
    const bool allowed =
        leaf.path == "limit" ||
        std::any_of(asked.contents().begin(), asked.contents().end(),
                    [&leaf](const internal::UnreadContent& content) {
                      return IsOf(leaf.path, content.prefix());
                    });
    if (!allowed) {
      return absl::DataLossError(
          "the worker sent a leaf of what it was not asked for");
    }
  }
  return absl::OkStatus();
}

// Whoever was asked second knows more.
void Merge(std::vector<ConfigLeaf> leaves,
           const internal::WorkerRequest::InspectDisk& asked,
           DiskReport& report) {
  std::set<std::string> replaced;
  for (const internal::UnreadContent& content : asked.contents()) {
    replaced.insert(content.prefix());
  }
  for (const ConfigLeaf& leaf : leaves) {
    replaced.insert(leaf.path);
  }
  std::vector<ConfigLeaf>& all = report.leaves;
  all.erase(std::remove_if(all.begin(), all.end(),
                           [&replaced](const ConfigLeaf& leaf) {
                             return replaced.count(leaf.path) != 0;
                           }),
            all.end());
  std::move(leaves.begin(), leaves.end(), std::back_inserter(all));
  std::sort(all.begin(), all.end());
}

}  // namespace

WorkerPoolOptions ForGuestfs(WorkerPoolOptions options,
                             std::chrono::seconds limit) {
  options.max_workers = kMaxAppliances;
  options.spares = 0;
  options.memory_bytes = kMemory;
  options.cpu_time = 2 * limit;  // QEMU has several threads
  options.open_files = kOpenFiles;
  options.own_namespaces = true;
  options.launcher.emplace();
  return options;
}

struct GuestfsReader::Answer {
  internal::WorkerRequest asked;
  std::vector<ConfigLeaf> leaves;
  std::string why_not;  // not empty: the appliance did not start
};

absl::StatusOr<GuestfsReader::Answer> GuestfsReader::AskOne(
    const Image& image, const DiskInspector::Request& request,
    const internal::WorkerRequest& asked, MonotonicTime start_deadline,
    MonotonicTime deadline) const {
  bool started = false;
  WorkerCall call;
  call.deadline = deadline;
  call.cancelled = [&] {
    return IsCancelled(request) || (!started && Now() >= start_deadline);
  };
  call.progress = [&started](uint64_t) { started = true; };
  const auto worker = options_.pool->Take(
      {.deadline = deadline, .progress = {}, .cancelled = request.cancelled});
  if (absl::IsResourceExhausted(worker.status()) ||
      absl::IsUnavailable(worker.status()) ||
      absl::IsCancelled(worker.status())) {
    return worker.status();
  }
  Answer answer;
  answer.asked = asked;
  if (!worker.ok()) {
    answer.why_not = std::string(worker.status().message());
    return answer;
  }
  ASSIGN_OR_RETURN(UniqueFd descriptor, image.open());
  std::vector<UniqueFd> descriptors;
  descriptors.push_back(std::move(descriptor));
  const absl::StatusOr<internal::WorkerReply> reply =
      (*worker)->Call(asked, std::move(descriptors), call);
  if (!started && !reply.ok()) {
    if (IsCancelled(request)) {
      return absl::CancelledError("cancelled");
    }
    answer.why_not = absl::IsCancelled(reply.status()) ||
                             absl::IsDeadlineExceeded(reply.status())
                         ? "its appliance did not start in time"
                         : std::string(reply.status().message());
    return answer;
  }
  RETURN_IF_ERROR(reply.status());
  ASSIGN_OR_RETURN(answer.leaves, LeavesOf(*reply, options_.max_leaves + 1));
  RETURN_IF_ERROR(CheckPlaces(answer.leaves, asked.inspect_disk()));
  return answer;
}

absl::StatusOr<GuestfsReader::Answer> GuestfsReader::Ask(
    const Image& image, const DiskInspector::Request& request,
    const DiskReport& report, MonotonicTime deadline) const {
  const MonotonicTime end = std::min(deadline, Now() + options_.limit);
  internal::WorkerRequest asked = image.asked;
  internal::WorkerRequest::InspectDisk& disk = *asked.mutable_inspect_disk();
  disk.set_inventory_ms(static_cast<uint32_t>(options_.limit.count()));
  disk.set_max_leaves(static_cast<uint32_t>(
      options_.max_leaves -
      std::min(options_.max_leaves, report.leaves.size())));
  for (size_t i = 0; i < std::min(kMaxContents, report.unread.size()); ++i) {
    internal::UnreadContent& content = *disk.add_contents();
    content.set_prefix(report.unread[i].prefix);
    content.set_title(report.unread[i].title);
    content.set_begin(report.unread[i].begin);
    content.set_size(report.unread[i].size);
  }
  if (!options_.force_tcg) {
    ASSIGN_OR_RETURN(Answer answer, AskOne(image, request, asked,
                                           Now() + options_.start_limit, end));
    if (answer.why_not.empty()) {
      return answer;
    }
  }
  disk.set_force_tcg(true);
  return AskOne(image, request, asked, end, end);
}

absl::Status GuestfsReader::Complete(const Image& image,
                                     const DiskInspector::Request& request,
                                     MonotonicTime deadline,
                                     DiskReport& report) const {
  const std::vector<UnreadContent> unread = std::exchange(report.unread, {});
  if (unread.empty()) {
    return absl::OkStatus();
  }
  if (options_.pool == nullptr) {
    for (const UnreadContent& content : unread) {
      Refuse(content, options_.why_not, report);
    }
    return absl::OkStatus();
  }
  report.unread = unread;
  absl::StatusOr<Answer> answer = Ask(image, request, report, deadline);
  report.unread.clear();
  RETURN_IF_ERROR(answer.status());
  for (size_t i = kMaxContents; i < unread.size(); ++i) {
    Refuse(unread[i], fmt::format("more than {} such partitions", kMaxContents),
           report);
  }
  if (answer->why_not.empty()) {
    Merge(std::move(answer->leaves), answer->asked.inspect_disk(), report);
    return absl::OkStatus();
  }
  for (size_t i = 0; i < std::min(kMaxContents, unread.size()); ++i) {
    Refuse(unread[i], "libguestfs: " + answer->why_not, report);
  }
  return absl::OkStatus();
}

}  // namespace vmattest::inspection
