// A guest's RAM is the input, as linux_guest_fuzzer's: whatever the guest
// wrote, what the worker says about it is what the daemon takes. And what a
// worker says (first byte odd) is taken in bounds, or refused.

#include <cstdlib>

#include "memory/worker/read_meaning.h"
#include "support/small_kernel.h"
#include "worker/memory/guest_look.h"

namespace {

using namespace vmattest;
using memory::MeaningQuery;

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void Change(testing::ArrayGuestMemory& memory, ByteView data) {
  while (data.size() > 4) {
    const uint64_t address = linuxguest::LittleEndian(data, 0, 3);
    const size_t size = std::min<size_t>(data[3], data.size() - 4);
    memory.Write(address, data.subspan(4, size));
    data = data.subspan(4 + size);
  }
}

internal::LookAtGuest Request() {
  internal::LookAtGuest request;
  request.set_time_ms(5000);
  request.add_task_fields("comm");
  for (uint32_t what = 0;
       what <= static_cast<uint32_t>(MeaningQuery::What::kProcessAnonymous);
       ++what) {
    auto& query = *request.add_regions()->add_queries();
    query.set_what(what);
    query.set_pattern("*");
  }
  return request;
}

void RunGuest(ByteView data) {
  static const auto* const kClean = new testing::SmallKernel;
  static const internal::LookAtGuest kRequest = Request();
  auto guest = std::make_unique<testing::SmallKernel>(*kClean);
  Change(guest->memory(), data);
  auto ram = std::make_unique<testing::ArrayGuestMemory>(guest->memory());
  const std::vector<memory::AddressRange> where = ram->ram();
  worker::GuestLook look(std::move(ram));
  const auto reply =
      look.Look(kRequest, {}, {absl::NotFoundError("no file"), {}, {}});
  Require(reply.ok());
  const auto regions = static_cast<size_t>(kRequest.regions_size());
  const auto meaning = memory::ReadMeaning(*reply, regions, where);
  Require(meaning.ok());
  const auto moved = look.LookAgain();
  Require(moved.ok() == meaning->understood());
  if (moved.ok()) {
    Require(static_cast<size_t>(moved->parts_size()) == regions);
  }
}

void RunReply(ByteView data) {
  internal::WorkerReply::GuestMeaning message;
  if (!message.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
    return;
  }
  const std::vector<memory::AddressRange> ram = {{0, 0xA0000},
                                                 {0x100000, 0x800000}};
  const auto meaning = memory::ReadMeaning(
      message, static_cast<size_t>(message.regions_size()), ram);
  if (!meaning.ok()) {
    return;
  }
  for (const memory::MeantRegion& region : meaning->regions) {
    for (const memory::NamedPart& part : region.parts) {
      uint64_t bytes = part.absent;
      for (const memory::AddressRange& run : part.runs) {
        Require(run.begin < run.end && run.end <= 0x800000);
        bytes += run.end - run.begin;
      }
      Require(bytes == part.size);
    }
  }
  (void)memory::Confirmed(*meaning, *meaning);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView bytes(data, size);
  if (bytes.empty() || bytes[0] % 2 == 0) {
    RunGuest(bytes.empty() ? bytes : bytes.subspan(1));
  } else {
    RunReply(bytes.subspan(1));
  }
  return 0;
}
