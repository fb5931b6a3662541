#include "measurement/secrets.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

constexpr const char* kQemu =
    "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";

// Everything a measurement says, as one text.
std::string AllOf(const std::string& xml) {
  const auto measured = MeasureText(xml);
  EXPECT_TRUE(measured.ok()) << measured.status().ToString();
  std::string all;
  for (const ConfigLeaf& leaf : measured->tree.leaves) {
    all += leaf.path + " " + leaf.value + "\n";
  }
  for (const std::string& warning : measured->warnings) {
    all += warning + "\n";
  }
  return all;
}

void ExpectPresenceOnly(const std::string& with_secret,
                        const std::string& with_other,
                        const std::string& without, const char* path) {
  EXPECT_EQ(LeafOf(with_secret, path), "presence present")
      << AllOf(with_secret);
  EXPECT_EQ(AllOf(with_secret).find("hunter2"), std::string::npos);
  EXPECT_EQ(RootOf(with_secret), RootOf(with_other));
  EXPECT_NE(RootOf(with_secret), RootOf(without));
}

TEST(Secrets, S17_VncPasswordIsPresenceOnly) {
  ExpectPresenceOnly(DomainWith("<graphics type='vnc' passwd='hunter2'/>"),
                     DomainWith("<graphics type='vnc' passwd='other'/>"),
                     DomainWith("<graphics type='vnc'/>"),
                     "xml/devices/graphics[vnc]/@passwd");
}

TEST(Secrets, S17_EndOfAPasswordIsPresenceOnly) {
  ExpectPresenceOnly(
      DomainWith("<graphics type='vnc' passwdValidTo='hunter2'/>"),
      DomainWith("<graphics type='vnc' passwdValidTo='2030-01-01'/>"),
      DomainWith("<graphics type='vnc'/>"),
      "xml/devices/graphics[vnc]/@passwdValidTo");
}

TEST(Secrets, S17_InlineDiskSecretIsPresenceOnly) {
  const auto disk = [](const std::string& secret) {
    return DomainWith("<disk><source><auth username='u'>" + secret +
                      "</auth></source><target dev='vda'/></disk>");
  };
  ExpectPresenceOnly(disk("<secret type='ceph'>hunter2</secret>"),
                     disk("<secret type='ceph'>x</secret>"),
                     disk("<secret type='ceph'/>"),
                     "xml/devices/disk[vda]/source/auth/secret/@text");
}

TEST(Secrets, S17_CookiesArePresenceOnly) {
  const auto disk = [](const std::string& cookie) {
    return DomainWith("<disk><source protocol='https'><cookies>" + cookie +
                      "</cookies></source><target dev='vda'/></disk>");
  };
  ExpectPresenceOnly(disk("<cookie name='a'>hunter2</cookie>"),
                     disk("<cookie name='a'>x</cookie>"),
                     disk("<cookie name='a'/>"),
                     "xml/devices/disk[vda]/source/cookies/cookie/@text");
}

TEST(Secrets, S17_SecretOfAQemuObjectIsPresenceOnly) {
  const auto domain = [](const std::string& value) {
    return DomainWith("",
                      "<qemu:commandline><qemu:arg value='" + value +
                          "'/></qemu:commandline>",
                      kQemu);
  };
  ExpectPresenceOnly(domain("secret,id=s0,data=hunter2"),
                     domain("secret,id=s0,data=x"), domain("secret,id=s0"),
                     "xml/qemu:commandline/qemu:arg/@value");
  EXPECT_NE(RootOf(domain("secret,id=s0,data=x")),
            RootOf(domain("secret,id=s1,data=x")));
}

TEST(Secrets, S17_EnvironmentPasswordIsPresenceOnly) {
  const auto domain = [](const std::string& value) {
    return DomainWith("",
                      "<qemu:commandline><qemu:env name='DB_PASSWORD' " +
                          value + "/></qemu:commandline>",
                      kQemu);
  };
  ExpectPresenceOnly(domain("value='hunter2'"), domain("value='x'"), domain(""),
                     "xml/qemu:commandline/qemu:env/@value");
}

TEST(Secrets, ReferencesToSecretsAreMeasured) {
  const auto disk = [](const std::string& uuid) {
    return DomainWith("<disk><source><auth><secret uuid='" + uuid +
                      "'/></auth></source><target dev='vda'/></disk>");
  };
  EXPECT_NE(RootOf(disk("a")), RootOf(disk("b")));
}

TEST(Secrets, OwnersLaunchDataIsMeasured) {
  const auto sev = [](const std::string& session) {
    return DomainWith("", "<launchSecurity type='sev'><session>" + session +
                              "</session></launchSecurity>");
  };
  EXPECT_EQ(LeafOf(sev("QUFB"), "launchSecurity/session"), "text QUFB");
}

TEST(Secrets, TwoSecretAttributesThatDifferInNamespaceKeepApart) {
  const std::string xml = DomainWith(
      "<graphics type='vnc' passwd='a' xmlns:n='urn:n' n:passwd='b'/>");
  EXPECT_EQ(LeafOf(xml, "xml/devices/graphics[vnc]/@passwd"),
            "presence present");
  EXPECT_EQ(LeafOf(xml, "xml/devices/graphics[vnc]/@{urn%3An}passwd"),
            "presence present");
}

TEST(RedactArgument, TakesOutTheValuesOfSecretOptionsOnly) {
  const auto redact = [](std::string_view argument) {
    return RedactArgument(argument).text;
  };
  EXPECT_EQ(redact("secret,id=s0,data=letmein"), "secret,id=s0,data=");
  EXPECT_EQ(redact("secret,id=s0,data=let,,me,format=raw"),
            "secret,id=s0,data=,format=raw");
  EXPECT_EQ(redact("port=5900,password=x"), "port=5900,password=");
  EXPECT_EQ(redact("rbd,key-secret=s0,data=pool"),
            "rbd,key-secret=s0,data=pool");
  EXPECT_EQ(redact("password"), "password");
  EXPECT_EQ(redact(""), "");
  EXPECT_EQ(redact("a,,b,"), "a,,b,");
  EXPECT_EQ(redact("{\"qom-type\":\"secret\",\"data\":\"x\"}"), "");
  EXPECT_EQ(redact("{\"driver\":\"e1000\"}"), "{\"driver\":\"e1000\"}");
}

TEST(RedactArgument, SaysWhetherAnythingWasSecret) {
  EXPECT_TRUE(RedactArgument("secret,data=x").redacted);
  EXPECT_FALSE(RedactArgument("virtio-net,mac=52:54:00:00:00:01").redacted);
}

}  // namespace
}  // namespace vmattest::measurement
