#ifndef VMATTEST_DAEMON_PROGRAM_H_
#define VMATTEST_DAEMON_PROGRAM_H_

namespace vmattest::daemon {

// vmattestd, but for main(). 0: ended by a signal, or --check-config found
// nothing. 2: usage, or a configuration error. 3: could not start.
int RunProgram(int argc, char** argv);

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_PROGRAM_H_
