#ifndef VMATTEST_TESTS_SUPPORT_TEST_NODE_H_
#define VMATTEST_TESTS_SUPPORT_TEST_NODE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace vmattest::testing {

// A description for libvirt's test driver: a hypervisor inside the client's
// process, whose running domains have these names and no files.
class TestNode {
 public:
  explicit TestNode(const std::vector<std::string>& names);
  [[nodiscard]] std::string uri() const;

 private:
  TempDir dir_;
};

// A TCP port on localhost that nobody listened on a moment ago.
uint16_t UnusedPort();

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_TEST_NODE_H_
