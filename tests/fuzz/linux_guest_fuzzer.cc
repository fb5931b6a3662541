// A guest's RAM is the input: changes to the memory of a small kernel, each
// {address: 3 bytes, size: 1, bytes}.

#include <cstdlib>

#include "linuxguest/inspection.h"
#include "linuxguest/physical_reader.h"
#include "linuxguest/regions.h"
#include "support/small_kernel.h"

namespace {

using namespace vmattest;
using linuxguest::Discovery;

void Change(testing::ArrayGuestMemory& memory, ByteView data) {
  while (data.size() > 4) {
    const uint64_t address = linuxguest::LittleEndian(data, 0, 3);
    const size_t size = std::min<size_t>(data[3], data.size() - 4);
    memory.Write(address, data.subspan(4, size));
    data = data.subspan(4 + size);
  }
}

linuxguest::Limits SmallLimits() {
  linuxguest::Limits limits;
  limits.bytes = 64 << 20;
  limits.time = std::chrono::seconds(10);
  limits.page_tables = 4096;
  return limits;
}

bool IsLimit(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
}

// What a guest does is never the host's error.
template <class T>
void MustBeValueOrLimit(const absl::StatusOr<T>& result) {
  if (!result.ok() && !IsLimit(result.status())) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const kClean = new testing::SmallKernel;
  testing::SmallKernel guest = *kClean;
  Change(guest.memory(), {data, size});
  linuxguest::PhysicalReader reader(guest.memory(), SmallLimits());
  const absl::StatusOr<Discovery> found = linuxguest::DiscoverKernel(reader);
  MustBeValueOrLimit(found);
  if (!found.ok()) {
    return 0;
  }
  const bool is_found = found->outcome == Discovery::Outcome::kFound;
  if (is_found != (found->kernel != nullptr) ||
      is_found != found->reason.empty()) {
    std::abort();
  }
  if (!is_found) {
    return 0;
  }
  const memory::VcpuState cpu = testing::SmallKernel::Vcpu();
  const absl::StatusOr<linuxguest::Inspection> inspection =
      linuxguest::InspectKernel(*found->kernel, {&cpu, 1});
  MustBeValueOrLimit(inspection);
  if (!inspection.ok()) {
    return 0;
  }
  using Kind = linuxguest::Selector::Kind;
  const std::vector<linuxguest::Selector> wanted = {{Kind::kKernelText},
                                                    {Kind::kIdt},
                                                    {Kind::kModules},
                                                    {Kind::kSymbols, "*e*"},
                                                    {Kind::kProcessExecutable}};
  for (const linuxguest::Selector& selector : wanted) {
    const absl::StatusOr<linuxguest::Resolution> regions =
        linuxguest::ResolveSelectors(*found->kernel, inspection->modules,
                                     inspection->processes, {&selector, 1});
    if (!regions.ok()) {
      continue;
    }
    for (const linuxguest::Region& region : regions->regions) {
      for (const linuxguest::Run& run : region.runs) {
        if (!reader.IsRam(run.physical, run.size)) {
          std::abort();
        }
      }
    }
  }
  return 0;
}
