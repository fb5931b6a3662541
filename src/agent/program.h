#ifndef VMATTEST_AGENT_PROGRAM_H_
#define VMATTEST_AGENT_PROGRAM_H_

#include <cstdio>

namespace vmattest::agent {

// What every command ends with; scripts in guests rely on it.
inline constexpr int kGood = 0;
inline constexpr int kRefused = 1;   // and asking again will not help
inline constexpr int kUsage = 2;     // or there is no such port
inline constexpr int kNoAnswer = 3;  // in time, or the port broke
inline constexpr int kTryLater = 4;  // refused for now; it is said for how long

// vmattest-agent, but for main().
int RunAgent(int argc, const char* const* argv, FILE* out, FILE* err);

}  // namespace vmattest::agent

#endif  // VMATTEST_AGENT_PROGRAM_H_
