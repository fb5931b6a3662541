#include "worker/memory/guest_look.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "memory/guest_meaning.h"
#include "worker/memory/meaning_reply.h"
#include "worker/memory/symbol_index.h"

namespace vmattest::worker {
namespace {

using linuxguest::Content;
using linuxguest::Discovery;
using linuxguest::Inspection;
using linuxguest::Region;
using linuxguest::Selector;
using memory::MeaningQuery;

constexpr size_t kMaxNotes = 8;

bool IsLimit(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
}

bool IsGuestsDoing(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

Selector::Kind KindOf(MeaningQuery::What what) {
  using What = MeaningQuery::What;
  using Kind = Selector::Kind;
  switch (what) {
    case What::kKernelText:
      return Kind::kKernelText;
    case What::kKernelRodata:
      return Kind::kKernelRodata;
    case What::kIdt:
      return Kind::kIdt;
    case What::kGdt:
      return Kind::kGdt;
    case What::kSyscallTable:
      return Kind::kSyscallTable;
    case What::kModuleText:
    case What::kModuleRodata:
      return Kind::kModules;
    case What::kSymbols:
      return Kind::kSymbols;
    case What::kProcessExecutable:
      return Kind::kProcessExecutable;
    case What::kProcessAnonymous:
      break;
  }
  return Kind::kProcessAnonymous;
}

bool Wants(MeaningQuery::What what, Content content) {
  switch (what) {
    case MeaningQuery::What::kModuleText:
      return content == Content::kCode;
    case MeaningQuery::What::kModuleRodata:
      return content != Content::kCode;
    default:
      return true;
  }
}

// Why nothing can be said about anything.
void SetUnknown(const std::string& why, const internal::LookAtGuest& request,
                MeaningReply& reply) {
  reply.set_semantics(why);
  reply.set_code_hash_state("unavailable: " + why);
  reply.set_cpu_state("unavailable: " + why);
  reply.clear_regions();
  for (int i = 0; i < request.regions_size(); ++i) {
    reply.add_regions()->set_unavailable(why);
  }
}

void AddNotes(std::string_view about, const std::vector<std::string>& texts,
              MeaningReply& reply) {
  for (const std::string& text : texts) {
    if (static_cast<size_t>(reply.notes_size()) >= kMaxNotes) {
      return;
    }
    reply.add_notes(fmt::format("{}: {}", about, Printable(text)));
  }
}

absl::Status AddCode(linuxguest::Kernel& kernel, const CodeFiles& files,
                     Inspection& inspection, MeaningReply& reply) {
  ASSIGN_OR_RETURN(CodeCheck check,
                   CheckCode(kernel, inspection.modules, files));
  std::move(check.findings.begin(), check.findings.end(),
            std::back_inserter(inspection.findings));
  std::move(check.records.begin(), check.records.end(),
            std::back_inserter(inspection.records));
  reply.set_code_hash(check.hash.data(), check.hash.size());
  reply.set_code_hash_state(Printable(check.state));
  return absl::OkStatus();
}

std::string CpuState(std::span<const memory::VcpuState> cpus,
                     const std::vector<std::string>& absent) {
  if (cpus.empty()) {
    return "unavailable: no registers (a point-in-time snapshot has them)";
  }
  return absent.empty() ? "measured"
                        : Printable(fmt::format("partly: without {}",
                                                fmt::join(absent, ", ")));
}

// How many of `before` are not among `now`.
uint64_t CountMissing(const std::vector<Region>& before,
                      const std::vector<Region>& now) {
  std::multimap<std::pair<std::string_view, uint64_t>, const Region*> places;
  for (const Region& region : now) {
    places.emplace(std::pair(std::string_view(region.name), region.address),
                   &region);
  }
  return static_cast<uint64_t>(
      std::count_if(before.begin(), before.end(), [&](const Region& region) {
        const auto place = places.find({region.name, region.address});
        return place == places.end() || place->second->runs != region.runs;
      }));
}

}  // namespace

absl::StatusOr<std::vector<Region>> GuestLook::Resolve(
    const internal::MeaningRegion& wanted, const linuxguest::Modules& modules,
    const linuxguest::Processes& processes, linuxguest::Resolution& said) {
  std::vector<Region> found;
  for (const auto& query : wanted.queries()) {
    const auto what = static_cast<MeaningQuery::What>(query.what());
    const Selector selector{KindOf(what), query.pattern()};
    ASSIGN_OR_RETURN(linuxguest::Resolution one,
                     linuxguest::ResolveSelectors(*kernel_, modules, processes,
                                                  {&selector, 1}));
    std::copy_if(
        std::make_move_iterator(one.regions.begin()),
        std::make_move_iterator(one.regions.end()), std::back_inserter(found),
        [&](const Region& region) { return Wants(what, region.content); });
    said.unresolved.insert(said.unresolved.end(), one.unresolved.begin(),
                           one.unresolved.end());
    said.problems.insert(said.problems.end(), one.problems.begin(),
                         one.problems.end());
  }
  return found;
}

absl::Status GuestLook::ResolveAll(const internal::LookAtGuest& request,
                                   const Inspection& inspection,
                                   MeaningReply& reply) {
  for (const internal::MeaningRegion& wanted : request.regions()) {
    linuxguest::Resolution said;
    absl::StatusOr<std::vector<Region>> found =
        Resolve(wanted, inspection.modules, inspection.processes, said);
    if (!found.ok() && !IsGuestsDoing(found.status())) {
      return found.status();
    }
    found_.push_back(found.value_or(std::vector<Region>()));
    internal::WorkerReply::MeantRegion region;
    if (!found.ok()) {
      region.set_unavailable("guest-structures-inconsistent: " +
                             Printable(std::string(found.status().message())));
    } else if (!AddParts(*found, reply, region)) {
      region.set_unavailable("limit: more parts than a snapshot has");
      found_.back().clear();
    } else if (found->empty() && wanted.queries_size() > 0) {
      region.set_unavailable("not-found: " +
                             Printable(said.unresolved.empty()
                                           ? "the guest has nothing of the kind"
                                           : said.unresolved.front()));
    } else {
      AddNotes("not-found", said.unresolved, reply);
    }
    AddNotes("guest-structures-inconsistent", said.problems, reply);
    *reply.add_regions() = std::move(region);
  }
  return absl::OkStatus();
}

absl::Status GuestLook::Understand(const internal::LookAtGuest& request,
                                   std::span<const memory::VcpuState> cpus,
                                   const CodeFiles& files,
                                   MeaningReply& reply) {
  ASSIGN_OR_RETURN(Discovery discovery, linuxguest::DiscoverKernel(*reader_));
  AddNotes("vmcoreinfo", discovery.problems, reply);
  if (discovery.outcome == Discovery::Outcome::kNoLinux) {
    SetUnknown("no-linux: " + Printable(discovery.reason), request, reply);
    return absl::OkStatus();
  }
  if (discovery.outcome == Discovery::Outcome::kInconsistent) {
    SetUnknown("guest-structures-inconsistent: " + Printable(discovery.reason),
               request, reply);
    AddFindings({linuxguest::Inconsistent("vmcoreinfo", discovery.reason)},
                reply);
    return absl::OkStatus();
  }
  kernel_ = std::move(discovery.kernel);
  ASSIGN_OR_RETURN(Inspection inspection,
                   linuxguest::InspectKernel(*kernel_, cpus));
  reply.set_semantics("linux");
  reply.set_kernel_release(Printable(kernel_->info().release));
  const absl::StatusOr<Bytes> build = ParseHex(kernel_->info().build_id);
  if (build.ok()) {
    reply.set_kernel_build_id(build->data(), build->size());
  }
  RETURN_IF_ERROR(ResolveAll(request, inspection, reply));
  AddSymbols(kernel_->symbols(), inspection.modules, reply);
  RETURN_IF_ERROR(AddCode(*kernel_, files, inspection, reply));
  AddFindings(std::move(inspection.findings), reply);
  AddRecords(inspection.records,
             {request.task_fields().begin(), request.task_fields().end()},
             reply);
  reply.set_cpu_state(CpuState(cpus, inspection.absent));
  return absl::OkStatus();
}

absl::StatusOr<MeaningReply> GuestLook::Look(
    const internal::LookAtGuest& request,
    std::span<const memory::VcpuState> cpus, const CodeFiles& files) {
  linuxguest::Limits limits;
  limits.time =
      std::min(limits.time, std::chrono::milliseconds(request.time_ms()));
  kernel_.reset();
  found_.clear();
  request_ = request;
  reader_.emplace(*ram_, limits);
  MeaningReply reply;
  const absl::Status status = Understand(request, cpus, files, reply);
  if (IsLimit(status)) {
    kernel_.reset();
    reply.Clear();
    SetUnknown("limit: " + Printable(std::string(status.message())), request,
               reply);
  } else {
    RETURN_IF_ERROR(status);
  }
  return reply;
}

absl::StatusOr<internal::WorkerReply::Moved> GuestLook::LookAgain() {
  internal::WorkerReply::Moved moved;
  if (kernel_ == nullptr) {
    return absl::FailedPreconditionError("nothing was found before");
  }
  kernel_->reader().Forget();
  const auto modules = linuxguest::ReadModules(*kernel_);
  const auto processes = linuxguest::ReadProcesses(*kernel_);
  for (const absl::Status& status : {modules.status(), processes.status()}) {
    if (absl::IsUnavailable(status)) {
      return status;
    }
  }
  for (size_t i = 0; i < found_.size(); ++i) {
    linuxguest::Resolution said;
    absl::StatusOr<std::vector<Region>> now =
        Resolve(request_.regions(static_cast<int>(i)),
                modules.value_or(linuxguest::Modules()),
                processes.value_or(linuxguest::Processes()), said);
    if (absl::IsUnavailable(now.status())) {
      return now.status();
    }
    moved.add_parts(
        CountMissing(found_[i], now.ok() ? *now : std::vector<Region>()));
  }
  return moved;
}

}  // namespace vmattest::worker
