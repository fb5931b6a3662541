#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "crypto/digest.h"
#include "disk/dpkg.h"
#include "disk/ext_file_tree.h"
#include "disk/leaf_list.h"
#include "disk/os_release.h"
#include "disk/rpm_database.h"
#include "disk/sqlite_wal.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/disk/disk_images.h"

namespace vmattest::disk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using vmattest::testing::DiskImages;
using vmattest::testing::IsOk;
using vmattest::testing::OpenRaw;
using vmattest::testing::Slurp;
using vmattest::testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;

std::vector<std::string> Summary(
    const absl::StatusOr<std::vector<InstalledPackage>>& packages) {
  std::vector<std::string> lines;
  EXPECT_THAT(packages, IsOk());
  if (packages.ok()) {
    for (const InstalledPackage& package : *packages) {
      lines.push_back(fmt::format("{} {} {} {}", package.name, package.version,
                                  package.architecture, package.state));
    }
  }
  return lines;
}

std::string Md5sums(std::string_view content) {
  return "md5sums=" +
         DigestText(HashAlgorithm::kSha256,
                    Hash(HashAlgorithm::kSha256, AsBytes(content)));
}

TEST(DpkgStatus, ListsWhatIsThere) {
  EXPECT_THAT(
      Summary(ParseDpkgStatus(
          "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n"
          "Architecture: amd64\nDescription: shell\n Status: no field\n .\n\n"
          "Package: held\nstatus: hold ok installed\nversion:1\n"
          "Architecture: all\n\n\n"
          "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
          "Package: never\nStatus: purge ok not-installed\n\n"
          "Package: half\nStatus: install reinstreq half-installed\n"
          "Version: 2\nArchitecture: i386")),
      ElementsAre("bash 5.2-1 amd64 ", "held 1 all ",
                  "half 2 i386 half-installed"));
}

TEST(DpkgStatus, OfNothingHasNothing) {
  EXPECT_THAT(Summary(ParseDpkgStatus("")), IsEmpty());
  EXPECT_THAT(Summary(ParseDpkgStatus("\n\n \n")), IsEmpty());
}

TEST(DpkgStatus, RefusesAPackageWithoutName) {
  EXPECT_THAT(ParseDpkgStatus("Version: 1\n"),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(DpkgStatus, EndsAtTooManyPackages) {
  std::string text;
  for (int i = 0; i < 100'001; ++i) {
    text += "Package: a\n\n";
  }
  EXPECT_THAT(ParseDpkgStatus(text),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

class DatabaseTest : public ::testing::Test {
 protected:
  FileTree& Mount(const std::string& folder, uint64_t size = 16 * kMiB) {
    source_ = OpenRaw(images_.MakeExt("image", folder, size, {"-t", "ext4"}));
    auto tree = ExtFileTree::Mount(*source_);
    EXPECT_THAT(tree, IsOk());
    tree_ = *std::move(tree);
    return *tree_;
  }
  DiskImages images_;
  std::unique_ptr<BlockSource> source_;
  std::unique_ptr<ExtFileTree> tree_;
};

TEST_F(DatabaseTest, ManifestsAreFoundByNameAndArchitecture) {
  const std::string status =
      "Package: a\nStatus: install ok installed\nVersion: 1\n"
      "Architecture: amd64\n\n"
      "Package: a\nStatus: install ok installed\nVersion: 1\n"
      "Architecture: i386\n\n"
      "Package: b\nStatus: install ok installed\nVersion: 1\n"
      "Architecture: all\n\n"
      "Package: c\nStatus: install ok installed\nVersion: 1\n"
      "Architecture: all\n";
  FileTree& tree = Mount(
      images_.MakeFolder("files", {{"data/dpkg/status", status},
                                   {"data/dpkg/info/a:amd64.md5sums", "one"},
                                   {"data/dpkg/info/a:i386.md5sums", "two"},
                                   {"data/dpkg/info/b.md5sums", "three"},
                                   {"data/dpkg/info/c.list", "/"},
                                   {"var/lib", "-> /data"}}));
  const auto packages =
      ReadDpkgDatabase(tree, "var/lib/dpkg", HashAlgorithm::kSha256);
  ASSERT_THAT(packages, IsOk());
  std::vector<std::string> manifests;
  for (const InstalledPackage& package : *packages) {
    manifests.push_back(package.manifest);
  }
  EXPECT_THAT(manifests, ElementsAre(Md5sums("one"), Md5sums("two"),
                                     Md5sums("three"), "md5sums=none"));
}

TEST_F(DatabaseTest, OfADistrolessImageIsOneFileForEachPackage) {
  FileTree& tree = Mount(images_.MakeFolder(
      "files", {{"var/lib/dpkg/status.d/base",
                 "Package: base-files\nVersion: 12\n"
                 "Architecture: amd64\n"},
                {"var/lib/dpkg/status.d/base-files.md5sums", "sums"},
                {"var/lib/dpkg/status.d/tz",
                 "Package: tzdata\nVersion: 2\n"
                 "Architecture: all\n"}}));
  const auto packages =
      ReadDpkgDatabase(tree, "var/lib/dpkg", HashAlgorithm::kSha256);
  EXPECT_THAT(Summary(packages),
              ElementsAre("base-files 12 amd64 ", "tzdata 2 all "));
  EXPECT_EQ((*packages)[0].manifest, Md5sums("sums"));
}

TEST_F(DatabaseTest, IsNotFoundWhereThereIsNone) {
  FileTree& tree = Mount(images_.MakeFolder("files", {{"etc/x", ""}}));
  EXPECT_THAT(ReadDpkgDatabase(tree, "var/lib/dpkg", HashAlgorithm::kSha256),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadRpmDatabase(tree, "var/lib/rpm"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadOsRelease(tree), StatusIs(absl::StatusCode::kNotFound));
}

// This machine's own database, some hundred packages, against dpkg-query.
TEST_F(DatabaseTest, OfThisMachineIsWhatDpkgQuerySays) {
  const std::string folder =
      images_.MakeFolder("files", {{"var/lib/dpkg/info/", ""}});
  DiskImages::Run({"sh", "-c",
                   "cp /var/lib/dpkg/status " + folder +
                       "/var/lib/dpkg/ && cp /var/lib/dpkg/info/*.md5sums " +
                       folder + "/var/lib/dpkg/info/"});
  FileTree& tree = Mount(folder, 512 * kMiB);
  const auto packages =
      ReadDpkgDatabase(tree, "var/lib/dpkg", HashAlgorithm::kSha256);
  std::vector<std::string> found = Summary(packages);
  std::vector<std::string> expected;
  std::istringstream lines(DiskImages::Run(
      {"dpkg-query", "--admindir", folder + "/var/lib/dpkg", "-W", "-f",
       "${db:Status-Status}|${Package} ${Version} ${Architecture} \n"}));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("installed|")) {
      expected.push_back(line.substr(line.find('|') + 1));
    }
  }
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_GT(expected.size(), 100u);
  EXPECT_EQ(found, expected);
  const auto with_manifest = std::count_if(
      packages->begin(), packages->end(), [](const InstalledPackage& package) {
        return package.manifest.starts_with("md5sums=sha256:");
      });
  EXPECT_GT(with_manifest, 100);
}

// A root with two packages that rpmbuild made, installed by rpm.
class RpmTest : public DatabaseTest {
 protected:
  static const std::string& Root() {
    static DiskImages images;
    static const std::string root = [] {
      for (const char* name : {"hello-vm", "second"}) {
        const std::string spec = fmt::format(
            "Name: {0}\nEpoch: 2\nVersion: 1.0\nRelease: 3\nSummary: x\n"
            "License: MIT\nBuildArch: noarch\n%description\nx\n%install\n"
            "mkdir -p %{{buildroot}}/usr/share/{0}\n"
            "echo {0} > %{{buildroot}}/usr/share/{0}/file\n"
            "%files\n/usr/share/{0}/file\n",
            name);
        images.MakeFolder("specs", {{name, spec}});
        DiskImages::Run({"rpmbuild", "--define",
                         "_topdir " + images.Path("build"), "-bb", "--quiet",
                         images.Path("specs/") + name});
      }
      DiskImages::Run({"sh", "-c",
                       fmt::format("rpm --root {0} --dbpath /var/lib/rpm "
                                   "--define '_db_backend sqlite' -i --nodeps "
                                   "{1}/RPMS/noarch/*.rpm",
                                   images.MakeFolder("root", {{"var/", ""}}),
                                   images.Path("build"))});
      return images.Path("root");
    }();
    return root;
  }
  static std::string Query(const std::string& format) {
    return DiskImages::Run({"rpm", "--root", Root(), "--dbpath", "/var/lib/rpm",
                            "--define", "_db_backend sqlite", "-qa", "--qf",
                            format});
  }
  static std::string File(const std::string& name) {
    return Slurp(Root() + "/var/lib/rpm/" + name);
  }
};

TEST_F(RpmTest, DatabaseIsWhatRpmSays) {
  FileTree& tree = Mount(Root());
  const auto packages = ReadRpmDatabase(tree, "var/lib/rpm");
  ASSERT_THAT(packages, IsOk());
  std::string found;
  for (const InstalledPackage& package : *packages) {
    found += fmt::format("{} {} {} {}\n", package.name, package.version,
                         package.architecture, package.manifest);
  }
  EXPECT_EQ(packages->size(), 2u);
  EXPECT_EQ(found, Query("%{name} %{epoch}:%{version}-%{release} %{arch} "
                         "header=sha256:%{sha256header}\n"));
}

TEST_F(RpmTest, WriteAheadLogIsReadAsSqliteWould) {
  // A database whose newest rows are only in the log.
  const std::string copy = images_.Path("db.sqlite");
  DiskImages::Run({"cp", Root() + "/var/lib/rpm/rpmdb.sqlite", copy});
  DiskImages::Run({"sh", "-c",
                   "cp " + Root() + "/var/lib/rpm/rpmdb.sqlite-wal " + copy +
                       "-wal 2>/dev/null; sqlite3 " + copy +
                       " 'PRAGMA wal_checkpoint(TRUNCATE);' > /dev/null"});
  const std::string before = Slurp(copy);
  DiskImages::Run(
      {"sh", "-c",
       fmt::format("printf '%s\\n' '.dbconfig no_ckpt_on_close on' "
                   "'PRAGMA wal_autocheckpoint=0;' "
                   "\"DELETE FROM Packages WHERE rowid=(SELECT max(rowid) "
                   "FROM Packages);\" | sqlite3 {} > /dev/null",
                   copy)});
  ASSERT_EQ(Slurp(copy), before);
  const std::string wal = Slurp(copy + "-wal");
  ASSERT_GT(wal.size(), 32u);
  EXPECT_EQ(Summary(ParseRpmDatabase(ToBytes(before), {})).size(), 2u);
  EXPECT_EQ(Summary(ParseRpmDatabase(ToBytes(before), AsBytes(wal))).size(),
            1u);
  // A log whose last frame is torn does not count.
  std::string torn = wal;
  torn[torn.size() - 1] ^= 1;
  EXPECT_EQ(Summary(ParseRpmDatabase(ToBytes(before), AsBytes(torn))).size(),
            2u);
  EXPECT_EQ(
      Summary(ParseRpmDatabase(ToBytes(before), AsBytes(wal.substr(0, 40))))
          .size(),
      2u);
}

TEST_F(RpmTest, NamesOtherFormats) {
  FileTree& tree = Mount(
      images_.MakeFolder("files", {{"var/lib/rpm/Packages", "x"},
                                   {"usr/lib/sysimage/rpm/Packages.db", "x"}}));
  EXPECT_THAT(
      ReadRpmDatabase(tree, "var/lib/rpm"),
      StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("Berkeley DB")));
  EXPECT_THAT(ReadRpmDatabase(tree, "usr/lib/sysimage/rpm"),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("ndb")));
}

TEST(RpmDatabase, RefusesWhatIsNoDatabase) {
  EXPECT_THAT(ParseRpmDatabase(Bytes(), {}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseRpmDatabase(Bytes(5000, 'x'), {}),
              StatusIs(absl::StatusCode::kDataLoss));
}

Bytes MakeDatabase(DiskImages& images, const std::string& sql) {
  const std::string path = images.Path("made.sqlite");
  DiskImages::Run({"sqlite3", path, sql});
  return ToBytes(Slurp(path));
}

TEST(RpmDatabase, RefusesATableThatIsAnEndlessView) {
  DiskImages images;
  EXPECT_FALSE(
      ParseRpmDatabase(
          MakeDatabase(images,
                       "CREATE VIEW Packages AS WITH RECURSIVE r(rowid, blob) "
                       "AS (SELECT 1, x'00' UNION ALL SELECT rowid+1, blob "
                       "FROM r) SELECT rowid, blob FROM r;"),
          {})
          .ok());
}

TEST(RpmDatabase, NamesDamagedHeaders) {
  DiskImages images;
  for (const char* blob : {"NULL", "''", "x'0000000100000001'",
                           "zeroblob(1000)", "'text'", "17"}) {
    EXPECT_THAT(
        ParseRpmDatabase(
            MakeDatabase(images,
                         fmt::format("DROP TABLE IF EXISTS Packages; CREATE "
                                     "TABLE Packages(hnum INTEGER PRIMARY KEY,"
                                     " blob BLOB); INSERT INTO Packages "
                                     "VALUES (1, {});",
                                     blob)),
            {}),
        StatusIs(absl::StatusCode::kDataLoss))
        << blob;
  }
}

TEST(OsRelease, GivesIdAndVersion) {
  EXPECT_EQ(ParseOsRelease("NAME=x\nID=debian\nVERSION_ID=\"12\"\n"),
            "debian 12");
  EXPECT_EQ(ParseOsRelease("ID='fedora'\r\nVERSION_ID=40"), "fedora 40");
  EXPECT_EQ(ParseOsRelease("ID=arch\n"), "arch");
  EXPECT_EQ(ParseOsRelease("ID=\"a\\\"b\"\n"), "a\"b");
  EXPECT_EQ(ParseOsRelease("NAME=x\n"), "");
}

TEST(LeafList, MakesHostileTextPrintable) {
  LeafList leaves(10);
  leaves.Text("a", "\x01\xff%\n ok");
  leaves.Text("b", std::string(5000, 'x'));
  const auto taken = std::move(leaves).Take();
  EXPECT_EQ(taken[0].value, "%01%FF%25%0A ok");
  EXPECT_LT(taken[1].value.size(), 1100u);
  EXPECT_EQ(EscapeLeafKey("a b]/\xc3\xa9"), "a%20b%5D/%C3%A9");
}

TEST(LeafList, KeepsPathsApartAndTheirNumberBounded) {
  LeafList leaves(3);
  leaves.Text("a", "1");
  leaves.Text("a", "2");
  leaves.Text("b", "3");
  leaves.Text("c", "4");
  std::vector<std::string> paths;
  for (const ConfigLeaf& leaf : std::move(leaves).Take()) {
    paths.push_back(leaf.path);
  }
  EXPECT_THAT(paths, ElementsAre("a", "a#2", "b", "limit"));
}

}  // namespace
}  // namespace vmattest::disk
