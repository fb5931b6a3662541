// XML to root, without content, of definitions that libvirt made. The counters:
//   of_limit    CPU time / (100 us + 2 us for each leaf); must stay below 1
//   of_libxml2  CPU time / libxml2 parsing the same text into its tree, same
//   run

#include <benchmark/benchmark.h>
#include <libxml/parser.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>

#include "measurement/domain_measurer.h"

namespace vmattest::measurement {
namespace {

class NoDigester final : public image::ContentDigester {
 public:
  absl::StatusOr<image::ContentDigest> Digest(
      const Request& /*request*/) override {
    std::abort();
  }
};

std::string Definition(const char* name) {
  std::ifstream file(std::string(VMATTEST_SOURCE_DIR) +
                     "/tests/unit/measurement/data/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

// CPU time of this thread: other work on the machine is not counted.
double Microseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 +
         static_cast<double>(time.tv_nsec) / 1e3;
}

double ParseAlone(const std::string& xml) {
  constexpr int kRounds = 200;
  const double begin = Microseconds();
  for (int i = 0; i < kRounds; ++i) {
    xmlFreeDoc(xmlReadMemory(xml.data(), static_cast<int>(xml.size()),
                             "domain.xml", nullptr, XML_PARSE_NONET));
  }
  return (Microseconds() - begin) / kRounds;
}

void XmlToRoot(benchmark::State& state, const char* name,
               HashAlgorithm algorithm) {
  const std::string xml = Definition(name);
  NoDigester digester;
  DomainMeasurer measurer(digester, nullptr);
  MeasureOptions options;
  options.content = ContentPolicy::kNone;
  options.algorithm = algorithm;
  size_t leaves = 0;
  const double begin = Microseconds();
  for ([[maybe_unused]] const auto unused : state) {
    const auto measured = measurer.Measure(xml, options);
    if (!measured.ok()) {
      state.SkipWithError(std::string(measured.status().message()).c_str());
      return;
    }
    leaves = measured->tree.leaves.size();
  }
  const double time =
      (Microseconds() - begin) / static_cast<double>(state.iterations());
  const double limit = 100.0 + 2.0 * static_cast<double>(leaves);
  state.counters["leaves"] = static_cast<double>(leaves);
  state.counters["of_limit"] = time / limit;
  state.counters["of_libxml2"] = time / ParseAlone(xml);
}

BENCHMARK_CAPTURE(XmlToRoot, plain_sha256, "plain.inactive.xml",
                  HashAlgorithm::kSha256);
BENCHMARK_CAPTURE(XmlToRoot, disks_sha256, "disks.inactive.xml",
                  HashAlgorithm::kSha256);
BENCHMARK_CAPTURE(XmlToRoot, disks_blake3, "disks.inactive.xml",
                  HashAlgorithm::kBlake3);
BENCHMARK_CAPTURE(XmlToRoot, disks_sha512, "disks.inactive.xml",
                  HashAlgorithm::kSha512);
BENCHMARK_CAPTURE(XmlToRoot, net_sha256, "net.live.xml",
                  HashAlgorithm::kSha256);

}  // namespace
}  // namespace vmattest::measurement

BENCHMARK_MAIN();
