#ifndef VMATTEST_VERIFICATION_ETCD_TABLE_H_
#define VMATTEST_VERIFICATION_ETCD_TABLE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "etcd/commit.h"
#include "vmattest/internal/verifier_store.pb.h"

namespace vmattest::verification {

// A store whose every change is one transaction over one counter: who changes
// something has read the counter first, reads everything else as it was at
// that moment, and writes only if nobody changed anything since. So changes of
// several processes happen one after the other, as in one SQLite file. Callable
// from any thread.
class EtcdTable {
 public:
  struct Options {
    std::string prefix;                         // "/vmattest/verifier/"
    std::chrono::milliseconds timeout{10'000};  // of each call
  };
  // `etcd` and `clock` must outlive it.
  EtcdTable(etcd::KeyValues& etcd, const Options& options, const Clock& clock);

  // Keys are without the prefix from here on.
  struct Read {
    int64_t revision = 0;  // of the whole store
    internal::StoredCounter counter;
    MonotonicTime deadline;
  };
  // The moment that one call's reads are about.
  absl::StatusOr<Read> Now();
  absl::StatusOr<std::optional<std::string>> Get(const Read& at,
                                                 const std::string& key);
  // Keys that begin with `prefix`, from `from` on (which begins with it).
  // False from `each`: enough.
  using Each = std::function<absl::StatusOr<bool>(const std::string& key,
                                                  const std::string& value)>;
  absl::Status Scan(const Read& at, const std::string& prefix,
                    const std::string& from, const Each& each);

  struct Change : Read {
    std::vector<etcd::Condition> conditions;
    std::vector<std::variant<etcd::Put, etcd::Delete>> writes;
    void Put(const std::string& key, std::string value) {
      writes.emplace_back(etcd::Put{key, std::move(value)});
    }
    void Delete(const std::string& key) {
      writes.emplace_back(etcd::Delete{key, ""});
    }
    void DeleteRange(const std::string& key, const std::string& end) {
      writes.emplace_back(etcd::Delete{key, end});
    }
  };
  // Does what `fill` writes, as a whole. `fill` runs again if something else
  // came first; its error is the answer, and nothing is written then.
  //   UNAVAILABLE, DEADLINE_EXCEEDED: nobody knows whether it was done, or
  //   others were always first.
  absl::Status Apply(const std::function<absl::Status(Change&)>& fill);
  // Outside of any change, and so only of what is not read yet.
  absl::Status PutAhead(const std::vector<etcd::Put>& puts);

  // Longer bytes than fit a value. Upload() leaves a note for Sweep(), which
  // Keep() takes away in the change that refers to them.
  absl::StatusOr<internal::StoredBytes> Upload(ByteView bytes);
  absl::Status Keep(const internal::StoredBytes& stored, Change& change);
  static void Drop(const internal::StoredBytes& stored, Change& change);
  absl::StatusOr<Bytes> Load(const Read& at,
                             const internal::StoredBytes& stored);
  // Drops uploads that nobody kept within an hour.
  absl::Status Sweep();

  [[nodiscard]] etcd::KeyValues& etcd() { return etcd_; }
  [[nodiscard]] const std::string& prefix() const { return options_.prefix; }
  [[nodiscard]] MonotonicTime Deadline() const {
    return std::chrono::steady_clock::now() + options_.timeout;
  }

 private:
  absl::StatusOr<Change> Begin(MonotonicTime deadline, int64_t& counter_at);
  void Qualify(Change& change) const;

  etcd::KeyValues& etcd_;
  const Options options_;
  const Clock& clock_;
  const std::string marker_;  // this object's key
  Mutex change_mutex_;        // one change of this object at a time
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_ETCD_TABLE_H_
