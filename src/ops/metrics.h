#ifndef VMATTEST_OPS_METRICS_H_
#define VMATTEST_OPS_METRICS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace vmattest::ops {

// One value. Names: docs/metrics.md. Labels are few and of few values: never a
// VM's name, a path or anything else that grows.
struct Metric {
  enum class Type : uint8_t { kCounter, kGauge };
  std::string name;  // "vmattest_quotes_total"
  std::string help;
  Type type = Type::kGauge;
  double value = 0;
  std::map<std::string, std::string> labels;
};

// Serves /metrics in Prometheus' text format. `collect` is called for each
// scrape, from the server's own threads: it must not block on anything that is
// measured. No access control: bind it to loopback.
class MetricsServer {
 public:
  using Collect = std::function<std::vector<Metric>()>;
  // INVALID_ARGUMENT: `address` ("HOST:PORT") cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& address, Collect collect);
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  ~MetricsServer();

  // Port 0 takes any.
  [[nodiscard]] int port() const;

 private:
  class Server;
  explicit MetricsServer(std::unique_ptr<Server> server);
  std::unique_ptr<Server> server_;
};

}  // namespace vmattest::ops

#endif  // VMATTEST_OPS_METRICS_H_
