#ifndef VMATTEST_TESTS_BENCH_MUST_H_
#define VMATTEST_TESTS_BENCH_MUST_H_

#include <cstdlib>
#include <iostream>
#include <utility>

#include "base/status.h"

namespace vmattest {

// For programs that measure: what went wrong is said, and ends them.
inline void Must(const absl::Status& status) {
  if (!status.ok()) {
    std::cerr << status << "\n";
    std::exit(1);
  }
}
template <class T>
T Must(absl::StatusOr<T> value) {
  Must(value.status());
  return *std::move(value);
}

}  // namespace vmattest

#endif  // VMATTEST_TESTS_BENCH_MUST_H_
