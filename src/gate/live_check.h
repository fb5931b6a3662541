#ifndef VMATTEST_GATE_LIVE_CHECK_H_
#define VMATTEST_GATE_LIVE_CHECK_H_

#include <filesystem>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "gate/launch_session.h"
#include "gate/protocol/messages.h"
#include "hypervisor/hypervisor.h"
#include "image/content_digest.h"
#include "image/header_parser.h"

namespace vmattest::gate {

// What runs, against what was let in (rules S11, S13). Callable from any
// thread; blocks on the hypervisor, and reads no file's content.
class LiveCheck {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    image::ContentDigester& digester;
    image::HeaderParserFactory make_parser;
    // Where this daemon has QEMU keep scratch space.
    std::filesystem::path scratch;
  };
  explicit LiveCheck(Parts parts) : parts_(std::move(parts)) {}

  // What differs: a "leaf" of the live XML, a "file" that QEMU has open, or a
  // "taint" of its monitor, and which. Empty `what`: nothing.
  struct Difference {
    std::string kind;
    std::string what;
  };
  // `files` as FilesOf() gave them. An error: the hypervisor tells no taints;
  // all else is as approved.
  [[nodiscard]] absl::StatusOr<Difference> First(
      const LaunchSession& session, const Uuid& uuid,
      const std::string& live_xml, const std::vector<OpenFile>& files) const;

  // What its QEMU has open now; nothing where the process cannot be seen from
  // here, or ended.
  static std::vector<OpenFile> FilesOf(const LaunchSession& session);

 private:
  const Parts parts_;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_LIVE_CHECK_H_
