#include "cli/explain_command.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/log.h"
#include "cli/exit_code.h"
#include "cli/reference.h"
#include "evidence/config_tree.h"

namespace vmattest::cli {
namespace {

using evidence::LeafDifference;
using nlohmann::ordered_json;

std::string_view ToString(LeafDifference::Kind kind) {
  switch (kind) {
    case LeafDifference::Kind::kAdded:
      return "added";
    case LeafDifference::Kind::kRemoved:
      return "removed";
    case LeafDifference::Kind::kChanged:
      return "changed";
  }
  return "unknown";
}

void PrintText(const Reference& expected, const Reference& found,
               const std::vector<LeafDifference>& differences,
               std::ostream& out) {
  out << fmt::format("expected root {}\nfound root    {}\n",
                     ToHex(expected.root), ToHex(found.root));
  for (const LeafDifference& difference : differences) {
    out << fmt::format("{} {}\n", ToString(difference.kind),
                       log::Quote(difference.path));
    if (difference.kind != LeafDifference::Kind::kAdded) {
      out << "  expected " << log::Quote(difference.expected) << "\n";
    }
    if (difference.kind != LeafDifference::Kind::kRemoved) {
      out << "  found    " << log::Quote(difference.found) << "\n";
    }
  }
  out << fmt::format("{} leaves differ\n", differences.size());
}

void PrintJson(const Reference& expected, const Reference& found,
               const std::vector<LeafDifference>& differences,
               std::ostream& out) {
  ordered_json list = ordered_json::array();
  for (const LeafDifference& difference : differences) {
    list.push_back({{"kind", ToString(difference.kind)},
                    {"path", difference.path},
                    {"expected", difference.expected},
                    {"found", difference.found}});
  }
  const ordered_json json = {{"same", differences.empty()},
                             {"expected_root", ToHex(expected.root)},
                             {"found_root", ToHex(found.root)},
                             {"differences", std::move(list)}};
  out << json.dump(2, ' ', false, ordered_json::error_handler_t::replace)
      << "\n";
}

int CompareRoots(const Reference& expected, const Reference& found, bool json,
                 std::ostream& out, std::ostream& err) {
  const bool same = expected.root == found.root;
  if (json) {
    out << ordered_json({{"same", same},
                         {"expected_root", ToHex(expected.root)},
                         {"found_root", ToHex(found.root)},
                         {"differences", nullptr}})
               .dump(2)
        << "\n";
  } else {
    out << fmt::format("expected root {}\nfound root    {}\n",
                       ToHex(expected.root), ToHex(found.root));
  }
  if (same) {
    return kExitGood;
  }
  err << "vmattest explain: a root alone does not say which leaves differ\n";
  return expected.root.size() == found.root.size() ? kExitNotTrustworthy
                                                   : kExitUndecided;
}

}  // namespace

int RunExplain(const ExplainArgs& args, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<Reference> found = LoadReference(args.file);
  const absl::StatusOr<Reference> expected = LoadReference(args.reference);
  for (const absl::Status& status : {found.status(), expected.status()}) {
    if (!status.ok()) {
      err << "vmattest explain: " << log::Quote(std::string(status.message()))
          << "\n";
      return kExitUsage;
    }
  }
  if (!found->leaves || !expected->leaves) {
    return CompareRoots(*expected, *found, args.json, out, err);
  }
  const std::vector<LeafDifference> differences =
      evidence::CompareLeaves(*expected->leaves, *found->leaves);
  if (args.json) {
    PrintJson(*expected, *found, differences, out);
  } else {
    PrintText(*expected, *found, differences, out);
  }
  return differences.empty() ? kExitGood : kExitNotTrustworthy;
}

}  // namespace vmattest::cli
