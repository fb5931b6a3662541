// Memory of real guests, read past QEMU, against what libvirt shows of it.

#include "integration/guest_memory_bed.h"

namespace vmattest::memory {
namespace {

using hypervisor::DomainState;
using testing::IsOk;
using testing::StatusIs;

class GuestMemoryTest : public GuestMemoryBed {};

TEST_F(GuestMemoryTest, OfASharedMemoryGuestIsWhatQemuShows) {
  const Guest guest = Start("shared", {"backing=memfd", "mem=256"});
  ExpectReadersAgree(guest, "shared-memory");
  // A guest that is measured uses no more of the host than before.
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  const uint64_t before = Resident(guest);
  ASSERT_OK_AND_ASSIGN(const auto all,
                       open->Measure(Plan(open->ram(true)), Call()));
  EXPECT_GT(before, 16 * 1024U);
  EXPECT_LT(Resident(guest), before + 4 * 1024);
  EXPECT_LT(all[0].present_bytes, 200 * kMiB);
  // A guest that ends in the middle is an answer, not a crash.
  ASSERT_THAT(host_->Virsh({"destroy", "shared"}), IsOk());
  EXPECT_THAT(open->Measure(Plan(open->ram(false)), Call()),
              StatusIs(absl::StatusCode::kUnavailable));
  open.reset();
  EXPECT_FALSE(measurer.Open(guest, Call()).ok());
}

TEST_F(GuestMemoryTest, OfAnAnonymousGuestIsWhatQemuShows) {
  const Guest guest = Start("anonymous", {"machine=pc", "mem=256"});
  ExpectReadersAgree(guest, "process-memory");
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  const uint64_t before = Resident(guest);
  ASSERT_OK_AND_ASSIGN(const auto all,
                       open->Measure(Plan(open->ram(true)), Call()));
  EXPECT_LT(Resident(guest), before + 4 * 1024);
  EXPECT_EQ(all[0].unreadable, 0U);
  ASSERT_THAT(host_->Virsh({"destroy", "anonymous"}), IsOk());
  EXPECT_THAT(open->Measure(Plan(open->ram(false)), Call()),
              StatusIs(absl::StatusCode::kUnavailable));
}

// Both sides of 4 GiB, and two cells of one size. Nothing is booted: only
// firmware has touched it.
TEST_F(GuestMemoryTest, IsFoundOnBothSidesOfFourGiB) {
  for (const std::string machine : {"q35", "pc"}) {
    const Guest guest =
        Start("large",
              {"backing=memfd", "mem=6144", "cpus=2", "kernel=none",
               "machine=" + machine,
               "cpu=<cpu><numa><cell id='0' cpus='0' memory='1024' "
               "unit='MiB'/><cell id='1' cpus='1' memory='5120' unit='MiB'/>"
               "</numa></cpu>"},
              false);
    WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
    ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
    EXPECT_EQ(open->reader(), "shared-memory")
        << ::testing::PrintToString(open->notes());
    EXPECT_EQ(open->ram(false).size(), 3U);
    EXPECT_EQ(open->ram(false)[1].end,
              machine == "q35" ? 2048 * kMiB : 3072 * kMiB);
    ASSERT_THAT(host_->Virsh({"destroy", "large"}), IsOk());
  }
}

TEST_F(GuestMemoryTest, PausesForAMomentAndNeverOverrulesSomebodyElse) {
  const Guest guest = Start("paused", {"kernel=none", "mem=64"}, false);
  const auto state = [&] { return hypervisor_->FindDomain(guest.uuid)->state; };
  ASSERT_OK_AND_ASSIGN(const bool ran, hypervisor_->BeginPause(guest.uuid));
  EXPECT_TRUE(ran);
  EXPECT_EQ(state(), DomainState::kPaused);
  EXPECT_THAT(hypervisor_->BeginPause(guest.uuid),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(hypervisor_->EndPause(guest.uuid), IsOk());
  EXPECT_EQ(state(), DomainState::kRunning);
  // Somebody suspends it meanwhile: it stays so.
  ASSERT_THAT(hypervisor_->BeginPause(guest.uuid).status(), IsOk());
  ASSERT_THAT(hypervisor_->Suspend(guest.uuid), IsOk());
  ASSERT_THAT(hypervisor_->EndPause(guest.uuid), IsOk());
  EXPECT_EQ(state(), DomainState::kPaused);
  // It stood already: it goes on standing.
  ASSERT_OK_AND_ASSIGN(const bool stood, hypervisor_->BeginPause(guest.uuid));
  EXPECT_FALSE(stood);
  ASSERT_THAT(hypervisor_->EndPause(guest.uuid), IsOk());
  EXPECT_EQ(state(), DomainState::kPaused);
  EXPECT_THAT(hypervisor_->EndPause(guest.uuid),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(host_->Virsh({"destroy", "paused"}), IsOk());
}

}  // namespace
}  // namespace vmattest::memory
