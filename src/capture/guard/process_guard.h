#ifndef VMATTEST_CAPTURE_GUARD_PROCESS_GUARD_H_
#define VMATTEST_CAPTURE_GUARD_PROCESS_GUARD_H_

#include <string>

#include "capture/pause_guard.h"

namespace vmattest::capture {

// Guards by a vmattest-resume-guard for each pause, which outlives us and
// resumes over a connection of its own to `uri`. Any thread.
PauseGuardMaker ProcessGuards(std::string program, std::string uri);

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_GUARD_PROCESS_GUARD_H_
