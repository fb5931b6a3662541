// A process without ML-DSA: what one finds first stays, so this is one test in
// a program of its own.

#include <future>

#include "crypto/ml_dsa.h"
#include "fakes/fake_host_tpm.h"
#include "gmock/gmock.h"
#include "signing/local_signer.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::signing {
namespace {

TEST(LocalSignerWithoutMlDsa, SaysWhyAndSignsByQuoteAlone) {
  const testing::TempDir dir;
  testing::FakeHostTpm tpm;
  const SystemClock clock;
  std::promise<SignerState> told;
  bool once = false;
  LocalSigner::Options options;
  options.work.state_dir = dir.path();
  options.work.post_quantum.module = "/nowhere/fips.so";
  options.work.on_state = [&](const SignerState& state) {
    if (state.tpm.ok() && !std::exchange(once, true)) {
      told.set_value(state);
    }
  };
  LocalSigner signer(tpm, clock, options);
  const SignerState state = told.get_future().get();
  if (const auto provider = MlDsaProvider::Open("/nowhere/fips.so");
      provider.ok()) {
    ASSERT_EQ((*provider)->source(), MlDsaProvider::Source::kNative);
    EXPECT_EQ(state.pq, PqState::kUnsealed);
    return;
  }
  EXPECT_EQ(state.pq, PqState::kUnavailable);
  EXPECT_THAT(state.pq_detail, ::testing::HasSubstr("/nowhere/fips.so"));
  EXPECT_THAT(state.algorithms, ::testing::ElementsAre("tpm2-quote"));
}

}  // namespace
}  // namespace vmattest::signing
