#include "support/test_node.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <set>

#include "base/handles.h"
#include "base/mutex.h"
#include "fmt/format.h"

namespace vmattest::testing {

TestNode::TestNode(const std::vector<std::string>& names) {
  std::string xml = "<node>\n";
  for (size_t i = 0; i < names.size(); ++i) {
    xml += fmt::format(
        "<domain type='test'><name>{0}</name>"
        "<uuid>11111111-2222-3333-4444-{1:012x}</uuid>"
        "<memory>262144</memory><vcpu>2</vcpu>"
        "<os><type arch='x86_64'>hvm</type></os>"
        "<devices><interface type='network'><source network='default'/>"
        "<mac address='52:54:00:00:{2:02x}:{3:02x}'/></interface></devices>"
        "</domain>\n",
        names[i], i + 1, (i >> 8) & 0xff, i & 0xff);
  }
  dir_.Write("node.xml", xml + "</node>\n");
}

std::string TestNode::uri() const {
  return fmt::format("test://{}/node.xml", dir_.path().string());
}

namespace {

uint16_t PortNow() {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd.get(), generic, size) != 0 ||
      getsockname(fd.get(), generic, &size) != 0) {
    return 0;
  }
  return ntohs(address.sin_port);
}

}  // namespace

// The kernel gives a port again that was asked for and not used yet.
uint16_t UnusedPort() {
  static Mutex mutex;
  static std::set<uint16_t> given;
  const MutexLock lock(mutex);
  while (true) {
    const uint16_t port = PortNow();
    if (port == 0 || given.insert(port).second) {
      return port;
    }
  }
}

}  // namespace vmattest::testing
