#include "rpc/host_services.h"

namespace vmattest::rpc {

ServiceMaker HostServices(const AttestationService::Parts& attestation,
                          const AdminActions& admin) {
  return [attestation, admin](const Authorizer& authorizer) {
    std::vector<ServedService> services;
    services.push_back({.name = "vmattest.v1.Attestation",
                        .service = std::make_unique<AttestationService>(
                            attestation, authorizer),
                        .needs = {std::begin(kAttestationNeeds),
                                  std::end(kAttestationNeeds)}});
    if (authorizer.listener() != Listener::kReadSocket) {
      services.push_back({.name = "vmattest.v1.Admin",
                          .service = std::make_unique<AdminService>(
                              admin, attestation.requests, authorizer),
                          .needs = {}});
    }
    return services;
  };
}

}  // namespace vmattest::rpc
