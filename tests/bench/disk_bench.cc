// The inventory of a Debian image: this machine's own dpkg database in an ext4
// file system behind a GPT, as a raw file and as qcow2 through qemu-nbd.
//   raw_ms, qcow2_ms  best wall time of one inventory, new connection included;
//                     target < 100 (qcow2)
//   packages          listed; at least 120
//   over_virt_inspector  virt-inspector's time for the same image / ours, if it
//                     is installed and can run; target >= 50
// And the guest-visible digest of a sparse qcow2 through qemu-nbd:
//   of_hash_limit     the hash of as many bytes in memory / ours, target >= 0.8
// VMATTEST_BENCH_BYTES: data in that image, default 2 GiB of 20.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>

#include "crypto/digest.h"
#include "disk/inspect.h"
#include "unit/disk/disk_images.h"

namespace vmattest::disk {
namespace {

using vmattest::testing::DiskImages;
using vmattest::testing::OpenRaw;
using vmattest::testing::QemuNbd;

constexpr uint64_t kMiB = uint64_t{1} << 20;

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

double Best(int times, const std::function<void()>& work) {
  double best = Seconds(work);
  for (int i = 1; i < times; ++i) {
    best = std::min(best, Seconds(work));
  }
  return best;
}

inspection::DiskReport Report(BlockSource& source,
                              const InspectOptions& options) {
  auto report = Inspect(source, options, nullptr);
  if (!report.ok()) {
    fmt::print(stderr, "{}\n", report.status().ToString());
    std::exit(1);
  }
  return *std::move(report);
}

size_t Packages(const inspection::DiskReport& report) {
  return static_cast<size_t>(std::count_if(
      report.leaves.begin(), report.leaves.end(), [](const ConfigLeaf& leaf) {
        return leaf.path.find("/package[") != std::string::npos;
      }));
}

// What virt-inspector recognises as a Debian system, with the first `most` of
// this machine's packages.
std::string MakeDebianImage(DiskImages& images, int64_t most) {
  const std::string folder = images.MakeFolder(
      "root", {{"var/lib/dpkg/info/", ""},
               {"var/lib/dpkg/arch", "amd64\n"},
               {"bin/ls", "x"},
               {"etc/hostname", "bench\n"},
               {"etc/fstab", ""},
               {"etc/debian_version", "12.0\n"},
               {"etc/os-release",
                "ID=debian\nVERSION_ID=\"12\"\n"
                "PRETTY_NAME=\"Debian GNU/Linux 12\"\n"},
               {"boot/vmlinuz-6.1.0", std::string(8 * kMiB, 'k')},
               {"boot/initrd.img-6.1.0", std::string(30 * kMiB, 'i')},
               {"boot/grub/grub.cfg", "linux /boot/vmlinuz-6.1.0\n"}});
  DiskImages::Run(
      {"sh", "-c",
       fmt::format("cd {}/var/lib/dpkg && awk 'BEGIN {{ RS = \"\"; ORS = "
                   "\"\\n\\n\" }} NR <= {}' /var/lib/dpkg/status >status && "
                   "for p in $(sed -n 's/^Package: //p' status); do "
                   "cp /var/lib/dpkg/info/$p[.:]* info/; done",
                   folder, most)});
  const std::string root =
      images.MakeExt("ext4", folder, 1024 * kMiB, {"-t", "ext4"});
  std::string disk = images.MakeEmpty("disk", 1026 * kMiB);
  DiskImages::Run({"sgdisk", "-n", "1:2048:+1024M", disk});
  DiskImages::Run({"dd", "if=" + root, "of=" + disk, "bs=1M", "seek=1",
                   "conv=notrunc,sparse", "status=none"});
  return disk;
}

// Its wall time in seconds; 0 if it is not there or cannot run.
double VirtInspector(const std::string& image) {
  const std::string command =
      "command -v virt-inspector >/dev/null && LIBGUESTFS_BACKEND=direct "
      "LIBGUESTFS_BACKEND_SETTINGS=force_tcg virt-inspector --format=qcow2 "
      "-a " +
      image + " 2>/dev/null | grep -q '<application>'";
  int code = 1;
  const double seconds = Seconds([&] { code = std::system(command.c_str()); });
  return code == 0 ? seconds : 0;
}

void Inventory(benchmark::State& state) {
  DiskImages images;
  const std::string raw = MakeDebianImage(images, state.range(0));
  const std::string qcow2 = images.Path("qcow2");
  DiskImages::Run({"qemu-img", "convert", "-O", "qcow2", raw, qcow2});
  const QemuNbd server(qcow2, "qcow2");
  const InspectOptions options;
  size_t packages = 0;
  double raw_seconds = 0;
  double qcow2_seconds = 0;
  for ([[maybe_unused]] auto _ : state) {
    raw_seconds = Best(10, [&] { Report(*OpenRaw(raw), options); });
    qcow2_seconds =
        Best(10, [&] { packages = Packages(Report(*server.Open(), options)); });
    state.SetIterationTime(qcow2_seconds);
  }
  state.counters["raw_ms"] = raw_seconds * 1000;
  state.counters["qcow2_ms"] = qcow2_seconds * 1000;
  state.counters["packages"] = static_cast<double>(packages);
  const double virt_inspector = VirtInspector(qcow2);
  if (virt_inspector > 0) {
    state.counters["over_virt_inspector"] = virt_inspector / qcow2_seconds;
  }
}
// An image of a small server, and all that this machine has.
BENCHMARK(Inventory)
    ->Arg(150)
    ->Arg(1'000'000)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

// 20 GiB, of which the data lies in runs of 64 MiB all over.
std::string MakeSparseImage(DiskImages& images, uint64_t data) {
  const std::string raw = images.MakeEmpty("sparse", 20 * 1024 * kMiB);
  const Bytes run = RandomBytes(64 * kMiB);
  const uint64_t runs = data / run.size();
  for (uint64_t i = 0; i < runs; ++i) {
    DiskImages::WriteAt(raw, 20 * 1024 * kMiB / runs * i, AsText(run));
  }
  std::string qcow2 = images.Path("sparse.qcow2");
  DiskImages::Run({"qemu-img", "convert", "-O", "qcow2", raw, qcow2});
  std::filesystem::remove(raw);
  return qcow2;
}

void SparseGuestDigest(benchmark::State& state) {
  const char* bytes = std::getenv("VMATTEST_BENCH_BYTES");
  const uint64_t data =
      bytes != nullptr
          ? std::max<uint64_t>(std::strtoull(bytes, nullptr, 10), 64 * kMiB)
          : 2048 * kMiB;
  const auto algorithm = static_cast<HashAlgorithm>(state.range(0));
  DiskImages images;
  const QemuNbd server(MakeSparseImage(images, data), "qcow2");
  const Bytes block = RandomBytes(kMiB);
  double limit = 0;
  double ours = 0;
  for ([[maybe_unused]] auto _ : state) {
    limit = Best(3, [&] {
      for (uint64_t done = 0; done < data; done += block.size()) {
        benchmark::DoNotOptimize(Hash(algorithm, block));
      }
    });
    ours = Best(3, [&] {
      Report(
          *server.Open(),
          {.algorithm = algorithm, .inventory = false, .guest_digest = true});
    });
    state.SetIterationTime(ours);
  }
  state.counters["GB_per_s"] = static_cast<double>(data) / ours / 1e9;
  state.counters["of_hash_limit"] = limit / ours;
  state.SetLabel(std::string(ToString(algorithm)));
}
BENCHMARK(SparseGuestDigest)
    ->Arg(static_cast<int>(HashAlgorithm::kSha256))
    ->Arg(static_cast<int>(HashAlgorithm::kSha384))
    ->Arg(static_cast<int>(HashAlgorithm::kBlake3))
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest::disk

int main(int argc, char** argv) {
  vmattest::disk::Prepare();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
