#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "verification/etcd/etcd_verifier_store.h"
#include "verification/etcd/rows.h"

// The part of EtcdVerifierStore that takes over another store.

namespace vmattest::verification {
namespace {

constexpr size_t kPage = 100;
constexpr size_t kOrdersAtOnce = 50;

}  // namespace

absl::Status EtcdVerifierStore::Wipe() {
  // Last the mark, so that what is left always has it.
  for (const auto& [begin, end] :
       {std::pair("", "importing"), std::pair("importing\x01", "\x7f")}) {
    etcd::Transaction wipe;
    wipe.writes.emplace_back(
        etcd::Delete{table_.prefix() + begin, table_.prefix() + end});
    RETURN_IF_ERROR(table_.etcd().Transact(wipe, table_.Deadline()).status());
  }
  return absl::OkStatus();
}

absl::Status EtcdVerifierStore::ImportHosts(VerifierStore& from) {
  std::string after;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<HostEntry> hosts,
                     from.ListHosts(after, kPage));
    for (const HostEntry& host : hosts) {
      ASSIGN_OR_RETURN(const std::optional<RebindPermit> permit,
                       from.FindPermit(host.host_id));
      ASSIGN_OR_RETURN(const std::vector<BreakGlassEntry> orders,
                       from.BreakGlassOf(host.host_id, 0));
      if (orders.size() > kOrdersAtOnce) {
        return absl::ResourceExhaustedError(
            fmt::format("host {} has {} orders", host.host_id, orders.size()));
      }
      RETURN_IF_ERROR(table_.Apply([&](Change& change) {
        WriteHost(host, std::nullopt, change);
        if (permit) {
          change.Put("permit/" + permit->host_id, Encode(*permit));
        }
        for (const BreakGlassEntry& order : orders) {
          WriteOrder(order, change);
        }
        return absl::OkStatus();
      }));
      after = host.host_id;
    }
    if (hosts.size() < kPage) {
      return absl::OkStatus();
    }
  }
}

absl::Status EtcdVerifierStore::ImportReferences(VerifierStore& from) {
  std::string after;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<ReferenceEntry> newest,
                     from.ListReferences(after, kPage));
    for (const ReferenceEntry& entry : newest) {
      ASSIGN_OR_RETURN(const std::vector<uint64_t> revisions,
                       from.RevisionsOf(entry.name));
      for (const uint64_t revision : revisions) {
        ASSIGN_OR_RETURN(const std::optional<ReferenceEntry> reference,
                         from.FindReference(entry.name, revision));
        if (!reference) {
          return absl::DataLossError(fmt::format(
              "reference {} lost its revision {}", entry.name, revision));
        }
        ASSIGN_OR_RETURN(const internal::StoredBytes document,
                         table_.Upload(reference->document));
        RETURN_IF_ERROR(ClaimAhead(*reference));
        const absl::Status applied =
            table_.Apply([&](Change& change) -> absl::Status {
              RETURN_IF_ERROR(table_.Keep(document, change));
              WriteReference(*reference, document, change);
              return absl::OkStatus();
            });
        RETURN_IF_ERROR(applied);
      }
      after = entry.name;
    }
    if (newest.size() < kPage) {
      return absl::OkStatus();
    }
  }
}

absl::Status EtcdVerifierStore::ImportBaselines(VerifierStore& from) {
  std::string after;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<BaselineEntry> newest,
                     from.ListBaselines(after, kPage));
    for (const BaselineEntry& entry : newest) {
      ASSIGN_OR_RETURN(const std::vector<uint64_t> revisions,
                       from.BaselineRevisions(entry.name));
      uint64_t before = 0;
      for (const uint64_t revision : revisions) {
        ASSIGN_OR_RETURN(std::optional<BaselineEntry> baseline,
                         from.FindBaseline(entry.name, revision));
        ASSIGN_OR_RETURN(Bytes pages, from.BaselinePages(entry.name, revision));
        if (!baseline) {
          return absl::DataLossError(fmt::format(
              "baseline {} lost its revision {}", entry.name, revision));
        }
        // What older revisions claimed may be another's by now.
        if (revision != entry.revision) {
          baseline->vm_uuids.clear();
        }
        RETURN_IF_ERROR(PutBaseline({.baseline = *std::move(baseline),
                                     .pages = std::move(pages),
                                     .seen_revision = before})
                            .status());
        before = revision;
      }
      after = entry.name;
    }
    if (newest.size() < kPage) {
      return absl::OkStatus();
    }
  }
}

absl::Status EtcdVerifierStore::ImportDecisions(VerifierStore& from,
                                                const Progress& progress) {
  ASSIGN_OR_RETURN(const uint64_t last, from.LastSequence());
  ASSIGN_OR_RETURN(const uint64_t epoch, from.RevocationEpoch());
  ASSIGN_OR_RETURN(const std::vector<DecisionEntry> oldest, from.After(0, 1));
  const uint64_t first = oldest.empty() ? last + 1 : oldest[0].sequence;
  RETURN_IF_ERROR(table_.Apply([&](Change& change) {
    change.counter.set_last_sequence(first - 1);
    change.counter.set_first_sequence(first);
    change.counter.set_revocation_epoch(epoch);
    return absl::OkStatus();
  }));
  for (uint64_t done = first - 1; done < last;) {
    ASSIGN_OR_RETURN(const std::vector<DecisionEntry> page,
                     from.After(done, kMostAtOnce));
    std::vector<DecisionWrite> writes;
    for (const DecisionEntry& decision : page) {
      if (decision.sequence != done + 1) {
        return absl::DataLossError(
            fmt::format("there is no decision {}", done + 1));
      }
      ++done;
      ASSIGN_OR_RETURN(Bytes evidence, from.FindEvidence(decision.sequence));
      writes.push_back({decision, std::move(evidence)});
    }
    if (writes.empty()) {
      return absl::DataLossError(
          fmt::format("there is no decision {}", done + 1));
    }
    // What is there was worth keeping.
    RETURN_IF_ERROR(Append(writes, ~size_t{0}).status());
    progress(done - first + 1, last - first + 1);
  }
  return absl::OkStatus();
}

absl::Status EtcdVerifierStore::Import(etcd::KeyValues& etcd,
                                       const EtcdTable::Options& options,
                                       const Clock& clock, VerifierStore& from,
                                       const Progress& progress) {
  EtcdVerifierStore store(etcd, options, clock);
  ASSIGN_OR_RETURN(const etcd::RangeResult found,
                   etcd.Range({.key = options.prefix,
                               .end = etcd::PrefixEnd(options.prefix),
                               .limit = 1,
                               .keys_only = true},
                              store.table_.Deadline()));
  ASSIGN_OR_RETURN(const Read at, store.table_.Now());
  ASSIGN_OR_RETURN(const std::optional<std::string> importing,
                   store.table_.Get(at, "importing"));
  if (!found.kvs.empty() && !importing) {
    return absl::FailedPreconditionError(fmt::format(
        "{} in etcd is not empty", etcd::Printable(options.prefix)));
  }
  RETURN_IF_ERROR(store.table_.PutAhead({{"importing", ""}}));
  RETURN_IF_ERROR(store.Wipe());
  RETURN_IF_ERROR(store.ImportHosts(from));
  RETURN_IF_ERROR(store.ImportReferences(from));
  RETURN_IF_ERROR(store.ImportBaselines(from));
  RETURN_IF_ERROR(store.ImportDecisions(from, progress));
  return store.table_.Apply([&](Change& change) {
    change.Put("format", "1");
    change.Delete("importing");
    return absl::OkStatus();
  });
}

}  // namespace vmattest::verification
