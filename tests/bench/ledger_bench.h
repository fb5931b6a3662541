#ifndef VMATTEST_BENCH_LEDGER_BENCH_H_
#define VMATTEST_BENCH_LEDGER_BENCH_H_

#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "crypto/digest.h"
#include "crypto/ecdsa_der.h"
#include "fmt/format.h"
#include "ledger/log.h"
#include "sqlite/database.h"
#include "sqlite/schema.h"

// What the ledger is measured with, and against.

namespace vmattest::ledger {

namespace fs = std::filesystem;

inline constexpr auto kSha256 = HashAlgorithm::kSha256;
inline constexpr const char* kOrigin = "ledger.example/bench";
inline constexpr size_t kEntrySize = 700;

inline fs::path Fresh(const std::string& name) {
  const fs::path path = fs::temp_directory_path() /
                        fmt::format("ledger-bench-{}-{}", getpid(), name);
  fs::remove_all(path);
  for (const char* suffix : {"-wal", "-shm", ".lock"}) {
    fs::remove(path.string() + suffix);
  }
  return path;
}

// Hosts that each write notices of about 700 bytes, or results of their VMs,
// and an authority.
class Hosts {
 public:
  explicit Hosts(size_t count)
      : authority_(
            document::PrivateKey::Generate("bench", std::nullopt).value()) {
    for (size_t i = 0; i < count; ++i) {
      hosts_.push_back({fmt::format("host-{}", i), EcPrivateKey::Generate()});
    }
  }
  [[nodiscard]] LogPolicy Policy() const {
    return {.origin = kOrigin, .authorities = {authority_.public_key()}};
  }
  void AuthoriseAll(Log& log, WallTime now) {
    for (const Host& host : hosts_) {
      Accept(
          log, now, ByAuthority([&](v1::LedgerEntryBody& body) {
            v1::LedgerHostAuthorise& message = *body.mutable_host_authorise();
            message.set_host_id(host.id);
            message.set_key_spki(
                std::string(AsText(EncodeSpki(host.key.public_key()).value())));
            message.set_key_evidence_hash(std::string(32, 'e'));
          }));
    }
  }
  Bytes Next(size_t number, int64_t time_ms) {
    return ByHost(number, time_ms, [](v1::LedgerEntryBody& body) {
      v1::LedgerNotice& notice = *body.mutable_notice();
      notice.set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
      notice.set_text(std::string(kEntrySize - 220, 'x'));
    });
  }

  // Has `count` VMs run on each host.
  void LaunchVms(Log& log, size_t count, WallTime now) {
    for (size_t number = 0; number < hosts_.size(); ++number) {
      for (size_t i = 0; i < count; ++i) {
        Vm vm{fmt::format("vm {:05} {:07}", number, i), {}};
        vm.previous =
            Accept(log, now, ByAuthority([&](v1::LedgerEntryBody& body) {
                     body.mutable_vm_register()->set_vm_id(vm.id);
                     body.mutable_vm_register()->set_owner("tenant");
                   }));
        const Bytes launch =
            ByHost(number, now.time_since_epoch().count(),
                   [&](v1::LedgerEntryBody& body) {
                     v1::LedgerLaunchDecision& message =
                         *body.mutable_launch_decision();
                     message.set_vm_id(vm.id);
                     message.set_allowed(true);
                     message.set_mode("enforce");
                     message.set_vm_previous(std::string(AsText(vm.previous)));
                   });
        vm.previous = Accept(log, now, launch);
        hosts_[number].vms.push_back(std::move(vm));
      }
    }
  }
  // All VMs of a host pass; `named` of them are named, with evidence.
  Bytes Tick(size_t number, size_t named, int64_t time_ms) {
    Host& host = hosts_[number % hosts_.size()];
    const size_t first = host.ticks * named % host.vms.size();
    const bool all = host.ticks == 0 || named >= host.vms.size();
    const auto is_named = [&](size_t i) {
      return all || (i + host.vms.size() - first) % host.vms.size() < named;
    };
    Bytes bytes = ByHost(number, time_ms, [&](v1::LedgerEntryBody& body) {
      v1::LedgerAttestBatch& batch = *body.mutable_attest_batch();
      batch.set_tick(host.ticks + 1);
      batch.set_results_root(std::string(32, 'r'));
      batch.set_vm_count(static_cast<uint32_t>(host.vms.size()));
      for (size_t i = 0; i < host.vms.size(); ++i) {
        if (is_named(i)) {
          v1::LedgerVmChange& change = *batch.add_changes();
          change.set_vm_id(host.vms[i].id);
          change.set_outcome(v1::LEDGER_OUTCOME_PASS);
          change.set_check(v1::LEDGER_CHECK_LIVENESS);
          change.set_evidence_hash(std::string(32, 'e'));
          change.set_vm_previous(std::string(AsText(host.vms[i].previous)));
        }
      }
      batch.set_unchanged(batch.vm_count() -
                          static_cast<uint32_t>(batch.changes_size()));
    });
    for (size_t i = 0; i < host.vms.size(); ++i) {
      if (is_named(i)) {
        host.vms[i].previous = host.previous;
      }
    }
    ++host.ticks;
    return bytes;
  }

 private:
  struct Vm {
    std::string id;
    Bytes previous;
  };
  struct Host {
    std::string id;
    EcPrivateKey key;
    uint64_t sequence = 0;
    Bytes previous;
    std::vector<Vm> vms;
    size_t ticks = 0;
  };

  template <class Fill>
  Bytes ByHost(size_t number, int64_t time_ms, const Fill& fill) {
    Host& host = hosts_[number % hosts_.size()];
    v1::LedgerEntryBody body;
    body.set_log(kOrigin);
    body.set_host_id(host.id);
    body.set_sequence(++host.sequence);
    body.set_previous(std::string(AsText(host.previous)));
    body.set_time_unix_ms(time_ms);
    fill(body);
    Bytes bytes = SignHostEntry(body, host.key);
    host.previous = Hash(kSha256, bytes);
    return bytes;
  }
  template <class Fill>
  Bytes ByAuthority(const Fill& fill) {
    v1::LedgerEntryBody body;
    body.set_log(kOrigin);
    body.set_sequence(++sequence_);
    body.set_previous(std::string(AsText(previous_)));
    fill(body);
    Bytes bytes = SignAuthorityEntry(body, authority_).value();
    previous_ = Hash(kSha256, bytes);
    return bytes;
  }
  // Its hash.
  static Bytes Accept(Log& log, WallTime now, const Bytes& bytes) {
    CheckedEntry checked{.entry = ParseEntry(bytes).value()};
    checked.key =
        log.With([&](const LogState& s) { return s.KeyFor(checked.entry); });
    if (!log.Append({checked}, now).value().at(0).index) {
      std::abort();
    }
    return checked.entry.hash;
  }

  document::PrivateKey authority_;
  uint64_t sequence_ = 0;
  Bytes previous_;
  std::vector<Host> hosts_;
};

inline WallTime Now() { return SystemClock().Now(); }

inline double ProcessSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

// As many keys and signatures as an audit meets: the same one again and again
// is faster, as the processor learns its branches.
class Signatures {
 public:
  Signatures() {
    for (size_t i = 0; i < kKeys; ++i) {
      const EcPrivateKey key = EcPrivateKey::Generate();
      verifiers_.push_back(EcVerifier::Import(key.public_key()).value());
      for (size_t j = 0; j < kSignatures / kKeys; ++j) {
        const Bytes digest = Hash(kSha256, AsBytes(fmt::format("{} {}", i, j)));
        all_.push_back({i, digest, key.SignDigest(digest)});
      }
    }
  }
  bool VerifyNext() {
    const Signed& one = all_[(next_++ * 11) % all_.size()];
    return verifiers_[one.key].Verify(one.digest, one.signature.r,
                                      one.signature.s);
  }

 private:
  static constexpr size_t kKeys = 200;
  static constexpr size_t kSignatures = 2'000;
  struct Signed {
    size_t key;
    Bytes digest;
    EcPrivateKey::Signature signature;
  };
  std::vector<EcVerifier> verifiers_;
  std::vector<Signed> all_;
  size_t next_ = 0;
};

// SQLite in the shape of the ledger's batches: records, one row of state for
// each, the tile, the head; one commit.
class RawSqlite {
 public:
  explicit RawSqlite(const std::string& name)
      : database_(sqlite::Database::Open(Fresh(name), "raw").value()) {
    constexpr const char* kSteps[] = {
        "CREATE TABLE record(idx INTEGER PRIMARY KEY, bytes BLOB) STRICT;"
        "CREATE TABLE state(id INTEGER PRIMARY KEY, bytes BLOB) STRICT;"
        "CREATE TABLE tile(place INTEGER PRIMARY KEY, hashes BLOB) STRICT;"
        "CREATE TABLE head(id INTEGER PRIMARY KEY, root BLOB) STRICT;"};
    if (!sqlite::PrepareSchema(
             database_, {.application_id = 1, .steps = kSteps, .name = "raw"})
             .ok()) {
      std::abort();
    }
    record_ = Put("record");
    vm_ = Put("state");
    tile_ = Put("tile");
    head_ = Put("head");
  }
  bool WriteBatch(int64_t size) {
    sqlite::Transaction transaction(database_);
    bool good = transaction.Begin().ok();
    for (int64_t i = 0; i < size; ++i, ++index_) {
      good = good && Write(record_, index_, bytes_);
      good = good && Write(vm_, index_ % 1'000, small_);
    }
    const Bytes hashes(static_cast<size_t>(index_ % 256 + 1) * 32, 3);
    good = good && Write(tile_, index_ / 256, hashes);
    good = good && Write(head_, 0, small_);
    return good && transaction.Commit().ok();
  }
  [[nodiscard]] int64_t written() const { return index_; }

 private:
  sqlite::StatementHandle Put(const char* table) {
    return database_
        .Prepare(fmt::format("INSERT OR REPLACE INTO {} VALUES(?, ?)", table))
        .value();
  }
  bool Write(const sqlite::StatementHandle& put, int64_t key, ByteView value) {
    sqlite::Query query = database_.Execute(put);
    return query.Bind(key).Bind(value).Run().ok();
  }

  sqlite::Database database_;
  sqlite::StatementHandle record_, vm_, tile_, head_;
  const Bytes bytes_ = Bytes(kEntrySize, 1);
  const Bytes small_ = Bytes(100, 2);
  int64_t index_ = 0;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_BENCH_LEDGER_BENCH_H_
