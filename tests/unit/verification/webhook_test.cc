#include "verification/webhook.h"

#include <condition_variable>
#include <mutex>

#include "crypto/digest.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace vmattest::verification {
namespace {

constexpr char kSecret[] = "0123456789abcdef";

// What a server got, and what it answers next.
struct Server {
  struct Request {
    std::vector<std::string> headers;
    std::string body;
  };
  void AwaitRequests(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return requests.size() >= count; });
  }
  void Open() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Request> requests;
  std::vector<absl::Status> answers;  // then OK
  bool open = true;
};

class FakePoster final : public HttpPoster {
 public:
  explicit FakePoster(Server& server) : server_(server) {}
  absl::Status Post(const std::string&, const std::vector<std::string>& headers,
                    const std::string& body,
                    std::chrono::milliseconds) override {
    std::unique_lock lock(server_.mutex);
    server_.changed.wait(lock, [&] { return server_.open; });
    server_.requests.push_back({headers, body});
    server_.changed.notify_all();
    if (server_.answers.empty()) {
      return absl::OkStatus();
    }
    const absl::Status answer = server_.answers.front();
    server_.answers.erase(server_.answers.begin());
    return answer;
  }

 private:
  Server& server_;
};

DecisionEntry Refused(uint64_t sequence) {
  DecisionEntry decision;
  decision.sequence = sequence;
  decision.vm_uuid = "vm";
  decision.vm_name = "bad \xff name";
  decision.reasons = {{"reference-root", "root", "a", "b"}};
  decision.fixes = {"approve it"};
  return decision;
}

class WebhookTest : public ::testing::Test {
 protected:
  std::unique_ptr<Webhook> Make(Webhook::Options options = {}) {
    options.first_pause = std::chrono::milliseconds(1);
    return std::make_unique<Webhook>(
        options, SecretBytes(ToBytes(std::string(kSecret))),
        std::make_unique<FakePoster>(server_), clock_);
  }
  Server server_;
  testing::ManualClock clock_;
};

TEST_F(WebhookTest, BodyIsJsonSignedWithTheSecret) {
  const auto webhook = Make();
  webhook->Tell(Refused(7));
  server_.AwaitRequests(1);
  const Server::Request& request = server_.requests.front();
  const auto body = nlohmann::json::parse(request.body);
  EXPECT_EQ(body["sequence"], 7);
  EXPECT_EQ(body["kind"], "decision");
  EXPECT_EQ(body["failures"][0]["fix"], "approve it");
  const std::string text = fmt::format("1700000000.{}", request.body);
  EXPECT_THAT(
      request.headers,
      ::testing::Contains(fmt::format(
          "Vmattest-Signature: t=1700000000,v1={}",
          ToHex(ByteView(HmacSha256(SecretBytes(ToBytes(std::string(kSecret))),
                                    AsBytes(text)))))));
}

TEST_F(WebhookTest, TriesAgainUntilItIsTaken) {
  server_.answers = {absl::UnavailableError("503"),
                     absl::UnavailableError("503")};
  const auto webhook = Make();
  webhook->Tell(Refused(1));
  server_.AwaitRequests(3);
  EXPECT_EQ(server_.requests[0].body, server_.requests[2].body);
}

TEST_F(WebhookTest, WhatIsRefusedIsNotTriedAgain) {
  server_.answers = {absl::InvalidArgumentError("400")};
  const auto webhook = Make();
  webhook->Tell(Refused(1));
  webhook->Tell(Refused(2));
  server_.AwaitRequests(2);
  EXPECT_EQ(nlohmann::json::parse(server_.requests[1].body)["sequence"], 2);
}

TEST_F(WebhookTest, QueueIsBoundedAndNobodyWaits) {
  server_.open = false;
  const auto webhook = Make({.max_queued = 2});
  for (uint64_t i = 1; i <= 10; ++i) {
    webhook->Tell(Refused(i));
  }
  EXPECT_GE(webhook->counters().dropped, 7u);
  EXPECT_LE(webhook->counters().waiting, 2u);
  server_.Open();
}

TEST_F(WebhookTest, MayTellOfRefusalsOnly) {
  const auto webhook = Make({.refused_only = true});
  DecisionEntry trusted = Refused(1);
  trusted.trusted = true;
  webhook->Tell(trusted);
  webhook->Tell(Refused(2));
  server_.AwaitRequests(1);
  EXPECT_EQ(nlohmann::json::parse(server_.requests[0].body)["sequence"], 2);
}

TEST_F(WebhookTest, EndsWhileItWaits) {
  server_.answers.assign(5, absl::UnavailableError("503"));
  Webhook::Options options;
  options.first_pause = std::chrono::hours(1);
  Webhook webhook(options, SecretBytes(ToBytes(std::string(kSecret))),
                  std::make_unique<FakePoster>(server_), clock_);
  webhook.Tell(Refused(1));
  server_.AwaitRequests(1);
}

}  // namespace
}  // namespace vmattest::verification
