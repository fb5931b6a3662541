#include "inspection/worker/reply_leaves.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

namespace vmattest::inspection {
namespace {

constexpr size_t kMaxPath = 8192;
constexpr size_t kMaxValue = 64U << 10;
constexpr int kMaxUnread = 2048;  // more partitions are not looked at
constexpr size_t kMaxPrefix = 64;
constexpr size_t kMaxTitle = 64;

// What a worker may call its leaves. A tree or header would stand for others.
std::optional<LeafType> LeafTypeOf(std::string_view name) {
  for (const LeafType type :
       {LeafType::kText, LeafType::kInteger, LeafType::kSize,
        LeafType::kBoolean, LeafType::kDigest, LeafType::kPresence,
        LeafType::kUnavailable}) {
    if (name == ToString(type)) {
      return type;
    }
  }
  return std::nullopt;
}

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

absl::StatusOr<std::vector<ConfigLeaf>> LeavesOf(
    const internal::WorkerReply& reply, size_t max_leaves) {
  if (!reply.has_disk()) {
    return absl::DataLossError("the worker answered something else");
  }
  const internal::WorkerReply::Disk& disk = reply.disk();
  if (static_cast<size_t>(disk.leaves_size()) > max_leaves) {
    return absl::DataLossError("the worker sent too many leaves");
  }
  std::vector<ConfigLeaf> leaves;
  std::set<std::string_view> paths;
  for (const v1::ConfigLeaf& leaf : disk.leaves()) {
    const std::optional<LeafType> type = LeafTypeOf(leaf.type());
    if (!type || leaf.path().empty() || leaf.path()[0] == '@' ||
        leaf.path().size() > kMaxPath || leaf.value().size() > kMaxValue ||
        !paths.insert(leaf.path()).second) {
      return absl::DataLossError("the worker sent a leaf that cannot be");
    }
    leaves.push_back({leaf.path(), *type, leaf.value()});
  }
  return leaves;
}

absl::StatusOr<std::vector<UnreadContent>> UnreadOf(
    const internal::WorkerReply::Disk& disk) {
  if (disk.unread_size() > kMaxUnread) {
    return absl::DataLossError("the worker sent too many partitions");
  }
  std::vector<UnreadContent> unread;
  for (const internal::UnreadContent& content : disk.unread()) {
    if (content.prefix().empty() || content.prefix().size() > kMaxPrefix ||
        content.title().size() > kMaxTitle || !IsPrintable(content.prefix()) ||
        !IsPrintable(content.title()) || content.size() == 0 ||
        content.begin() > disk.size() ||
        content.size() > disk.size() - content.begin()) {
      return absl::DataLossError("the worker sent a partition that cannot be");
    }
    unread.push_back(
        {content.prefix(), content.title(), content.begin(), content.size()});
  }
  return unread;
}

}  // namespace vmattest::inspection
