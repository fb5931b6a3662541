#ifndef VMATTEST_MEASUREMENT_CONTENT_LEAVES_H_
#define VMATTEST_MEASUREMENT_CONTENT_LEAVES_H_

#include <vector>

#include "measurement/content_sources.h"
#include "measurement/domain_measurer.h"

namespace vmattest::measurement {

struct ContentLeaves {
  std::vector<ConfigLeaf> leaves;
  std::vector<evidence::CachedContent> cached;
};

// Digests `files`, each file once however many leaves name it, on the calling
// thread and on as many tasks of `work` (may be null) as start in time: it
// never waits for a task that has not begun, so it may itself run on `work`.
// The first error in the order of `files` wins and stops the others; its
// message starts with the leaf.
absl::StatusOr<ContentLeaves> DigestContent(
    const std::vector<ContentSource>& files, image::ContentDigester& digester,
    Executor* work, const MeasureOptions& options);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_CONTENT_LEAVES_H_
