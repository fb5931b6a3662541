#include "etcd/grpc/members.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace vmattest::etcd {
namespace {

// How long each endpoint gets when none of them can be connected to.
constexpr std::chrono::milliseconds kPatience{200};

bool MayAskAnother(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

}  // namespace

void GrpcKeyValues::Members::Add(const std::string& endpoint,
                                 std::shared_ptr<grpc::Channel> channel) {
  members_.push_back(std::make_unique<Member>(endpoint, std::move(channel)));
}

MonotonicTime GrpcKeyValues::Members::AttemptEnd(MonotonicTime deadline) const {
  return std::min(deadline,
                  std::chrono::steady_clock::now() + options_.attempt_timeout);
}

void GrpcKeyValues::Members::Leave(const Member& member) {
  size_t current = current_;
  if (members_[current].get() == &member) {
    current_.compare_exchange_strong(current, (current + 1) % members_.size());
  }
}

absl::StatusOr<GrpcKeyValues::Member*> GrpcKeyValues::Members::Pick(
    MonotonicTime deadline) {
  RETURN_IF_ERROR(sentinel_.status());
  for (size_t tries = 0;; ++tries) {
    Member& member = *members_[current_];
    const bool patient = tries >= members_.size();
    const absl::Status ready = member.Ready(
        sentinel_, options_.allow_unsafe_version, patient,
        patient
            ? std::min(deadline, std::chrono::steady_clock::now() + kPatience)
            : AttemptEnd(deadline));
    if (ready.ok()) {
      return &member;
    }
    if (!MayAskAnother(ready) || std::chrono::steady_clock::now() >= deadline) {
      return ready;
    }
    Leave(member);
  }
}

absl::Status GrpcKeyValues::Members::Ask(Repeat repeat, MonotonicTime deadline,
                                         const Question& question) {
  while (true) {
    ASSIGN_OR_RETURN(Member * member, Pick(deadline));
    const int64_t before = sentinel_.Before();
    grpc::ClientContext context;
    Prepare(context, AttemptEnd(deadline));
    const Answer answer = question(*member, context);
    const absl::Status status = member->Finished(answer.status);
    if (status.ok()) {
      const uint64_t cluster = answer.header.cluster_id();
      return Annotate(
          answer.linearizable
              ? sentinel_.Answered(cluster, answer.header.revision(), before)
              : sentinel_.AnsweredBy(cluster),
          fmt::format("etcd at {}", member->endpoint));
    }
    if (!MayAskAnother(status)) {
      return status;
    }
    Leave(*member);
    if (repeat == Repeat::kNo || std::chrono::steady_clock::now() >= deadline) {
      return status;
    }
  }
}

}  // namespace vmattest::etcd
