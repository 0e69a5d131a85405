// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/outcome.h"

#include "absl/strings/str_cat.h"
#include "hyp/abi.h"
#include "platforms/shell/number.h"

namespace holdfast::shell {
namespace {

// SMCCC's error names, for a guest's x0.
std::string GuestResult(uint64_t x0) {
  switch (static_cast<int64_t>(x0)) {
    case HF_NOT_SUPPORTED:
      return "-NOT_SUPPORTED";
    case HF_GUEST_INVALID_PARAMETER:
      return "-INVALID_PARAMETER";
    default:
      return Show(x0);
  }
}

}  // namespace

std::string Outcome::ResultText() const {
  switch (kind) {
    case Kind::kCall:
      if (reply.x0 != 0) return "not-served";
      return reply.result() < 0 ? tests::ResultName(reply.result())
                                : Show(reply.x1);
    case Kind::kGuestCall:
      return reply.x1 == 0
                 ? GuestResult(reply.x0)
                 : absl::StrCat(GuestResult(reply.x0), "  x1=", Show(reply.x1));
    case Kind::kValue:
      return Show(value);
    case Kind::kDone:
      return "done";
    case Kind::kSame:
      return "same";
    case Kind::kDiffers:
      return "differs";
    case Kind::kAbort:
      return absl::StrCat("abort ", reason);
    case Kind::kExit:
      return absl::StrCat("exit ", reason);
    case Kind::kNothing:
    case Kind::kText:
    case Kind::kRegisters:
    case Kind::kStopped:
      break;
  }
  return "";
}

bool Outcome::IsError() const {
  return kind == Kind::kDiffers || kind == Kind::kAbort ||
         kind == Kind::kExit || (kind == Kind::kCall && !reply.ok()) ||
         (kind == Kind::kGuestCall && static_cast<int64_t>(reply.x0) < 0);
}

}  // namespace holdfast::shell
