#include "ops/metrics.h"

#include <exception>
#include <utility>

#include "fmt/format.h"
#include "prometheus/collectable.h"
#include "prometheus/exposer.h"
#include "prometheus/metric_family.h"

namespace vmattest::ops {
namespace {

class Collector final : public prometheus::Collectable {
 public:
  explicit Collector(MetricsServer::Collect collect)
      : collect_(std::move(collect)) {}

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    std::map<std::string, prometheus::MetricFamily> families;
    for (const Metric& metric : collect_()) {
      const bool counter = metric.type == Metric::Type::kCounter;
      prometheus::MetricFamily& family = families[metric.name];
      family.name = metric.name;
      family.help = metric.help;
      family.type = counter ? prometheus::MetricType::Counter
                            : prometheus::MetricType::Gauge;
      prometheus::ClientMetric& value = family.metric.emplace_back();
      (counter ? value.counter.value : value.gauge.value) = metric.value;
      for (const auto& [name, text] : metric.labels) {
        value.label.push_back({name, text});
      }
    }
    std::vector<prometheus::MetricFamily> list;
    for (auto& [name, family] : families) {
      list.push_back(std::move(family));
    }
    return list;
  }

 private:
  const MetricsServer::Collect collect_;
};

}  // namespace

class MetricsServer::Server {
 public:
  Server(const std::string& address, Collect collect)
      : collector_(std::make_shared<Collector>(std::move(collect))),
        exposer_(address, 1) {
    exposer_.RegisterCollectable(collector_);
  }
  [[nodiscard]] int port() const {
    const std::vector<int> ports = exposer_.GetListeningPorts();
    return ports.empty() ? 0 : ports.front();
  }

 private:
  const std::shared_ptr<Collector> collector_;  // the exposer holds it weakly
  prometheus::Exposer exposer_;
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address, Collect collect) {
  // The library's only way to say that it could not bind.
  try {
    return std::unique_ptr<MetricsServer>(new MetricsServer(
        std::make_unique<Server>(address, std::move(collect))));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        fmt::format("cannot serve metrics on {}: {}", address, error.what()));
  }
}

MetricsServer::MetricsServer(std::unique_ptr<Server> server)
    : server_(std::move(server)) {}

MetricsServer::~MetricsServer() = default;

int MetricsServer::port() const { return server_->port(); }

}  // namespace vmattest::ops
