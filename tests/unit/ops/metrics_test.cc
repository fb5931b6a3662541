#include "ops/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::ops {
namespace {

using ::testing::HasSubstr;

std::string Scrape(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string text;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ==
      0) {
    const std::string request =
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(send(fd, request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
      text.append(buffer, static_cast<size_t>(got));
    }
  }
  close(fd);
  return text;
}

TEST(MetricsServer, ShowsWhatIsTrueAtEachScrape) {
  double quotes = 1;
  ASSERT_OK_AND_ASSIGN(const auto server,
                       MetricsServer::Start("127.0.0.1:0", [&quotes] {
                         return std::vector<Metric>{{"vmattest_quotes_total",
                                                     "Quotes.",
                                                     Metric::Type::kCounter,
                                                     quotes,
                                                     {}},
                                                    {"vmattest_component_up",
                                                     "Serving.",
                                                     Metric::Type::kGauge,
                                                     1,
                                                     {{"component", "tpm"}}}};
                       }));
  EXPECT_THAT(Scrape(server->port()), HasSubstr("vmattest_quotes_total 1\n"));
  quotes = 2;
  const std::string text = Scrape(server->port());
  EXPECT_THAT(text, HasSubstr("vmattest_quotes_total 2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE vmattest_quotes_total counter"));
  EXPECT_THAT(text, HasSubstr("vmattest_component_up{component=\"tpm\"} 1"));
}

TEST(MetricsServer, SaysThatItCannotListen) {
  EXPECT_THAT(MetricsServer::Start("192.0.2.1:9464",
                                   [] { return std::vector<Metric>{}; }),
              testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                HasSubstr("192.0.2.1:9464")));
}

}  // namespace
}  // namespace vmattest::ops
