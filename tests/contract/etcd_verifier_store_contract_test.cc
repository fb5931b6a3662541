// The VerifierStore contract over etcd, the fake one and real servers.
#include "contract/verifier_store_contract.h"
#include "fakes/fake_key_values.h"
#include "fakes/manual_clock.h"
#include "verification/etcd/etcd_verifier_store.h"
#ifdef VMATTEST_WITH_ETCD
#include "contract/etcd_servers.h"
#endif

namespace vmattest::testing {
namespace {

using verification::EtcdVerifierStore;
using verification::VerifierStore;

// A store, and what must outlive it.
struct Owned {
  explicit Owned(std::unique_ptr<etcd::KeyValues> values)
      : etcd(std::move(values)) {}
  const ManualClock clock;
  const std::unique_ptr<etcd::KeyValues> etcd;
  std::unique_ptr<EtcdVerifierStore> store;
};

std::shared_ptr<VerifierStore> Open(std::unique_ptr<etcd::KeyValues> values,
                                    const std::string& prefix) {
  auto owned = std::make_shared<Owned>(std::move(values));
  auto store =
      EtcdVerifierStore::Open(*owned->etcd, {.prefix = prefix}, owned->clock);
  EXPECT_THAT(store, IsOk());
  owned->store = store.ok() ? *std::move(store) : nullptr;
  return {owned, owned->store.get()};
}

#ifdef VMATTEST_WITH_ETCD
const VerifierStoreBody kBody = {
    "ThreeServers", [](const TempDir&) {
      static int stores = 0;
      return Open(ConnectToServers(),
                  "/vmattest/verifier/" + std::to_string(stores++) + "/");
    }};
#else
const VerifierStoreBody kBody = {
    "FakeEtcd", [](const TempDir&) {
      return Open(std::make_unique<FakeKeyValues>(), "/v/");
    }};
#endif

INSTANTIATE_TEST_SUITE_P(Etcd, VerifierStoreContract, ::testing::Values(kBody),
                         VerifierStoreBodyName);

}  // namespace
}  // namespace vmattest::testing
