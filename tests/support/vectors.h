#ifndef VMATTEST_TESTS_SUPPORT_VECTORS_H_
#define VMATTEST_TESTS_SUPPORT_VECTORS_H_

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace vmattest::testing {

// The folder `name` of the shared test vectors: $VMATTEST_VECTORS, else
// ../shared/vectors beside the checkout. Tests skip, and say so, without it.
std::optional<std::filesystem::path> FindVectors(std::string_view name);

// The content of a file; throws if it cannot be read.
std::string Slurp(const std::filesystem::path& path);

}  // namespace vmattest::testing

// First line of a test that needs vectors.
#define VMATTEST_REQUIRE_VECTORS(variable, name)                        \
  const auto variable##_found = ::vmattest::testing::FindVectors(name); \
  if (!variable##_found) {                                              \
    GTEST_SKIP() << "vectors/" << (name)                                \
                 << " not found: set VMATTEST_VECTORS";                 \
  }                                                                     \
  const std::filesystem::path& variable = *variable##_found

#endif  // VMATTEST_TESTS_SUPPORT_VECTORS_H_
