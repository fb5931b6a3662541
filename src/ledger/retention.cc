#include "ledger/retention.h"

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "fmt/format.h"
#include "ledger/tile_directory.h"

namespace vmattest::ledger {
namespace {

constexpr uint64_t kLeastSlack = 256;  // a bundle

// What the Trust Authority signs next in the log, without what it says.
v1::LedgerEntryBody NextBody(const LogState& state,
                             const document::PrivateKey& key) {
  v1::LedgerEntryBody body;
  body.set_log(state.policy().origin);
  body.set_time_unix_ms(state.time_ms());
  body.set_sequence(1);
  const Writer* const writer =
      state.FindWriter("key/" + ToHex(key.public_key().key_id));
  if (writer != nullptr) {
    body.set_sequence(writer->sequence + 1);
    body.set_previous(std::string(AsText(writer->last_hash)));
  }
  return body;
}

}  // namespace

Retention::Retention(LedgerNode& node, const document::PrivateKey* authority,
                     Options options)
    : node_(node), authority_(authority), options_(std::move(options)) {}

absl::Status Retention::Round() {
  const Checkpointer::State checkpoint = node_.checkpoint();
  if (checkpoint.witnessed == 0 || checkpoint.fork) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Archive(checkpoint));
  if (options_.keep == 0 || authority_ == nullptr || !node_.leadership().mine) {
    return absl::OkStatus();
  }
  return Drop(checkpoint);
}

absl::Status Retention::Archive(const Checkpointer::State& checkpoint) {
  LogStore& store = node_.log().store();
  RETURN_IF_ERROR_WITH(ExportLog(store, checkpoint.note, options_.archive),
                       "archive");
  return store.MarkArchived(options_.name, checkpoint.witnessed);
}

absl::Status Retention::Drop(const Checkpointer::State& checkpoint) {
  LogStore& store = node_.log().store();
  ASSIGN_OR_RETURN(const uint64_t first, store.FirstRecord());
  const uint64_t slack = std::max(kLeastSlack, options_.keep / 8);
  if (checkpoint.witnessed <= first + options_.keep + slack) {
    return absl::OkStatus();
  }
  const uint64_t before = checkpoint.witnessed - options_.keep;
  ASSIGN_OR_RETURN(const uint64_t state_size, store.StateSize());
  if (state_size < before) {
    return WriteState(state_size);
  }
  // The record that confirms the state is witnessed too, or the state might be
  // of a history that a rollback takes away.
  if (checkpoint.witnessed <= state_size) {
    return absl::OkStatus();
  }
  std::vector<std::string> archives = options_.others;
  archives.push_back(options_.name);
  return store.Trim(before, archives);
}

absl::Status Retention::WriteState(uint64_t seen_size) {
  struct Made {
    uint64_t size = 0;
    std::vector<StateItem> items;
  };
  auto made = std::make_shared<Made>();
  auto answer =
      std::make_shared<std::promise<absl::StatusOr<Sequencer::Submitted>>>();
  auto done = answer->get_future();
  RETURN_IF_ERROR(node_.SubmitMade(
      [this, made](const Log& log) -> absl::StatusOr<Bytes> {
        v1::LedgerEntryBody body;
        std::vector<LogState::Item> items;
        log.With([&](const LogState& state) {
          body = NextBody(state, *authority_);
          items = state.Items();
          made->size = state.size();
        });
        body.mutable_state_root()->set_size(made->size);
        body.mutable_state_root()->set_root(
            std::string(AsText(LogState::RootOf(items))));
        made->items.clear();
        for (LogState::Item& item : items) {
          made->items.push_back(
              {.key = std::move(item.first), .value = std::move(item.second)});
        }
        return SignAuthorityEntry(std::move(body), *authority_);
      },
      [answer](absl::StatusOr<Sequencer::Submitted> got) {
        answer->set_value(std::move(got));
      }));
  ASSIGN_OR_RETURN_WITH(const Sequencer::Submitted submitted, done.get(),
                        "state-root entry");
  if (submitted.refusal) {
    return absl::FailedPreconditionError(
        fmt::format("the ledger refused its state-root entry: {} at {}",
                    submitted.refusal->code, submitted.refusal->element));
  }
  return node_.log().store().PutState(seen_size, made->size, made->items);
}

}  // namespace vmattest::ledger
