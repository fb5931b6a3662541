#include "tpm/esys/esys_quote.h"

#include <algorithm>
#include <optional>

#include "fmt/format.h"
#include "tpm/esys/handles.h"

namespace vmattest::tpm {
namespace {

constexpr int kRaceTries = 8;
constexpr uint32_t kFirmwarePcrs = 8;
constexpr uint32_t kPcrs = 24;

TPML_PCR_SELECTION ToTss(const evidence::PcrSelection& selection) {
  TPML_PCR_SELECTION list{};
  list.count = 1;
  list.pcrSelections[0].hash = selection.bank;
  list.pcrSelections[0].sizeofSelect = kPcrs / 8;
  for (const uint32_t index : selection.indexes) {
    list.pcrSelections[0].pcrSelect[index / 8] |=
        static_cast<BYTE>(1U << (index % 8));
  }
  return list;
}

// All zeros or all ones.
bool IsInitial(const Bytes& value) {
  return value == Bytes(value.size(), 0x00) ||
         value == Bytes(value.size(), 0xFF);
}

absl::Status NoSuchBank(uint16_t bank) {
  return absl::FailedPreconditionError(
      fmt::format("PCR bank {:#06x} is not active in this TPM", bank));
}

struct PcrPart {
  uint32_t update_counter = 0;
  PcrValues values;
};

// As many of the PCRs as the TPM gives at a time: usually eight.
absl::StatusOr<PcrPart> ReadPart(EsysContext& context, EsysSession& session,
                                 const evidence::PcrSelection& selection) {
  const TPML_PCR_SELECTION wanted = ToTss(selection);
  PcrPart part;
  part.values.bank = selection.bank;
  EsysPtr<TPML_PCR_SELECTION> given;
  EsysPtr<TPML_DIGEST> digests;
  const absl::Status read = context.Call("reading PCRs", [&] {
    return Esys_PCR_Read(context.get(), session.Auditing(), ESYS_TR_NONE,
                         ESYS_TR_NONE, &wanted, &part.update_counter,
                         EsysOut(given), EsysOut(digests));
  });
  if (!read.ok() && context.fault() == EsysFault::kOther) {
    return NoSuchBank(selection.bank);
  }
  RETURN_IF_ERROR(read);
  uint32_t next = 0;
  if (given->count == 1 && given->pcrSelections[0].hash == selection.bank) {
    for (const uint32_t index : selection.indexes) {
      const TPMS_PCR_SELECTION& bits = given->pcrSelections[0];
      const bool is_given = index / 8 < bits.sizeofSelect &&
                            (bits.pcrSelect[index / 8] >> (index % 8) & 1) != 0;
      if (is_given && next < std::min<uint32_t>(digests->count, 8)) {
        const TPM2B_DIGEST& digest = digests->digests[next++];
        part.values.values[index].assign(digest.buffer,
                                         digest.buffer + digest.size);
      }
    }
  }
  if (next == 0 || next != digests->count) {
    return NoSuchBank(selection.bank);
  }
  return part;
}

bool Covers(const evidence::Attest& attest, uint16_t hash,
            const evidence::PcrSelection& selection, const PcrValues& pcrs) {
  const absl::StatusOr<Bytes> digest =
      evidence::PcrDigest(hash, {selection}, {pcrs});
  return digest.ok() && *digest == attest.pcr_digest;
}

}  // namespace

absl::StatusOr<PcrValues> ReadPcrs(EsysContext& context, EsysSession& session,
                                   const evidence::PcrSelection& selection) {
  for (int attempt = 0; attempt < kRaceTries; ++attempt) {
    evidence::PcrSelection left = selection;
    PcrValues all;
    all.bank = selection.bank;
    std::optional<uint32_t> counter;
    bool raced = false;
    while (!left.indexes.empty() && !raced) {
      ASSIGN_OR_RETURN(PcrPart part, ReadPart(context, session, left));
      raced = counter.value_or(part.update_counter) != part.update_counter;
      counter = part.update_counter;
      std::erase_if(left.indexes, [&](uint32_t index) {
        return part.values.values.count(index) != 0;
      });
      all.values.merge(part.values.values);
    }
    if (!raced) {
      return all;
    }
  }
  return absl::UnavailableError("PCRs change faster than they can be read");
}

absl::Status CheckFirmwareMeasured(const PcrValues& values) {
  for (const auto& [index, value] : values.values) {
    if (index < kFirmwarePcrs && IsInitial(value)) {
      return absl::FailedPreconditionError(fmt::format(
          "PCR {} of bank {:#06x} was never extended: the firmware does not "
          "measure into this bank, so it can vouch for nothing",
          index, values.bank));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SignedQuote> QuoteOnce(EsysContext& context,
                                      EsysSession& session,
                                      const SigningKey& key,
                                      ByteView qualifying_data,
                                      const evidence::PcrSelection& selection) {
  TPM2B_DATA data{};
  data.size = static_cast<UINT16>(qualifying_data.size());
  std::copy(qualifying_data.begin(), qualifying_data.end(), data.buffer);
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_NULL;
  const TPML_PCR_SELECTION pcrs = ToTss(selection);
  EsysPtr<TPM2B_ATTEST> quoted;
  EsysPtr<TPMT_SIGNATURE> signature;
  RETURN_IF_ERROR(context.Call("quoting PCRs", [&] {
    return Esys_Quote(context.get(), key.object, session.Encrypting(),
                      ESYS_TR_NONE, ESYS_TR_NONE, &data, &scheme, &pcrs,
                      EsysOut(quoted), EsysOut(signature));
  }));
  SignedQuote quote;
  quote.quoted.assign(quoted->attestationData,
                      quoted->attestationData + quoted->size);
  ASSIGN_OR_RETURN(quote.signature, EncodeSignature(*signature));
  absl::StatusOr<evidence::Attest> attest = evidence::ParseAttest(quote.quoted);
  ASSIGN_OR_RETURN(
      const Bytes signer,
      evidence::PrimaryQualifiedName(evidence::kTpmRhEndorsement, key.name));
  if (!attest.ok() || attest->magic != evidence::kTpmGenerated ||
      attest->type != evidence::kTpmStAttestQuote ||
      attest->qualified_signer != signer ||
      !std::equal(attest->extra_data.begin(), attest->extra_data.end(),
                  qualifying_data.begin(), qualifying_data.end()) ||
      attest->pcr_selections.size() != 1 ||
      attest->pcr_selections[0].bank != selection.bank ||
      attest->pcr_selections[0].indexes != selection.indexes) {
    return absl::DataLossError("a quote that answers another question");
  }
  quote.attest = *std::move(attest);
  return quote;
}

absl::StatusOr<SignedQuote> QuoteWithPcrs(
    EsysContext& context, EsysSession& session, const SigningKey& key,
    ByteView qualifying_data, const evidence::PcrSelection& selection,
    PcrValues& pcrs) {
  for (int attempt = 0; attempt < kRaceTries; ++attempt) {
    ASSIGN_OR_RETURN(SignedQuote quote, QuoteOnce(context, session, key,
                                                  qualifying_data, selection));
    if (Covers(quote.attest, TPM2_ALG_SHA256, selection, pcrs)) {
      return quote;
    }
    ASSIGN_OR_RETURN(pcrs, ReadPcrs(context, session, selection));
    RETURN_IF_ERROR(CheckFirmwareMeasured(pcrs));
    // Usually they changed before the quote, which then covers what they are.
    if (Covers(quote.attest, TPM2_ALG_SHA256, selection, pcrs)) {
      return quote;
    }
  }
  return absl::UnavailableError("PCRs change faster than they can be quoted");
}

}  // namespace vmattest::tpm
