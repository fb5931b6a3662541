#include <cstdlib>
#include <filesystem>

#include "enrollment/credential.h"
#include "enrollment/ek_public.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/soft_tpm.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

// Credentials of ours against those who know better: a TPM (swtpm) opens them
// through tpm2-tools, and tpm2-tools' own are opened.

namespace vmattest::enrollment {
namespace {

using testing::Slurp;

struct EkKind {
  std::string name;  // tpm2_createek -G
  std::string ek_template;
  bool by_policy = true;  // else by its empty authorisation
};

// tpm2-tools' file: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
Bytes ToToolFile(const Credential& credential) {
  ByteWriter file;
  file.U32(0xBADCC0DE).U32(1).Raw(credential.credential_blob);
  file.Raw(credential.encrypted_secret);
  return std::move(file).Take();
}

class CredentialOnTpm : public ::testing::TestWithParam<EkKind> {
 protected:
  [[nodiscard]] std::string Path(const std::string& name) const {
    return (dir_.path() / name).string();
  }
  [[nodiscard]] Bytes Read(const std::string& name) const {
    return ToBytes(Slurp(dir_.path() / name));
  }
  int TryTool(const std::string& tool, const std::string& arguments) const {
    return std::system(fmt::format("cd {} && TSS2_LOG=all+none {} -T {} {} "
                                   ">/dev/null 2>&1",
                                   dir_.path().string(), tool, swtpm_.tcti(),
                                   arguments)
                           .c_str());
  }
  void Tool(const std::string& tool, const std::string& arguments) const {
    ASSERT_EQ(TryTool(tool, arguments), 0) << tool << " " << arguments;
    (void)TryTool("tpm2_flushcontext", "-t");
  }
  void MakeKeys() {
    Tool("tpm2_createek", "-G " + GetParam().name + " -c ek.ctx -u ek.pub");
    for (const std::string ak : {"ak", "other"}) {
      const std::string unique = ak == "ak" ? "" : " -g sha384";
      Tool("tpm2_createprimary",
           "-C e -G ecc256:ecdsa-sha256:null -a 'fixedtpm|fixedparent|"
           "sensitivedataorigin|userwithauth|restricted|sign' -c " +
               ak + ".ctx" + unique);
      Tool("tpm2_readpublic", fmt::format("-c {0}.ctx -n {0}.name", ak));
    }
  }
  // Whether the TPM gives the secret back.
  bool Opens(const Credential& credential) {
    dir_.Write("blob", std::string(AsText(ToToolFile(credential))));
    std::filesystem::remove(Path("out"));
    std::string auth;
    if (GetParam().by_policy) {
      EXPECT_EQ(TryTool("tpm2_startauthsession", "--policy-session -S s.ctx"),
                0);
      EXPECT_EQ(TryTool("tpm2_policysecret", "-S s.ctx -c e"), 0);
      auth = " -P session:s.ctx";
    }
    (void)TryTool("tpm2_activatecredential",
                  "-c ak.ctx -C ek.ctx -i blob -o out" + auth);
    if (GetParam().by_policy) {
      (void)TryTool("tpm2_flushcontext", "s.ctx");
    }
    (void)TryTool("tpm2_flushcontext", "-t");
    return std::filesystem::exists(Path("out")) && Read("out") == secret_;
  }
  absl::StatusOr<Credential> Make(ByteView ek, ByteView name) const {
    return MakeCredential(ek, name, SecretBytes(Bytes(secret_)));
  }

  const Bytes secret_ = Bytes(32, 0x5A);
  testing::TempDir dir_;
  testing::Swtpm swtpm_;
};

TEST_P(CredentialOnTpm, IsOpenedByTheTpmItIsFor) {
  MakeKeys();
  ASSERT_OK_AND_ASSIGN(const EkPublic ek, ParseEkPublic(Read("ek.pub")));
  EXPECT_EQ(EkTemplateOf(ek), GetParam().ek_template);
  ASSERT_OK_AND_ASSIGN(const Credential made,
                       Make(Read("ek.pub"), Read("ak.name")));
  EXPECT_TRUE(Opens(made));
}

TEST_P(CredentialOnTpm, IsNotOpenedForAnotherKeyOrByAnotherTpm) {
  MakeKeys();
  ASSERT_OK_AND_ASSIGN(const Credential for_other_key,
                       Make(Read("ek.pub"), Read("other.name")));
  EXPECT_FALSE(Opens(for_other_key));
  const Bytes ek = Read("ek.pub");
  const Bytes ak = Read("ak.name");
  swtpm_.ReplaceWithFreshOne();
  MakeKeys();
  // The name is the new TPM's, the EK the old one's.
  ASSERT_OK_AND_ASSIGN(const Credential for_other_tpm,
                       Make(ek, Read("ak.name")));
  EXPECT_FALSE(Opens(for_other_tpm));
  EXPECT_NE(ak, Read("ak.name"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, CredentialOnTpm,
                         ::testing::Values(EkKind{"ecc256", "L-2", true},
                                           EkKind{"ecc384", "H-3", false},
                                           EkKind{"rsa2048", "L-1", true},
                                           EkKind{"rsa3072", "H-6", false}),
                         [](const auto& kind) { return kind.param.name; });

TEST(CredentialOfTpm2Tools, IsOpenedByTheSoftTpm) {
  const testing::SoftKey ek(testing::kEkAttributes);
  const testing::SoftKey ak;
  testing::TempDir dir;
  dir.Write("ek.pub", std::string(AsText(ek.public_area())));
  dir.Write("secret", std::string(32, 'x'));
  const std::string command = fmt::format(
      "cd {} && tpm2_makecredential -T none -u ek.pub -s secret -n {} -o blob "
      ">/dev/null 2>&1",
      dir.path().string(), ToHex(ak.name()));
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  const std::string file = Slurp(dir.path() / "blob");
  ByteReader reader(AsBytes(file).subspan(8));
  const auto sized = [&] {
    ByteWriter part;
    const uint16_t size = reader.U16();
    part.U16(size).Raw(reader.Raw(size));
    return std::move(part).Take();
  };
  const Bytes blob = sized();
  const Bytes secret = sized();
  ASSERT_TRUE(reader.AtEnd());
  ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                       ek.Activate(ak.name(), blob, secret));
  EXPECT_EQ(AsText(opened.Reveal(SecretAccess())), std::string(32, 'x'));
}

}  // namespace
}  // namespace vmattest::enrollment
