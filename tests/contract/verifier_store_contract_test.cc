// The VerifierStore contract over the fake and over SQLite.
#include "contract/verifier_store_contract.h"
#include "fakes/fake_verifier_store.h"
#include "verification/sqlite/sqlite_verifier_store.h"

namespace vmattest::testing {
namespace {

using verification::VerifierStore;

INSTANTIATE_TEST_SUITE_P(
    Stores, VerifierStoreContract,
    ::testing::Values(
        VerifierStoreBody{"Fake",
                          [](const TempDir&) -> std::shared_ptr<VerifierStore> {
                            return std::make_shared<FakeVerifierStore>();
                          }},
        VerifierStoreBody{
            "Sqlite",
            [](const TempDir& dir) -> std::shared_ptr<VerifierStore> {
              return verification::SqliteVerifierStore::Open(dir.path() / "v")
                  .value();
            }}),
    VerifierStoreBodyName);

}  // namespace
}  // namespace vmattest::testing
