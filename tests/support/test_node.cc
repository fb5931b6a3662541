#include "support/test_node.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/handles.h"
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

uint16_t UnusedPort() {
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

}  // namespace vmattest::testing
