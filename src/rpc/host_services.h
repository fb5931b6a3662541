#ifndef VMATTEST_RPC_HOST_SERVICES_H_
#define VMATTEST_RPC_HOST_SERVICES_H_

#include "rpc/admin_service.h"
#include "rpc/attestation_service.h"
#include "rpc/server.h"

namespace vmattest::rpc {

// What Attestation cannot do without; Admin needs none of them.
inline constexpr std::string_view kAttestationNeeds[] = {"libvirt", "tpm",
                                                         "store"};

// What vmattestd serves: Attestation and, but for the read socket, Admin.
ServiceMaker HostServices(const AttestationService::Parts& attestation,
                          const AdminActions& admin);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_HOST_SERVICES_H_
