// What etcd does as far as we rely on it, run over the fake and over real
// servers.
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "etcd/commit.h"
#include "fakes/fake_key_values.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#ifdef VMATTEST_WITH_ETCD
#include "contract/etcd_servers.h"
#endif

namespace vmattest::testing {
namespace {

using etcd::Condition;
using etcd::Delete;
using etcd::KeyValue;
using etcd::KeyValues;
using etcd::Put;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Body {
  const char* name;
  std::function<std::shared_ptr<KeyValues>()> make;
};

class EtcdContract : public ::testing::TestWithParam<Body> {
 protected:
  static MonotonicTime In(int seconds) {
    return std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  }
  // Keys of one test, which no other has.
  static std::string Prefix() {
    static int tests = 0;
    return "/vmattest/test/" + std::to_string(tests++) + "/";
  }
  [[nodiscard]] std::string Key(const std::string& name) const {
    return prefix_ + name;
  }
  etcd::Outcome Write(const etcd::Transaction& transaction) {
    return store_->Transact(transaction, In(20)).value();
  }
  int64_t PutOne(const std::string& name, const std::string& value) {
    return Write({.writes = {Put{Key(name), value}}}).revision;
  }
  etcd::RangeResult Read(etcd::RangeQuery query) {
    return store_->Range(query, In(20)).value();
  }
  std::vector<KeyValue> All(int64_t limit = 0, int64_t revision = 0) {
    return Read({.key = prefix_,
                 .end = etcd::PrefixEnd(prefix_),
                 .limit = limit,
                 .revision = revision})
        .kvs;
  }

  const std::string prefix_ = Prefix();
  const std::shared_ptr<KeyValues> store_ = GetParam().make();
};

TEST_P(EtcdContract, ReadsWhatWasWrittenByKey) {
  EXPECT_THAT(All(), IsEmpty());
  const std::string binary("\0\xff\n", 3);
  PutOne("b", binary);
  PutOne("a", "1");
  const int64_t last = PutOne("a", "2");
  const auto all = All();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].key, Key("a"));
  EXPECT_EQ(all[0].value, "2");
  EXPECT_EQ(all[0].mod_revision, last);
  EXPECT_EQ(all[0].create_revision, last - 1);
  EXPECT_EQ(all[1].value, binary);
  EXPECT_THAT(Read({.key = Key("a")}).kvs, SizeIs(1));
  EXPECT_THAT(Read({.key = Key("")}).kvs, IsEmpty());
}

TEST_P(EtcdContract, ReadsPageByPageAndAsItWas) {
  PutOne("a", "1");
  const int64_t then = PutOne("b", "2");
  PutOne("a", "3");
  EXPECT_THAT(All(1), ElementsAre(Field(&KeyValue::value, "3")));
  EXPECT_TRUE(
      Read({.key = prefix_, .end = etcd::PrefixEnd(prefix_), .limit = 1}).more);
  EXPECT_FALSE(
      Read({.key = prefix_, .end = etcd::PrefixEnd(prefix_), .limit = 2}).more);
  EXPECT_THAT(All(0, then), ElementsAre(Field(&KeyValue::value, "1"),
                                        Field(&KeyValue::value, "2")));
  const auto keys = Read(
      {.key = prefix_, .end = etcd::PrefixEnd(prefix_), .keys_only = true});
  EXPECT_THAT(keys.kvs, ElementsAre(Field(&KeyValue::value, ""),
                                    Field(&KeyValue::value, "")));
  EXPECT_GE(keys.revision, then + 1);
}

TEST_P(EtcdContract, ATransactionIsDoneAsAWholeOrNotAtAll) {
  const int64_t at = PutOne("a", "1");
  PutOne("gone", "x");
  const auto is = [&](const std::string& name, Condition::Of of, int64_t of_) {
    return Condition{Key(name), of, of_};
  };
  constexpr auto kMod = Condition::Of::kModRevision;
  constexpr auto kCreate = Condition::Of::kCreateRevision;
  EXPECT_FALSE(Write({{is("a", kMod, at), is("b", kMod, at)},
                      {Put{Key("a"), "2"}, Delete{Key("gone")}}})
                   .done);
  EXPECT_THAT(All(), SizeIs(2));
  EXPECT_TRUE(
      Write({{is("a", kMod, at), is("a", kCreate, at), is("b", kMod, 0)},
             {Put{Key("a"), "2"}, Put{Key("b"), "3"}, Delete{Key("gone")}}})
          .done);
  EXPECT_THAT(All(), ElementsAre(Field(&KeyValue::value, "2"),
                                 Field(&KeyValue::value, "3")));
  EXPECT_FALSE(Write({{is("a", kMod, at)}, {Put{Key("a"), "9"}}}).done);
  EXPECT_TRUE(Write({{is("a", kCreate, at)},
                     {Delete{prefix_, etcd::PrefixEnd(prefix_)}}})
                  .done);
  EXPECT_THAT(All(), IsEmpty());
}

TEST_P(EtcdContract, RefusesAKeyTwiceAndTooMuchAtOnce) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(store_->Transact(
                  {.writes = {Put{Key("a"), "1"}, Put{Key("a"), "2"}}}, In(20)),
              StatusIs(kInvalid));
  etcd::Transaction many;
  for (size_t i = 0; i <= etcd::kMaxWrites; ++i) {
    many.writes.emplace_back(Put{Key(std::to_string(i)), "x"});
  }
  EXPECT_THAT(store_->Transact(many, In(20)), StatusIs(kInvalid));
  many.writes.pop_back();
  EXPECT_TRUE(Write(many).done);
  const std::string most(etcd::kMaxTransactionBytes, 'x');
  EXPECT_TRUE(Write({.writes = {Put{Key("big"), most}}}).done);
  EXPECT_THAT(
      store_->Transact({.writes = {Put{Key("big"), most + most}}}, In(20)),
      StatusIs(kInvalid));
}

TEST_P(EtcdContract, OnlyOneOfManyWritersWins) {
  std::atomic<int> won = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 6; ++i) {
    writers.emplace_back([&, i] {
      const auto done =
          etcd::Commit(*store_,
                       {.guard = Key("head"),
                        .marker = Key("mark" + std::to_string(i)),
                        .writes = {Put{Key("head"), "x"},
                                   Put{Key("mark" + std::to_string(i)), "x"}}},
                       In(20));
      won += done.ok() ? 1 : 0;
    });
  }
  for (std::thread& writer : writers) {
    writer.join();
  }
  EXPECT_EQ(won, 1);
  EXPECT_THAT(All(), SizeIs(2));
}

TEST_P(EtcdContract, ChangesAreHeardAlsoThoseThatWereBefore) {
  const int64_t before = PutOne("a", "1");
  EXPECT_FALSE(store_
                   ->AwaitChange(Key("a"), "", before,
                                 std::chrono::steady_clock::now() +
                                     std::chrono::milliseconds(300))
                   .value());
  std::thread writer([&] { PutOne("a", "2"); });
  EXPECT_TRUE(store_->AwaitChange(Key("a"), "", before, In(20)).value());
  writer.join();
  EXPECT_TRUE(store_->AwaitChange(Key("a"), "", before, In(20)).value());
  EXPECT_TRUE(
      store_->AwaitChange(prefix_, etcd::PrefixEnd(prefix_), before, In(20))
          .value());
  EXPECT_FALSE(store_
                   ->AwaitChange(Key("b"), "", before,
                                 std::chrono::steady_clock::now() +
                                     std::chrono::milliseconds(300))
                   .value());
}

TEST_P(EtcdContract, AKeyGoesWithItsLease) {
  const int64_t lease =
      store_->GrantLease(std::chrono::seconds(60), In(20)).value();
  const int64_t put =
      Write({.writes = {Put{Key("a"), "1", lease}, Put{Key("b"), "2"}}})
          .revision;
  EXPECT_EQ(All()[0].lease, lease);
  EXPECT_THAT(store_->KeepAlive(lease, In(20)), IsOk());
  EXPECT_THAT(store_->RevokeLease(lease, In(20)), IsOk());
  EXPECT_THAT(All(), ElementsAre(Field(&KeyValue::value, "2")));
  EXPECT_TRUE(store_->AwaitChange(Key("a"), "", put, In(20)).value());
  EXPECT_THAT(store_->KeepAlive(lease, In(20)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->RevokeLease(lease, In(20)), IsOk());
  EXPECT_THAT(store_->Transact({.writes = {Put{Key("a"), "1", lease}}}, In(20)),
              StatusIs(absl::StatusCode::kNotFound));
}

#ifdef VMATTEST_WITH_ETCD
const Body kBody = {"ThreeServers", [] {
                      return std::shared_ptr<KeyValues>(ConnectToServers());
                    }};
#else
const Body kBody = {"Fake", [] { return std::make_shared<FakeKeyValues>(); }};
#endif

INSTANTIATE_TEST_SUITE_P(Etcd, EtcdContract, ::testing::Values(kBody),
                         [](const auto& body) { return body.param.name; });

}  // namespace
}  // namespace vmattest::testing
