#ifndef VMATTEST_CAPTURE_GUARD_PROCESS_GUARD_H_
#define VMATTEST_CAPTURE_GUARD_PROCESS_GUARD_H_

#include <filesystem>
#include <string>

#include "capture/pause_guard.h"

namespace vmattest::capture {

// Guards by a vmattest-resume-guard for each pause, which outlives us and
// resumes over a connection of its own to `uri`. A FIFO in `streams` by the
// VM's UUID, to which libvirt may be writing, is emptied first. Any thread.
PauseGuardMaker ProcessGuards(std::string program, std::string uri,
                              std::filesystem::path streams = {});

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_GUARD_PROCESS_GUARD_H_
