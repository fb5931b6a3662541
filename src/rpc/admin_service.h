#ifndef VMATTEST_RPC_ADMIN_SERVICE_H_
#define VMATTEST_RPC_ADMIN_SERVICE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "attestor/lifecycle.h"
#include "base/executor.h"
#include "base/secret_bytes.h"
#include "rpc/authorizer.h"
#include "rpc/run_on.h"
#include "signing/signer.h"
#include "vmattest/v1/admin.grpc.pb.h"

namespace vmattest::rpc {

struct ComponentState {
  std::string name;
  bool serving = false;
  std::string detail;
  int64_t since_unix_ms = 0;
};

// What GetStatus answers.
struct DaemonStatus {
  std::string version;
  int64_t started_unix_ms = 0;
  std::vector<ComponentState> components;
  uint64_t vms = 0;
  uint64_t pending_seals = 0;
  uint64_t quotes_made = 0;
  uint64_t envelopes_sealed = 0;
  uint64_t digest_cache_entries = 0;
  uint64_t digest_cache_hits = 0;
  uint64_t digest_cache_misses = 0;
  uint64_t unmanaged_vms = 0;
  uint64_t event_log_records = 0;
};

// What StartVm answers.
struct VmStart {
  std::string state;
  std::string code;
  std::string sentence;
  std::string vm_uuid;
};

// What an operator may do, bound by the composition root. Each blocks and is
// called on `requests`.
struct AdminActions {
  std::function<absl::StatusOr<DaemonStatus>()> status;
  std::function<absl::StatusOr<attestor::ReconcileResult>()> reconcile;
  std::function<uint64_t()> flush_digest_cache;
  std::function<absl::Status(std::string_view)> set_log_level;
  // Of a VM with salted leaves. NOT_FOUND: no such VM, or its leaves are
  // public.
  std::function<absl::StatusOr<SecretBytes>(const std::string& vm)> vm_salt;
  // FAILED_PRECONDITION: the launch gate is off.
  std::function<absl::StatusOr<VmStart>(const std::string& vm,
                                        bool keep_paused)>
      start_vm;
  signing::Signer* signer = nullptr;  // never null; its admin calls
};

// vmattest.v1.Admin for one listener. Handlers run on gRPC's threads and never
// block.
class AdminService final : public v1::Admin::CallbackService {
 public:
  // `authorizer` and `requests` must outlive the service.
  AdminService(AdminActions actions, Executor& requests,
               const Authorizer& authorizer);

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest* request,
                                      v1::GetStatusResponse* response) override;
  grpc::ServerUnaryReactor* Reconcile(grpc::CallbackServerContext* context,
                                      const v1::ReconcileRequest* request,
                                      v1::ReconcileResponse* response) override;
  grpc::ServerUnaryReactor* FlushDigestCache(
      grpc::CallbackServerContext* context,
      const v1::FlushDigestCacheRequest* request,
      v1::FlushDigestCacheResponse* response) override;
  grpc::ServerUnaryReactor* SetLogLevel(
      grpc::CallbackServerContext* context,
      const v1::SetLogLevelRequest* request,
      v1::SetLogLevelResponse* response) override;
  grpc::ServerUnaryReactor* GetVmSalt(grpc::CallbackServerContext* context,
                                      const v1::GetVmSaltRequest* request,
                                      v1::GetVmSaltResponse* response) override;
  grpc::ServerUnaryReactor* StartVm(grpc::CallbackServerContext* context,
                                    const v1::StartVmRequest* request,
                                    v1::StartVmResponse* response) override;

  // Keys and sealed seeds: key_admin.cc.
  grpc::ServerUnaryReactor* ListKeys(grpc::CallbackServerContext* context,
                                     const v1::ListKeysRequest* request,
                                     v1::ListKeysResponse* response) override;
  grpc::ServerUnaryReactor* RotateKey(grpc::CallbackServerContext* context,
                                      const v1::RotateKeyRequest* request,
                                      v1::RotateKeyResponse* response) override;
  grpc::ServerUnaryReactor* RevokeKey(grpc::CallbackServerContext* context,
                                      const v1::RevokeKeyRequest* request,
                                      v1::RevokeKeyResponse* response) override;
  grpc::ServerUnaryReactor* GetSealStatus(
      grpc::CallbackServerContext* context,
      const v1::GetSealStatusRequest* request,
      v1::GetSealStatusResponse* response) override;
  grpc::ServerUnaryReactor* ApproveBoot(
      grpc::CallbackServerContext* context,
      const v1::ApproveBootRequest* request,
      v1::ApproveBootResponse* response) override;
  grpc::ServerUnaryReactor* ReEnroll(grpc::CallbackServerContext* context,
                                     const v1::ReEnrollRequest* request,
                                     v1::ReEnrollResponse* response) override;

 private:
  template <class Response, class Work>
  grpc::ServerUnaryReactor* Run(const grpc::CallbackServerContext& context,
                                std::string_view method, Response* response,
                                Work work) {
    const auto authority = Authorize(context, method);
    if (!authority.ok()) {
      return AnswerNow(response, absl::StatusOr<Response>(authority.status()));
    }
    return RunOn(requests_, response, std::move(work));
  }
  [[nodiscard]] absl::StatusOr<Authority> Authorize(
      const grpc::CallbackServerContext& context,
      std::string_view method) const;

  const AdminActions actions_;
  Executor& requests_;
  const Authorizer& authorizer_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_ADMIN_SERVICE_H_
