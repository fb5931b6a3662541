#include "vmattest/verifier/disclosure.h"

#include "verifier/appraise.h"

namespace vmattest::verifier {

absl::StatusOr<Appraisal> VerifyDisclosure(
    std::span<const uint8_t> disclosure, const Anchors& anchors,
    const Policy& policy,
    std::chrono::sys_time<std::chrono::milliseconds> now) {
  Context context(anchors, policy, now);
  context.disclosed.emplace();
  return AppraiseConfig(disclosure, context);
}

}  // namespace vmattest::verifier
