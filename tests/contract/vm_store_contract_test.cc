// What every VmStore does, run over the fake and over SQLite.
#include <functional>
#include <memory>
#include <thread>

#include "fakes/fake_vm_store.h"
#include "gmock/gmock.h"
#include "inventory/sqlite/sqlite_vm_store.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

struct Body {
  const char* name;
  std::function<std::unique_ptr<inventory::VmStore>(const TempDir&)> make;
};

class VmStoreContract : public ::testing::TestWithParam<Body> {
 protected:
  static inventory::VmRecord Vm(uint8_t number) {
    inventory::VmRecord vm;
    vm.uuid.bytes[0] = number;
    vm.name = "vm-" + std::to_string(number);
    vm.state = "running";
    vm.persistent = true;
    vm.last_measurement = Measurement(number);
    return vm;
  }
  static inventory::MeasurementRecord Measurement(uint8_t number) {
    return {.algorithm = HashAlgorithm::kSha384,
            .root = DigestBytes(48, number),
            .leaf_count = 40u + number,
            .time_unix_ms = 1'700'000'000'000 + number,
            .cause = "started",
            .error = ""};
  }
  static inventory::EventRecord EventOf(const inventory::VmRecord& vm) {
    inventory::EventRecord event;
    event.time_unix_ms = 1'700'000'000'123;
    event.uuid = vm.uuid;
    event.name = vm.name;
    event.kind = "started";
    event.measurement = vm.last_measurement;
    event.changed = true;
    return event;
  }
  uint64_t Record(const inventory::VmRecord& vm) {
    return store_->Record(vm, EventOf(vm)).value();
  }

  TempDir dir_;
  std::unique_ptr<inventory::VmStore> store_ = GetParam().make(dir_);
};

TEST_P(VmStoreContract, KnowsNothingAtFirst) {
  EXPECT_THAT(store_->Find(Uuid{}).value(), ::testing::Eq(std::nullopt));
  EXPECT_THAT(store_->List(std::nullopt, 10).value(), IsEmpty());
  EXPECT_THAT(store_->Events(0, 10).value(), IsEmpty());
  EXPECT_EQ(store_->LastSequence().value(), 0u);
}

TEST_P(VmStoreContract, ReturnsWhatWasRecorded) {
  const inventory::VmRecord vm = Vm(1);
  EXPECT_EQ(Record(vm), 1u);
  EXPECT_THAT(store_->Find(vm.uuid).value(), Optional(vm));
  inventory::EventRecord event = EventOf(vm);
  event.sequence = 1;
  EXPECT_THAT(store_->Events(0, 10).value(), ElementsAre(event));
}

TEST_P(VmStoreContract, KeepsAbsentAndFailedMeasurementsApart) {
  inventory::VmRecord unmeasured = Vm(1);
  unmeasured.last_measurement.reset();
  inventory::VmRecord failed = Vm(2);
  failed.last_measurement->root.clear();
  failed.last_measurement->error = "disk/vda: no such file";
  Record(unmeasured);
  Record(failed);
  EXPECT_THAT(store_->List(std::nullopt, 10).value(),
              ElementsAre(unmeasured, failed));
}

TEST_P(VmStoreContract, ReplacesAVmButKeepsItsEvents) {
  inventory::VmRecord vm = Vm(1);
  Record(vm);
  vm.name = "renamed";
  vm.state = "shutoff";
  vm.persistent = false;
  vm.last_measurement = Measurement(9);
  EXPECT_EQ(Record(vm), 2u);
  EXPECT_THAT(store_->List(std::nullopt, 10).value(), ElementsAre(vm));
  EXPECT_THAT(store_->Events(0, 10).value(), SizeIs(2));
}

TEST_P(VmStoreContract, ListsByUuidPageByPage) {
  for (const uint8_t number : {3, 1, 2}) {
    Record(Vm(number));
  }
  EXPECT_THAT(store_->List(std::nullopt, 2).value(), ElementsAre(Vm(1), Vm(2)));
  EXPECT_THAT(store_->List(Vm(2).uuid, 2).value(), ElementsAre(Vm(3)));
  EXPECT_THAT(store_->List(Vm(3).uuid, 2).value(), IsEmpty());
}

TEST_P(VmStoreContract, ListsTheUuidOfZerosToo) {
  inventory::VmRecord zero = Vm(0);
  Record(zero);
  EXPECT_THAT(store_->List(std::nullopt, 10).value(), ElementsAre(zero));
}

TEST_P(VmStoreContract, PagesThroughEvents) {
  for (uint8_t i = 1; i <= 5; ++i) {
    Record(Vm(1));
  }
  ASSERT_OK_AND_ASSIGN(const auto page, store_->Events(2, 2));
  ASSERT_THAT(page, SizeIs(2));
  EXPECT_EQ(page[0].sequence, 3u);
  EXPECT_EQ(page[1].sequence, 4u);
}

TEST_P(VmStoreContract, TrimKeepsTheNewestEventsAndTheSequence) {
  for (uint8_t i = 1; i <= 5; ++i) {
    Record(Vm(1));
  }
  ASSERT_THAT(store_->Trim(2), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto left, store_->Events(0, 10));
  ASSERT_THAT(left, SizeIs(2));
  EXPECT_EQ(left[0].sequence, 4u);
  ASSERT_THAT(store_->Trim(0), IsOk());
  EXPECT_THAT(store_->Events(0, 10).value(), IsEmpty());
  EXPECT_EQ(Record(Vm(1)), 6u);
}

TEST_P(VmStoreContract, TrimForgetsOnlyUndefinedVmsWithoutEvents) {
  inventory::VmRecord gone = Vm(1);
  gone.state = "undefined";
  Record(gone);
  Record(Vm(2));
  ASSERT_THAT(store_->Trim(2), IsOk());
  EXPECT_THAT(store_->List(std::nullopt, 10).value(), ElementsAre(gone, Vm(2)));
  ASSERT_THAT(store_->Trim(1), IsOk());
  EXPECT_THAT(store_->List(std::nullopt, 10).value(), ElementsAre(Vm(2)));
  ASSERT_THAT(store_->Trim(0), IsOk());
  EXPECT_THAT(store_->List(std::nullopt, 10).value(), ElementsAre(Vm(2)));
}

TEST_P(VmStoreContract, GivesEachVmASaltOfItsOwnOnce) {
  const auto salt = [this](uint8_t number) {
    return ToBytes(
        store_->Salt(Vm(number).uuid).value().Reveal(SecretAccess()));
  };
  const Bytes first = salt(1);
  EXPECT_EQ(first.size(), 32u);
  EXPECT_NE(salt(2), first);
  EXPECT_EQ(salt(1), first);
  ASSERT_THAT(store_->Trim(0), IsOk());
  EXPECT_EQ(salt(1), first);
}

TEST_P(VmStoreContract, GivesGaplessSequencesToThreads) {
  std::vector<std::thread> threads;
  for (uint8_t t = 1; t <= 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 25; ++i) {
        Record(Vm(t));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  ASSERT_OK_AND_ASSIGN(const auto events, store_->Events(0, 1000));
  ASSERT_THAT(events, SizeIs(100));
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].sequence, i + 1);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, VmStoreContract,
    ::testing::Values(
        Body{"Fake",
             [](const TempDir&) { return std::make_unique<FakeVmStore>(); }},
        Body{"Sqlite",
             [](const TempDir& dir) {
               return inventory::SqliteVmStore::Open(dir.path() / "vms.sqlite")
                   .value();
             }}),
    [](const auto& body) { return std::string(body.param.name); });

}  // namespace
}  // namespace vmattest::testing
