#ifndef VMATTEST_MEASUREMENT_DOMAIN_MEASURER_H_
#define VMATTEST_MEASUREMENT_DOMAIN_MEASURER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/secret_bytes.h"
#include "base/status.h"
#include "base/uuid.h"
#include "evidence/statement.h"
#include "image/content_digest.h"
#include "image/header_parser.h"
#include "inspection/disk_inspector.h"
#include "vmattest/types/config_leaf.h"

namespace vmattest::measurement {

// How much of what the XML refers to is read.
enum class ContentPolicy : uint8_t {
  kFull,   // every file
  kChain,  // every file but the writable top layers of disks
  kNone,   // nothing is opened
};
std::string_view ToString(ContentPolicy policy);
absl::StatusOr<ContentPolicy> ParseContentPolicy(std::string_view name);

struct MeasureOptions {
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  ContentPolicy content = ContentPolicy::kFull;
  bool fresh = false;
  // Whether disks are looked into. FAILED_PRECONDITION without an inspector.
  inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
  // UUID of the VM if it runs: its writable disks are then read as they were
  // at one moment.
  std::string running_vm;
  // Of the VM's leaves; null for public ones. Secret.
  std::shared_ptr<const SecretBytes> vm_salt;
  [[nodiscard]] const SecretBytes& Salt() const;
  // Both may be empty. Called from hashing threads.
  std::function<void(uint64_t done, uint64_t total)> progress;
  std::function<bool()> cancelled;
};

struct DomainMeasurement {
  std::string name;
  std::string uuid;  // empty if the XML names none
  ConfigTree tree;
  std::vector<evidence::CachedContent> cached;
  // What was measured as written but looks wrong; never silently accepted.
  std::vector<std::string> warnings;
};

// Measures domain XML: canonical leaves, the content of what it refers to, the
// tree over both. Stateless but for the digester's cache. Callable from any
// thread; blocks while files are read.
class DomainMeasurer {
 public:
  // `work` runs the hashing of several files at once; null hashes them one by
  // one on the calling thread. `inspector` may be null. All must outlive the
  // measurer. `make_parser` gives each measurement its parsers of image
  // headers.
  DomainMeasurer(
      image::ContentDigester& digester, Executor* work,
      inspection::DiskInspector* inspector = nullptr,
      image::HeaderParserFactory make_parser = image::MakeDirectHeaderParser)
      : digester_(digester),
        work_(work),
        inspector_(inspector),
        make_parser_(std::move(make_parser)) {}

  // INVALID_ARGUMENT: not well-formed, not a <domain>, past the limits of size
  // and depth; the message has the line or the element. NOT_FOUND,
  // PERMISSION_DENIED, ABORTED: a file, named with the leaf that refers to it.
  // Nothing partial is ever returned.
  absl::StatusOr<DomainMeasurement> Measure(std::string_view xml,
                                            const MeasureOptions& options);

 private:
  image::ContentDigester& digester_;
  Executor* work_;
  inspection::DiskInspector* inspector_;
  const image::HeaderParserFactory make_parser_;
};

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_DOMAIN_MEASURER_H_
