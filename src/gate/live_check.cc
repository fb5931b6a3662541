#include "gate/live_check.h"

#include <utility>

#include "fmt/format.h"
#include "gate/baseline.h"
#include "gate/running_view.h"
#include "measurement/live_xml.h"

namespace vmattest::gate {

std::vector<OpenFile> LiveCheck::FilesOf(const LaunchSession& session) {
  if (session.process.pid <= 0) {
    return {};
  }
  absl::StatusOr<std::vector<OpenFile>> files =
      ReadOpenFiles(fmt::format("/proc/{}", session.process.pid));
  return files.ok() && IsAlive(session.process) ? *std::move(files)
                                                : std::vector<OpenFile>();
}

absl::StatusOr<LiveCheck::Difference> LiveCheck::First(
    const LaunchSession& session, const Uuid& uuid, const std::string& live_xml,
    const std::vector<OpenFile>& files) const {
  const absl::StatusOr<std::string> defined =
      measurement::AsDefined(live_xml, session.prepare_xml);
  absl::StatusOr<std::vector<ConfigLeaf>> now =
      defined.ok() ? BaselineOf(*defined, parts_.digester, parts_.make_parser)
                   : defined.status();
  if (!now.ok()) {
    return Difference{"leaf", std::string(now.status().message())};
  }
  if (session.isolated) {
    now = WithLinksAsApproved(*std::move(now), session.baseline);
  }
  if (std::string leaf = FirstDifference(session.baseline, *now);
      !leaf.empty()) {
    return Difference{"leaf", std::move(leaf)};
  }
  // What it opens for a moment (a library, resolv.conf) is closed again by now.
  if (!FirstUnapprovedFile(files, session, parts_.scratch).empty()) {
    if (std::string file =
            FirstUnapprovedFile(FilesOf(session), session, parts_.scratch);
        !file.empty()) {
      return Difference{"file", std::move(file)};
    }
  }
  ASSIGN_OR_RETURN(const auto taints, parts_.hypervisor.GetTaints(uuid));
  return Difference{"taint", FirstMonitorTaint(taints)};
}

}  // namespace vmattest::gate
