#include <iterator>
#include <utility>

#include "rpc/baselines_service.h"
#include "rpc/enrollment_service.h"
#include "rpc/verification_parts.h"
#include "rpc/verifier_service.h"

namespace vmattest::rpc {

ServiceMaker VerificationServices(const VerificationParts& parts) {
  return [parts](const Authorizer& authorizer) {
    const std::vector<std::string> needs(std::begin(kVerifierNeeds),
                                         std::end(kVerifierNeeds));
    std::vector<ServedService> services;
    if (authorizer.listener() == Listener::kReadSocket) {
      return services;
    }
    services.push_back(
        {.name = "vmattest.v1.Enrollment",
         .service = std::make_unique<EnrollmentService>(parts, authorizer),
         .needs = needs});
    services.push_back(
        {.name = "vmattest.v1.Verifier",
         .service = std::make_unique<VerifierService>(parts, authorizer),
         .needs = needs});
    services.push_back(
        {.name = "vmattest.v1.Baselines",
         .service = std::make_unique<BaselinesService>(parts, authorizer),
         .needs = needs});
    return services;
  };
}

ServiceMaker Together(ServiceMaker first, ServiceMaker second) {
  return [first = std::move(first),
          second = std::move(second)](const Authorizer& authorizer) {
    std::vector<ServedService> services = first(authorizer);
    std::vector<ServedService> others = second(authorizer);
    std::move(others.begin(), others.end(), std::back_inserter(services));
    return services;
  };
}

}  // namespace vmattest::rpc
