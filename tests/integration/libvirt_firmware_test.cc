// Domains whose firmware libvirt chooses, on a real libvirtd: what it says it
// would start is what it starts.
#include <filesystem>
#include <fstream>

#include "attestor/observe.h"
#include "fakes/recording_observer.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "image/file_digester.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"

namespace vmattest::attestor {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::LibvirtHost;
using ::testing::StartsWith;

struct Variant {
  const char* name;
  const char* machine;
  const char* in_os;
  const char* features;
};
void PrintTo(const Variant& variant, std::ostream* out) {
  *out << variant.name;
}

class LibvirtFirmwareTest : public ::testing::TestWithParam<Variant> {
 protected:
  static void SetUpTestSuite() {
    if (WhyNot().empty()) {
      auto host = LibvirtHost::Up("firmware");
      ASSERT_THAT(host, IsOk());
      host_ = host->release();
    }
  }
  static void TearDownTestSuite() {
    delete host_;
    host_ = nullptr;
  }
  void SetUp() override {
    if (const std::string why_not = WhyNot(); !why_not.empty()) {
      GTEST_SKIP() << why_not;
    }
    ASSERT_NE(host_, nullptr);
    hypervisor_ = std::make_unique<hypervisor::LibvirtHypervisor>(
        hypervisor::LibvirtHypervisor::Options{.uri = host_->uri()});
    ASSERT_THAT(hypervisor_->Start(observer_), IsOk());
    ASSERT_TRUE(observer_.WaitFor("connected"));
  }
  void TearDown() override {
    if (hypervisor_ != nullptr) {
      hypervisor_->Stop();
    }
  }

  static std::string WhyNot() {
    std::error_code ignored;
    if (!std::filesystem::exists("/usr/share/qemu/firmware", ignored)) {
      return "no firmware with descriptors is installed (package ovmf)";
    }
    return LibvirtHost::WhyNot();
  }
  static void Virsh(std::vector<std::string> words) {
    ASSERT_THAT(host_->Virsh(std::move(words)), IsOk());
  }
  void Define(const Variant& variant) {
    const std::filesystem::path file =
        host_->folder() / fmt::format("{}.xml", variant.name);
    std::ofstream(file) << fmt::format(
        "<domain type='qemu'><name>{}</name>"
        "<memory unit='MiB'>64</memory><vcpu>1</vcpu>"
        "<os firmware='efi'><type arch='x86_64' machine='{}'>hvm</type>"
        "{}</os><features><acpi/>{}</features><devices>"
        "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/>"
        "</tpm></devices></domain>",
        variant.name, variant.machine, variant.in_os, variant.features);
    Virsh({"define", file});
  }

  measurement::DomainMeasurement Measure(const std::string& name) {
    const auto domain = hypervisor_->FindDomainByName(name);
    EXPECT_THAT(domain, IsOk());
    const auto seen = SeeVm(*hypervisor_, domain->uuid);
    EXPECT_THAT(seen, IsOk());
    const auto measured = MeasureSeen(measurer_, *seen, {});
    EXPECT_THAT(measured, IsOk());
    return measured.value_or(measurement::DomainMeasurement());
  }

  static LibvirtHost* host_;
  testing::RecordingObserver observer_;
  std::unique_ptr<hypervisor::LibvirtHypervisor> hypervisor_;
  SystemClock clock_;
  ThreadPool hashing_{"hashing", 2, 64};
  image::DigestCache cache_{clock_, {}};
  image::FileDigester digester_{clock_, hashing_, cache_};
  measurement::DomainMeasurer measurer_{digester_, nullptr};
};

LibvirtHost* LibvirtFirmwareTest::host_ = nullptr;

TEST_P(LibvirtFirmwareTest, StoppedAndRunningDomainHaveOneRoot) {
  const Variant& variant = GetParam();
  Define(variant);
  const measurement::DomainMeasurement stopped = Measure(variant.name);
  EXPECT_THAT(stopped.tree.leaves,
              Contains(::testing::AllOf(
                  Field(&ConfigLeaf::path, "os/loader/content"),
                  Field(&ConfigLeaf::type, LeafType::kDigest),
                  Field(&ConfigLeaf::value, StartsWith("sha256:")))));
  EXPECT_THAT(stopped.tree.leaves,
              Contains(::testing::AllOf(
                  Field(&ConfigLeaf::path, "os/loader"),
                  Field(&ConfigLeaf::value, HasSubstr("/OVMF/")))));
  Virsh({"start", "--paused", variant.name});
  EXPECT_EQ(Measure(variant.name).tree.leaves, stopped.tree.leaves);
  EXPECT_EQ(Measure(variant.name).tree.root, stopped.tree.root);
  Virsh({"destroy", variant.name});
  EXPECT_EQ(Measure(variant.name).tree.root, stopped.tree.root);
  Virsh({"undefine", "--nvram", variant.name});
}

INSTANTIATE_TEST_SUITE_P(
    Choices, LibvirtFirmwareTest,
    ::testing::Values(
        Variant{"open", "q35", "", ""},
        Variant{"secure", "q35", "<loader secure='yes'/>", "<smm state='on'/>"},
        Variant{"unenrolled", "q35",
                "<firmware><feature enabled='no' name='enrolled-keys'/>"
                "</firmware>",
                ""},
        Variant{"enrolled", "q35",
                "<firmware><feature enabled='yes' name='enrolled-keys'/>"
                "<feature enabled='yes' name='secure-boot'/></firmware>",
                ""},
        Variant{"insecure", "q35",
                "<firmware><feature enabled='no' name='secure-boot'/>"
                "</firmware>",
                ""},
        Variant{"pc", "pc", "", ""},
        Variant{"nvram", "q35",
                "<nvram>/var/lib/libvirt/qemu/nvram/own.fd</nvram>", ""}),
    [](const ::testing::TestParamInfo<Variant>& v) {
      return std::string(v.param.name);
    });

class LibvirtRefusalTest : public LibvirtFirmwareTest {};

// With SMM off none of the firmware for this machine may start.
TEST_P(LibvirtRefusalTest, ADomainThatLibvirtWouldNotStartIsMeasuredAsOpen) {
  Define(GetParam());
  EXPECT_THAT(Measure(GetParam().name).tree.leaves,
              Contains(::testing::AllOf(
                  Field(&ConfigLeaf::path, "os/loader/content"),
                  Field(&ConfigLeaf::type, LeafType::kUnavailable))));
  Virsh({"undefine", GetParam().name});
}

INSTANTIATE_TEST_SUITE_P(Refused, LibvirtRefusalTest,
                         ::testing::Values(Variant{"nosmm", "q35", "",
                                                   "<smm state='off'/>"}));

}  // namespace
}  // namespace vmattest::attestor
