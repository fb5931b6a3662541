// One moment of a real guest, out of libvirt's live snapshot of its memory.

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "capture/guard/process_guard.h"
#include "integration/guest_memory_bed.h"
#include "linuxguest/cpu_check.h"
#include "linuxguest/inspection.h"
#include "memory/stream/device_state.h"
#include "memory/stream/saved_ram.h"
#include "support/guest_files.h"
#include "support/run_command.h"

namespace vmattest::memory {
namespace {

using hypervisor::DomainState;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using testing::GuestFolder;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::MakeGuest;
using ::testing::Not;
using testing::RunCommand;
using ::testing::StartsWith;
using testing::StatusIs;

class GuestMomentTest : public GuestMemoryBed {
 protected:
  static DomainState State(const Guest& guest) {
    return hypervisor_->FindDomain(guest.uuid)->state;
  }
  static std::string Virsh(std::vector<std::string> words) {
    return host_->Virsh(std::move(words)).value_or("?");
  }
  // Nothing that a snapshot may leave: overlays, files, entries, jobs.
  static void ExpectNoTraces(const Guest& guest) {
    EXPECT_THAT(Virsh({"domblklist", guest.name}), Not(HasSubstr("overlay")));
    EXPECT_THAT(Virsh({"snapshot-list", "--name", guest.name}),
                ::testing::MatchesRegex("\\s*"));
    EXPECT_THAT(Virsh({"domjobinfo", guest.name}), HasSubstr("None"));
    EXPECT_TRUE(std::filesystem::is_empty(Options().streams));
    EXPECT_THAT(hypervisor_->GetTaints(guest.uuid).value(),
                Not(Contains(HasSubstr("monitor"))));
  }
  static std::string Disk() {
    const std::string path = host_->folder() / "moment.qcow2";
    EXPECT_THAT(
        RunCommand({"qemu-img", "create", "-q", "-f", "qcow2", path, "64M"})
            .status(),
        IsOk());
    return path + ":qcow2";
  }
  // A moment in this process, where its registers can be looked at.
  struct Moment {
    std::unique_ptr<SavedMemory> memory;
    std::vector<VcpuState> vcpus;
  };
  static absl::StatusOr<Moment> Save(const Guest& guest) {
    const std::string pipe = Options().streams / "test";
    if (mkfifo(pipe.c_str(), S_IRUSR | S_IWUSR) != 0) {
      return ErrnoStatus(errno, pipe);
    }
    UniqueFd reader(open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    UniqueFd writer(open(pipe.c_str(), O_WRONLY | O_CLOEXEC));
    fcntl(reader.get(), F_SETFL, 0);
    absl::StatusOr<std::chrono::microseconds> stood =
        absl::UnknownError("not begun");
    std::thread save([&] {
      stood = hypervisor_->SaveState(guest.uuid, pipe);
      writer.Reset();
    });
    ASSIGN_OR_RETURN(const RamLayout layout, LayOut(guest.memory));
    const uint64_t bytes = SavedRamBytes(layout.blocks);
    UniqueFd file(memfd_create("moment", MFD_CLOEXEC));
    (void)ftruncate(file.get(), static_cast<off_t>(bytes));
    SavedRam ram(UniqueFd(dup(file.get())), layout.blocks, bytes);
    FdStream stream(std::move(reader));
    const absl::StatusOr<SavedState> state = ReadSavedState(stream, ram);
    save.join();
    unlink(pipe.c_str());
    RETURN_IF_ERROR(stood.status());
    RETURN_IF_ERROR(state.status());
    RETURN_IF_ERROR(ram.Finish());
    Moment moment;
    moment.memory =
        std::make_unique<SavedMemory>(std::move(file), layout, true);
    ASSIGN_OR_RETURN(moment.vcpus, ReadVcpuStates(state->devices));
    return moment;
  }
  static linuxguest::Inspection Inspect(Moment& moment) {
    linuxguest::PhysicalReader reader(*moment.memory, {});
    absl::StatusOr<linuxguest::Discovery> found =
        linuxguest::DiscoverKernel(reader);
    EXPECT_THAT(found, IsOk());
    EXPECT_NE(found->kernel, nullptr) << found->reason;
    return linuxguest::InspectKernel(*found->kernel, moment.vcpus).value();
  }
  // Of a guest whose second processor ran the module.
  static linuxguest::Findings FindingsWithModule(const std::string& module,
                                                 const std::string& source) {
    const std::string tools = VMATTEST_TESTBED;
    const std::string file = host_->folder() / (module + ".ko");
    const auto made = MakeGuest();
    EXPECT_THAT(made, IsOk());
    EXPECT_THAT(RunCommand({tools + "/make-module", *made, module,
                            tools + "/" + source, file}),
                IsOk());
    const std::string text = RunCommand({"base64", "-w0", file}).value();
    const std::string initrd =
        host_
            ->AddJob(fmt::format("#!/bin/sh\ntaskset -p 2 $$\n"
                                 "echo {} | base64 -d >/{}.ko\n"
                                 "insmod /{}.ko && echo MODULE-LOADED\n",
                                 text, module, module),
                     {})
            .value();
    const Guest guest = Start(
        module, {"mem=256", "cpus=2", "cmdline=nopti", "initrd=" + initrd});
    EXPECT_TRUE(host_->AwaitConsole(module, "MODULE-LOADED"))
        << host_->Console(module);
    Moment moment = Save(guest).value();
    linuxguest::Findings findings = Inspect(moment).findings;
    EXPECT_THAT(host_->Virsh({"destroy", module}), IsOk());
    return findings;
  }
};

TEST_F(GuestMomentTest, IsWhatQemuShowsAndLeavesNoTrace) {
  const Guest guest =
      Start("moment", {"backing=memfd", "mem=256", "cpus=2", "disk=" + Disk()});
  const std::string disks = Virsh({"domblklist", "moment"});
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  ASSERT_OK_AND_ASSIGN(const SavedMoment moment, open->SaveMoment(Call()));
  EXPECT_EQ(State(guest), DomainState::kRunning);
  EXPECT_GT(moment.stood.count(), 0);
  EXPECT_LT(moment.stood, moment.took);
  EXPECT_GT(moment.stream_bytes, moment.kept_bytes);
  EXPECT_GT(moment.kept_bytes, 32 * kMiB);
  EXPECT_EQ(moment.vcpus, 2U) << moment.vcpu_problem;
  EXPECT_EQ(open->reader(), "saved-state");
  ExpectNoTraces(guest);
  EXPECT_EQ(Virsh({"domblklist", "moment"}), disks);
  // It does not change any more, though the guest runs.
  const MeasurePlan all = Plan(open->ram(true));
  ASSERT_OK_AND_ASSIGN(const auto first, open->Measure(all, Call()));
  ASSERT_OK_AND_ASSIGN(const auto second, open->Measure(all, Call()));
  EXPECT_EQ(first[0].digests, second[0].digests);
  EXPECT_EQ(first[0].torn, 0U);

  // Of a guest that stands, it is what libvirt shows; and it goes on standing.
  ASSERT_THAT(hypervisor_->Suspend(guest.uuid), IsOk());
  ASSERT_OK_AND_ASSIGN(const SavedMoment standing, open->SaveMoment(Call()));
  EXPECT_EQ(standing.stood.count(), 0);
  EXPECT_EQ(State(guest), DomainState::kPaused);
  const MeasurePlan plan =
      Plan({{0, 0xA0000}, {16 * kMiB, 24 * kMiB}, {255 * kMiB, 256 * kMiB}});
  ASSERT_OK_AND_ASSIGN(const auto saved, open->Measure(plan, Call()));
  WorkerMeasurer::Options peek = Options();
  peek.only_peek = true;
  ASSERT_OK_AND_ASSIGN(const MeasuredRegion peeked, Measure(guest, peek, plan));
  EXPECT_EQ(saved[0].digests, peeked.digests);
  EXPECT_GT(saved[0].present_bytes, 4 * kMiB);
  ExpectNoTraces(guest);
  ASSERT_THAT(host_->Virsh({"destroy", "moment"}), IsOk());
}

TEST_F(GuestMomentTest, EndsEarlyAndLeavesTheGuestAsItWas) {
  const Guest guest = Start("early", {"mem=256"});
  WorkerMeasurer::Options small = Options();
  small.max_saved_bytes = 4 * kMiB;
  WorkerMeasurer tight(*pool_, *hypervisor_, small);
  ASSERT_OK_AND_ASSIGN(auto open, tight.Open(guest, Call()));
  EXPECT_THAT(open->SaveMoment(Call()),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("4194304 bytes")));
  EXPECT_EQ(State(guest), DomainState::kRunning);
  ExpectNoTraces(guest);
  // The worker is as good as before.
  EXPECT_THAT(open->Measure(Plan({{0, 0xA0000}}), Call()), IsOk());

  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(open, measurer.Open(guest, Call()));
  MeasureCall hasty = Call();
  hasty.cancelled = [] { return true; };
  EXPECT_THAT(open->SaveMoment(hasty), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(State(guest), DomainState::kRunning);
  ExpectNoTraces(guest);

  small = Options();
  small.max_saved_bytes = 0;
  WorkerMeasurer off(*pool_, *hypervisor_, small);
  ASSERT_OK_AND_ASSIGN(open, off.Open(guest, Call()));
  EXPECT_THAT(open->SaveMoment(Call()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  open.reset();  // not for longer than its measurer
  ASSERT_THAT(host_->Virsh({"destroy", "early"}), IsOk());
}

// libvirt lets a guest run that ran when its snapshot began.
TEST_F(GuestMomentTest, StaysPausedIfSomebodySuspendsItMeanwhile) {
  const Guest guest = Start("meanwhile", {"mem=256"});
  const std::string pipe = Options().streams / "slow";
  ASSERT_EQ(mkfifo(pipe.c_str(), S_IRUSR | S_IWUSR), 0);
  const UniqueFd reader(open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const UniqueFd writer(open(pipe.c_str(), O_WRONLY | O_CLOEXEC));
  fcntl(reader.get(), F_SETFL, 0);
  absl::StatusOr<std::chrono::microseconds> stood = absl::UnknownError("");
  std::thread save([&] { stood = hypervisor_->SaveState(guest.uuid, pipe); });
  char buffer[1 << 16];
  ASSERT_GT(read(reader.get(), buffer, sizeof buffer), 0);
  EXPECT_THAT(hypervisor_->BeginPause(guest.uuid),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(hypervisor_->Suspend(guest.uuid), IsOk());
  std::atomic<bool> over = false;
  std::thread drain([&] {
    while (!over && read(reader.get(), buffer, sizeof buffer) > 0) {
    }
  });
  save.join();
  over = true;
  ASSERT_EQ(write(writer.get(), "", 1), 1);
  drain.join();
  unlink(pipe.c_str());
  EXPECT_THAT(stood, IsOk());
  EXPECT_EQ(State(guest), DomainState::kPaused);
  ASSERT_THAT(host_->Virsh({"destroy", "meanwhile"}), IsOk());
}

// A daemon that dies takes its guard's socket with it, and reads no more.
TEST_F(GuestMomentTest, IsReadToItsEndByTheGuardOfADaemonThatDied) {
  const Guest guest = Start("orphan", {"kernel=none", "mem=2048"}, false);
  const std::filesystem::path streams = Options().streams;
  ASSERT_OK_AND_ASSIGN(
      std::unique_ptr<capture::PauseGuard> guard,
      capture::ProcessGuards(VMATTEST_RESUME_GUARD, host_->uri(),
                             streams)(guest.uuid));
  const std::string pipe = streams / ToString(guest.uuid);
  ASSERT_EQ(mkfifo(pipe.c_str(), S_IRUSR | S_IWUSR), 0);
  const UniqueFd reader(open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  absl::StatusOr<std::chrono::microseconds> stood = absl::UnknownError("");
  std::thread save([&] { stood = hypervisor_->SaveState(guest.uuid, pipe); });
  pollfd begun{reader.get(), POLLIN, 0};
  EXPECT_EQ(poll(&begun, 1, 60'000), 1);
  guard.reset();  // returns when the guard is done
  save.join();
  EXPECT_THAT(stood, IsOk());
  EXPECT_EQ(State(guest), DomainState::kRunning);
  ExpectNoTraces(guest);
  ASSERT_THAT(host_->Virsh({"destroy", "orphan"}), IsOk());
}

TEST_F(GuestMomentTest, OfAGuestThatCannotMigrateIsRefusedWithLibvirtsReason) {
  const Guest guest =
      Start("fixed",
            {"kernel=none", "mem=64",
             "devices=<shmem name='vmattest-moment'><model type='ivshmem-plain'"
             "/><size unit='M'>4</size></shmem>"},
            false);
  WorkerMeasurer measurer(*pool_, *hypervisor_, Options());
  ASSERT_OK_AND_ASSIGN(auto open, measurer.Open(guest, Call()));
  EXPECT_THAT(
      open->SaveMoment(Call()),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("shmem")));
  EXPECT_EQ(State(guest), DomainState::kRunning);
  ExpectNoTraces(guest);
  ASSERT_THAT(host_->Virsh({"destroy", "fixed"}), IsOk());
}

// The registers of a healthy kernel, whatever its version.
void ExpectRegistersOfTheKernel(std::map<std::string, std::string> registers) {
  EXPECT_EQ(registers.size(), 26U);
  for (const std::string cpu : {"cpu/0/", "cpu/1/"}) {
    EXPECT_EQ(registers[cpu + "lstar"], "entry_SYSCALL_64");
    EXPECT_EQ(registers[cpu + "cstar"], "entry_SYSCALL_compat");
    EXPECT_EQ(registers[cpu + "star"], "0x23001000000000");
    EXPECT_EQ(registers[cpu + "fmask"], "0x257fd5");
    EXPECT_EQ(registers[cpu + "sysenter_cs"], "0x10");
    EXPECT_EQ(registers[cpu + "sysenter_esp"], "the processor's entry area");
    EXPECT_EQ(registers[cpu + "sysenter_eip"], "entry_SYSENTER_compat");
    EXPECT_EQ(registers[cpu + "idtr"], "idt_table");
    EXPECT_EQ(registers[cpu + "gdtr"], "gdt_page");
    EXPECT_EQ(registers[cpu + "dr7"], "no breakpoint in the kernel");
  }
}

// Writes LSTAR of the second processor, on which nothing is to run, and lets
// interrupts into its system calls (FMASK without IF).
constexpr std::string_view kSetLstar = R"sh(#!/bin/sh
taskset -p 1 $$
echo @MODULE@ | base64 -d >/msr.ko
insmod /msr.ko
lstar=3221225602
set -- $(dd if=/dev/cpu/1/msr bs=8 count=1 skip=$lstar iflag=skip_bytes | od -An -tu1)
printf "$(printf '\\%03o' $(($1 + 4)) $2 $3 $4 $5 $6 $7 $8)" |
  dd of=/dev/cpu/1/msr bs=8 count=1 seek=$lstar oflag=seek_bytes conv=notrunc &&
printf '\325\175\045\0\0\0\0\0' |
  dd of=/dev/cpu/1/msr bs=8 count=1 seek=$((lstar + 2)) oflag=seek_bytes conv=notrunc &&
  echo MSRS-CHANGED
)sh";

// Records "cpu/...", which are the same in each boot.
std::map<std::string, std::string> RegistersOf(
    const linuxguest::Inspection& inspection) {
  std::map<std::string, std::string> registers;
  for (const linuxguest::Record& record : inspection.records) {
    if (record.name.rfind("cpu/", 0) == 0) {
      registers.emplace(record.name, record.text);
    }
  }
  return registers;
}

TEST_F(GuestMomentTest, S21_RegistersOfSystemCallsThatWereChangedAreNamed) {
  const Guest healthy = Start("healthy", {"mem=256", "cpus=2"});
  ASSERT_OK_AND_ASSIGN(Moment moment, Save(healthy));
  ASSERT_EQ(moment.vcpus.size(), 2U);
  const linuxguest::Inspection before = Inspect(moment);
  EXPECT_THAT(before.findings, IsEmpty()) << before.findings[0].element;
  EXPECT_THAT(before.absent, IsEmpty()) << "the stream has all registers";
  std::map<std::string, std::string> registers = RegistersOf(before);
  ExpectRegistersOfTheKernel(registers);
  ASSERT_THAT(host_->Virsh({"destroy", "healthy"}), IsOk());

  ASSERT_OK_AND_ASSIGN(
      const std::string module,
      RunCommand({"sh", "-c",
                  "dpkg-deb --fsys-tarfile " + GuestFolder() +
                      "/packages/linux-image*.deb | tar -xO --wildcards "
                      "'*/x86/kernel/msr.ko' | base64 -w0"}));
  std::string script(kSetLstar);
  script.replace(script.find("@MODULE@"), 8, module);
  ASSERT_OK_AND_ASSIGN(const std::string initrd, host_->AddJob(script, {}));
  const Guest attacked =
      Start("attacked",
            {"mem=256", "cpus=2", "cmdline=isolcpus=1", "initrd=" + initrd});
  ASSERT_TRUE(host_->AwaitConsole("attacked", "MSRS-CHANGED"));
  ASSERT_OK_AND_ASSIGN(moment, Save(attacked));
  const linuxguest::Inspection after = Inspect(moment);
  ASSERT_EQ(after.findings.size(), 2U);
  EXPECT_EQ(after.findings[0].code, "cpu-protection-off");
  EXPECT_EQ(after.findings[0].element, "cpu 1 fmask");
  EXPECT_EQ(after.findings[1].code, "cpu-entry");
  EXPECT_THAT(after.findings[1].element, HasSubstr("cpu 1 lstar"));
  EXPECT_THAT(after.findings[1].found, HasSubstr("entry_SYSCALL_64+0x4"));
  // Another boot, and nothing else is different.
  registers["cpu/1/fmask"] = "0x257dd5";
  registers["cpu/1/lstar"] = "entry_SYSCALL_64+0x4";
  EXPECT_EQ(RegistersOf(after), registers);
  ASSERT_THAT(host_->Virsh({"destroy", "attacked"}), IsOk());
}

TEST_F(GuestMomentTest, S21_RegistersOfANewerKernelAreHealthyToo) {
  const auto folder = MakeGuest(testing::kDebian13Kernel);
  if (absl::IsNotFound(folder.status())) {
    GTEST_SKIP() << folder.status();
  }
  ASSERT_THAT(folder, IsOk());
  ASSERT_OK_AND_ASSIGN(
      const std::string xml,
      RunCommand({VMATTEST_TESTBED "/make-domain", "newer", *folder, "mem=512",
                  "cpus=2", "cmdline=no_timer_check",
                  "cpu=<cpu mode='maximum'/>"}));
  const std::string file = host_->folder() / "newer.xml";
  std::ofstream(file) << xml;
  ASSERT_THAT(host_->Virsh({"create", file}), IsOk());
  ASSERT_TRUE(host_->AwaitConsole("newer", "GUEST-READY"))
      << host_->Console("newer");
  ASSERT_OK_AND_ASSIGN(Moment moment, Save(Describe("newer")));
  const linuxguest::Inspection seen = Inspect(moment);
  EXPECT_THAT(seen.findings, IsEmpty()) << seen.findings[0].element;
  EXPECT_THAT(seen.absent, IsEmpty());
  EXPECT_THAT(seen.records, Contains(Field("text", &linuxguest::Record::text,
                                           StartsWith("6.12."))));
  ExpectRegistersOfTheKernel(RegistersOf(seen));
  ASSERT_THAT(host_->Virsh({"destroy", "newer"}), IsOk());
}

// With page table isolation the table would have to lie where the kernel's own
// does.
TEST_F(GuestMomentTest, S21_IdtThatAModuleLoadedIsNamed) {
  const linuxguest::Findings found = FindingsWithModule("own_idt", "own-idt.s");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].code, "cpu-table");
  EXPECT_THAT(found[0].element, HasSubstr("cpu 1 idtr"));
  EXPECT_THAT(found[0].found, HasSubstr("own_idt"));
}

TEST_F(GuestMomentTest, S21_BreakpointThatAModuleSetIsNamed) {
  const linuxguest::Findings found =
      FindingsWithModule("own_break", "own-breakpoint.s");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].code, "cpu-breakpoint");
  EXPECT_EQ(found[0].element, "cpu 1 dr7");
  EXPECT_THAT(found[0].found, HasSubstr("dr0 on execution of own_break:"));
}

}  // namespace
}  // namespace vmattest::memory
