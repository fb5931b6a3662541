// What understanding a Linux guest of 512 MiB costs, against reading its RAM
// once, and against one second. Needs QEMU and Debian's kernel packages.
#include <benchmark/benchmark.h>

#include <chrono>
#include <map>

#include "linuxguest/inspection.h"
#include "linuxguest/rodata_check.h"
#include "linuxguest/text_check.h"
#include "support/qemu_guest.h"
#include "support/vectors.h"

namespace vmattest::linuxguest {
namespace {

using testing::QemuGuest;

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

// Stopped, so that every pass sees the same.
QemuGuest* Guest(int which, benchmark::State& state) {
  static std::map<int, std::unique_ptr<QemuGuest>> guests;
  std::unique_ptr<QemuGuest>& guest = guests[which];
  if (guest == nullptr) {
    absl::StatusOr<std::unique_ptr<QemuGuest>> booted = QemuGuest::Boot(
        which == 0 ? testing::kDebian12Kernel : testing::kDebian13Kernel);
    if (!booted.ok() || !(*booted)->Monitor("stop").ok()) {
      state.SkipWithError(booted.status().ToString().c_str());
      return nullptr;
    }
    guest = *std::move(booted);
  }
  return guest.get();
}

double ReadingOnce(QemuGuest& guest) {
  Bytes chunk(1 << 20);
  return Seconds([&] {
    for (const memory::AddressRange& range : guest.memory().ram()) {
      for (uint64_t at = range.begin; at < range.end; at += chunk.size()) {
        const auto part = std::span(chunk).first(
            std::min<uint64_t>(chunk.size(), range.end - at));
        benchmark::DoNotOptimize(guest.memory().ReadAt(at, part).ok());
      }
    }
  });
}

void Discovering(benchmark::State& state) {
  QemuGuest* guest = Guest(static_cast<int>(state.range(0)), state);
  if (guest == nullptr) {
    return;
  }
  double reading = 0;
  double work = 0;
  size_t symbols = 0;
  for ([[maybe_unused]] auto pass : state) {
    reading += ReadingOnce(*guest);
    work += Seconds([&] {
      PhysicalReader reader(guest->memory(), Limits{});
      symbols = DiscoverKernel(reader)->kernel->symbols().size();
    });
  }
  const auto passes = static_cast<double>(state.iterations());
  state.counters["symbols"] = static_cast<double>(symbols);
  state.counters["ms"] = work / passes * 1e3;
  state.counters["of_1s"] = work / passes;
  state.counters["of_reading_once"] = work / reading;
}
BENCHMARK(Discovering)
    ->Arg(0)
    ->Arg(1)
    ->Iterations(10)
    ->Unit(benchmark::kMillisecond);

void Inspecting(benchmark::State& state) {
  QemuGuest* guest = Guest(static_cast<int>(state.range(0)), state);
  if (guest == nullptr) {
    return;
  }
  const std::string file = testing::Slurp(guest->kernel_file());
  double unpacking = 0;
  double text = 0;
  double rodata = 0;
  double inspecting = 0;
  const std::vector<memory::VcpuState> cpus = guest->Vcpus().value();
  for ([[maybe_unused]] auto pass : state) {
    PhysicalReader reader(guest->memory(), Limits{});
    const Discovery found = DiscoverKernel(reader).value();
    Inspection inspection;
    inspecting += Seconds(
        [&] { inspection = InspectKernel(*found.kernel, cpus).value(); });
    absl::StatusOr<KernelImage> image = absl::UnknownError("not read");
    unpacking += Seconds([&] { image = KernelImage::Parse(AsBytes(file)); });
    const AddressNames names =
        AddressNames::Make(*found.kernel, inspection.modules).value();
    const CodeRanges ranges =
        ReadCodeRanges(*found.kernel, inspection.modules, names).value();
    text += Seconds([&] {
      benchmark::DoNotOptimize(
          CheckKernelText(*found.kernel, names, ranges, *image)->code_hash);
    });
    rodata += Seconds([&] {
      benchmark::DoNotOptimize(
          CheckKernelRodata(*found.kernel, names, *image)->hash);
    });
  }
  const auto passes = static_cast<double>(state.iterations());
  state.counters["inspect_ms"] = inspecting / passes * 1e3;
  state.counters["unpack_image_ms"] = unpacking / passes * 1e3;
  state.counters["text_ms"] = text / passes * 1e3;
  state.counters["rodata_ms"] = rodata / passes * 1e3;
}
BENCHMARK(Inspecting)
    ->Arg(0)
    ->Arg(1)
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest::linuxguest

BENCHMARK_MAIN();
