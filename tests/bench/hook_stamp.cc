// A hook for libvirt that writes down when it ran: "OPERATION NANOSECONDS" of
// the monotonic clock, appended to NAME.stamps beside its folder. libvirt runs
// the programs of that folder one after the other, by name.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>

int main(int argc, char** argv) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  char program[4096];
  const ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
  if (argc < 3 || size <= 0) {
    return 1;
  }
  std::string path(program, static_cast<size_t>(size));
  const size_t name = path.rfind('/');
  path =
      path.substr(0, path.rfind('/', name - 1)) + path.substr(name) + ".stamps";
  char line[256];
  const int length = snprintf(
      line, sizeof(line), "%s %lld\n", argv[2],
      static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  return file >= 0 && write(file, line, static_cast<size_t>(length)) == length
             ? 0
             : 1;
}
