#include "rpc/ledger_streams.h"

#include <deque>
#include <memory>
#include <utility>

#include "rpc/ledger_conversions.h"
#include "rpc/pumped_stream.h"

namespace vmattest::rpc {
namespace {

constexpr size_t kPage = 128;

// A stream that looks again whenever the node tells it to.
template <class Message>
class LedgerStream : public PumpedStream<Message> {
 protected:
  explicit LedgerStream(const LedgerParts& parts)
      : PumpedStream<Message>(parts.watch), parts_(parts) {}

  absl::Status Subscribe() override {
    const std::weak_ptr<PumpedStream<Message>> weak = this->weak_from_this();
    ASSIGN_OR_RETURN(watch_, parts_.node.Subscribe([weak] {
      if (const auto self =
              std::static_pointer_cast<LedgerStream>(weak.lock())) {
        (void)self->Schedule();
      }
    }));
    return absl::OkStatus();
  }
  void Unsubscribe() override { watch_.reset(); }

  const LedgerParts parts_;

 private:
  std::unique_ptr<ledger::LedgerNode::Watch> watch_;
};

class TrustStream final : public LedgerStream<v1::GetTrustResponse> {
 public:
  TrustStream(const LedgerParts& parts, const Uuid& vm)
      : LedgerStream(parts), vm_(vm) {}

 private:
  absl::Status Step(bool sending) override {
    if (sending) {
      return absl::OkStatus();
    }
    const absl::StatusOr<ledger::LedgerNode::Trust> trust =
        parts_.node.GetScore(vm_);
    if (!trust.ok()) {
      return TrustReason(trust.status());
    }
    const trust::Reading& now = trust->reading;
    // Decay alone is no news: who wants it reads.
    if (sent_ && now.vm == last_.vm &&
        now.host_compromised == last_.host_compromised &&
        now.silences == last_.silences) {
      return absl::OkStatus();
    }
    sent_ = true;
    last_ = now;
    Send(ToWire(vm_, *trust, parts_.node.checkpoint().unwitnessed));
    return absl::OkStatus();
  }

  const Uuid vm_;
  bool sent_ = false;  // of the `watch` thread, as the rest
  trust::Reading last_;
};

class RecordStream final : public LedgerStream<v1::WatchAllResponse> {
 public:
  RecordStream(const LedgerParts& parts, uint64_t begin)
      : LedgerStream(parts), next_(begin) {}

 private:
  absl::Status Step(bool sending) override {
    if (sending) {
      return absl::OkStatus();
    }
    if (page_.empty()) {
      ASSIGN_OR_RETURN(std::vector<Bytes> records,
                       parts_.node.log().store().Records(next_, kPage));
      page_.assign(std::make_move_iterator(records.begin()),
                   std::make_move_iterator(records.end()));
    }
    if (page_.empty()) {
      return absl::OkStatus();
    }
    v1::WatchAllResponse message;
    message.set_index(next_++);
    message.set_record(std::string(AsText(page_.front())));
    page_.pop_front();
    Send(std::move(message));
    return absl::OkStatus();
  }

  uint64_t next_;  // of the `watch` thread
  std::deque<Bytes> page_;
};

}  // namespace

grpc::ServerWriteReactor<v1::GetTrustResponse>* StartTrustStream(
    const LedgerParts& parts, const Uuid& vm) {
  return std::make_shared<TrustStream>(parts, vm)->Start();
}

grpc::ServerWriteReactor<v1::WatchAllResponse>* StartRecordStream(
    const LedgerParts& parts, uint64_t begin) {
  return std::make_shared<RecordStream>(parts, begin)->Start();
}

}  // namespace vmattest::rpc
