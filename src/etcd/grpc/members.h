#ifndef VMATTEST_ETCD_GRPC_MEMBERS_H_
#define VMATTEST_ETCD_GRPC_MEMBERS_H_

#include <functional>

#include "etcd/grpc/member.h"

namespace vmattest::etcd {

// All endpoints, and which of them is asked. Any thread.
class GrpcKeyValues::Members {
 public:
  explicit Members(const Options& options)
      : options_(options), sentinel_(options.seen) {}
  void Add(const std::string& endpoint, std::shared_ptr<grpc::Channel> channel);

  struct Answer {
    grpc::Status status;
    etcdserverpb::ResponseHeader header;
    bool linearizable = true;  // its header's revision says something
  };
  using Question = std::function<Answer(Member&, grpc::ClientContext&)>;
  enum class Repeat : uint8_t {
    kYes,  // another endpoint is asked when one fails
    kNo,   // only while the question certainly reached nobody
  };
  absl::Status Ask(Repeat repeat, MonotonicTime deadline,
                   const Question& question);

  // An endpoint that may be asked, at most attempt_timeout from now.
  absl::StatusOr<Member*> Pick(MonotonicTime deadline);
  // It failed: the next one is better.
  void Leave(const Member& member);

  Sentinel& sentinel() { return sentinel_; }
  [[nodiscard]] MonotonicTime AttemptEnd(MonotonicTime deadline) const;

 private:
  const Options options_;
  Sentinel sentinel_;
  std::vector<std::unique_ptr<Member>> members_;
  std::atomic<size_t> current_ = 0;
};

}  // namespace vmattest::etcd

#endif  // VMATTEST_ETCD_GRPC_MEMBERS_H_
