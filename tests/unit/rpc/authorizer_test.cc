#include "rpc/authorizer.h"

#include <functional>
#include <map>
#include <set>

#include "google/protobuf/descriptor.h"
#include "rpc/status/status_mapping.h"
#include "support/matchers.h"
#include "vmattest/v1/admin.pb.h"
#include "vmattest/v1/attestation.pb.h"
#include "vmattest/v1/enrollment.pb.h"
#include "vmattest/v1/ledger.pb.h"
#include "vmattest/v1/memory.pb.h"
#include "vmattest/v1/verifier.pb.h"

namespace vmattest::rpc {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
const std::vector<std::string> kNobody;
const std::vector<std::string> kReader = {"spiffe://t/reader"};
const std::vector<std::string> kOperator = {"spiffe://t/operator"};

void ForEachMethod(
    const std::function<void(std::string method, bool admin)>& check) {
  int methods = 0;
  for (const auto* file : {v1::ListVmsRequest::descriptor()->file(),
                           v1::GetStatusRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto& service = *file->service(s);
        check(service.full_name() + "/" + service.method(m)->name(),
              service.name() == "Admin");
        ++methods;
      }
    }
  }
  EXPECT_GE(methods, 10);
}

std::vector<ClientGrant> Grants() {
  return {{kReader[0], Role::kRead, true, {}},
          {kOperator[0], Role::kAdmin, true, {}}};
}

TEST(Authorizer, AdminSocketMayCallEveryMethodThereIs) {
  const Authorizer authorizer(Listener::kAdminSocket, {});
  ForEachMethod([&](const std::string& method, bool) {
    EXPECT_THAT(authorizer.Authorize(method, kNobody), IsOk()) << method;
  });
}

TEST(Authorizer, ReadSocketMayCallAttestationOnly) {
  const Authorizer authorizer(Listener::kReadSocket, {});
  ForEachMethod([&](const std::string& method, bool admin) {
    EXPECT_EQ(authorizer.Authorize(method, kNobody).ok(), !admin) << method;
  });
}

TEST(Authorizer, TcpFollowsRoles) {
  const Authorizer authorizer(Listener::kTcp, Grants());
  ForEachMethod([&](const std::string& method, bool admin) {
    EXPECT_EQ(authorizer.Authorize(method, kReader).ok(), !admin) << method;
    EXPECT_THAT(authorizer.Authorize(method, kOperator), IsOk()) << method;
    EXPECT_THAT(authorizer.Authorize(method, kNobody),
                StatusIs(absl::StatusCode::kUnauthenticated))
        << method;
    EXPECT_THAT(authorizer.Authorize(method, {"spiffe://t/other"}),
                StatusIs(kDenied))
        << method;
  });
}

constexpr Role kAllRoles[] = {Role::kRead,     Role::kAdmin,   Role::kHost,
                              Role::kCustomer, Role::kAuditor, Role::kOperator};

std::vector<std::string> AllMethods() {
  std::vector<std::string> methods;
  for (const auto* file : {v1::ListVmsRequest::descriptor()->file(),
                           v1::GetStatusRequest::descriptor()->file(),
                           v1::CaptureSnapshotRequest::descriptor()->file(),
                           v1::SubmitRequest::descriptor()->file(),
                           v1::BeginEnrollmentRequest::descriptor()->file(),
                           v1::AppraiseRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(file->service(s)->full_name() + "/" +
                          file->service(s)->method(m)->name());
      }
    }
  }
  return methods;
}

// Of all services that there are. Enrollment's and Verifier's roles are also
// tried on the wire (verifier_access_test.cc).
TEST(Authorizer, NoMethodIsAllowedWithoutTheRightCredential) {
  const Authorizer tcp(Listener::kTcp, Grants());
  for (const std::string& method : AllMethods()) {
    EXPECT_THAT(tcp.Authorize(method, kNobody),
                StatusIs(absl::StatusCode::kUnauthenticated))
        << method;
    EXPECT_THAT(tcp.Authorize(method, {"spiffe://t/other"}), StatusIs(kDenied))
        << method;
    int allowed = 0;
    for (const Role role : kAllRoles) {
      const Authorizer one(Listener::kTcp, {{kReader[0], role, true, {}}});
      allowed += one.Authorize(method, kReader).ok() ? 1 : 0;
    }
    EXPECT_GT(allowed, 0) << method << " is not in the table";
  }
}

// Written down a second time, on purpose.
TEST(Authorizer, MemoryAndLedgerAreForTheirRolesOnly) {
  using Roles = std::set<Role>;
  static const Roles kReaders = {Role::kRead, Role::kAdmin};
  static const Roles kAdmins = {Role::kAdmin};
  static const Roles kWriters = {Role::kHost, Role::kOperator};
  static const Roles kTrust = {Role::kRead,    Role::kAdmin,
                               Role::kHost,    Role::kCustomer,
                               Role::kAuditor, Role::kOperator};
  static const Roles kLog = {Role::kHost, Role::kAuditor, Role::kOperator};
  const std::map<std::string, Roles> expected = {
      {"Memory/CaptureSnapshot", kAdmins},
      {"Memory/AttestState", kAdmins},
      {"Memory/GetSnapshot", kReaders},
      {"Memory/ListSnapshots", kReaders},
      {"Memory/ListSnapshotPolicies", kReaders},
      {"Ledger/Submit", kWriters},
      {"Ledger/GetWriter", kWriters},
      {"Ledger/AddCheckpoint", kWriters},
      {"Ledger/GetTrust", kTrust},
      {"Ledger/ListHistory", kTrust},
      {"Ledger/WatchVm", kTrust},
      {"Ledger/GetCheckpoint", kTrust},
      {"Ledger/GetInclusionProof", kLog},
      {"Ledger/GetConsistencyProof", kLog},
      {"Ledger/ListRecords", kLog},
      {"Ledger/WatchAll", kLog}};
  for (const auto& [method, roles] : expected) {
    for (const Role role : kAllRoles) {
      const Authorizer authorizer(Listener::kTcp,
                                  {{kReader[0], role, true, {}}});
      EXPECT_EQ(authorizer.Authorize("vmattest.v1." + method, kReader).ok(),
                roles.contains(role))
          << method << " " << ToString(role);
    }
  }
}

TEST(Authorizer, UnknownMethodIsDeniedToEverybody) {
  for (const Listener listener :
       {Listener::kAdminSocket, Listener::kReadSocket, Listener::kTcp}) {
    const Authorizer authorizer(listener, Grants());
    for (const char* method :
         {"", "vmattest.v1.Attestation/Other", "vmattest.v1.Attestation",
          "/vmattest.v1.Attestation/ListVms"}) {
      EXPECT_THAT(authorizer.Authorize(method, kOperator), StatusIs(kDenied))
          << method;
    }
  }
}

TEST(Authorizer, IdentityMustMatchAsAWhole) {
  const Authorizer authorizer(Listener::kTcp, Grants());
  for (const char* identity : {"spiffe://t/readers", "spiffe://t/reade",
                               "SPIFFE://t/reader", "spiffe://t/reader/", ""}) {
    EXPECT_THAT(
        authorizer.Authorize("vmattest.v1.Attestation/ListVms", {identity}),
        StatusIs(kDenied))
        << identity;
  }
}

TEST(Authorizer, SeesOnlyTheVmsOfTheGrant) {
  const Uuid mine{{1}};
  const Uuid other{{2}};
  const Authorizer authorizer(Listener::kTcp,
                              {{kReader[0], Role::kRead, false, {mine}}});
  ASSERT_OK_AND_ASSIGN(
      const Authority authority,
      authorizer.Authorize("vmattest.v1.Attestation/GetVm", kReader));
  EXPECT_TRUE(authority.AllowsVm(mine));
  EXPECT_FALSE(authority.AllowsVm(other));
  EXPECT_FALSE(authority.allows_all_vms());
}

TEST(Authorizer, AdministratorIsWhoTheListenerOrTheGrantSays) {
  const std::string method = "vmattest.v1.Attestation/AttestConfig";
  const auto is_admin = [&](Listener listener,
                            const std::vector<std::string>& identities) {
    const auto authority =
        Authorizer(listener, Grants()).Authorize(method, identities);
    EXPECT_THAT(authority, IsOk());
    return authority.ok() && authority->is_admin();
  };
  EXPECT_TRUE(is_admin(Listener::kAdminSocket, kNobody));
  EXPECT_FALSE(is_admin(Listener::kReadSocket, kNobody));
  EXPECT_TRUE(is_admin(Listener::kTcp, kOperator));
  EXPECT_FALSE(is_admin(Listener::kTcp, kReader));
}

TEST(Authorizer, HealthAndReflectionNeedAGrantOnTcp) {
  const Authorizer tcp(Listener::kTcp, Grants());
  EXPECT_THAT(tcp.AuthorizeConnection(kReader), IsOk());
  EXPECT_THAT(tcp.AuthorizeConnection({"spiffe://t/other"}), StatusIs(kDenied));
  EXPECT_FALSE(tcp.AuthorizeConnection(kNobody).ok());
  EXPECT_THAT(
      Authorizer(Listener::kReadSocket, {}).AuthorizeConnection(kNobody),
      IsOk());
}

}  // namespace
}  // namespace vmattest::rpc
