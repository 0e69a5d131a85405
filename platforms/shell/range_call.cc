// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/range_call.h"

#include "hyp/abi.h"

namespace holdfast::shell {

bool NextPart(const tests::Reply& reply, uint32_t id, hyp::Args* x) {
  switch (id) {
    case HF_HOST_DONATE_GUEST:
      (*x)[0] += reply.x2;
      (*x)[1] += reply.x2;
      (*x)[2] -= reply.x2;
      return reply.ok() && reply.x2 != 0 && (*x)[2] != 0;
    case HF_FORCE_RECLAIM_GUEST_PAGE:
      (*x)[0] += reply.x2;
      (*x)[1] -= reply.x2;
      return reply.ok() && reply.x2 != 0 && (*x)[1] != 0;
    case HF_TOPUP_VM:
      (*x)[1] += reply.x2;
      (*x)[2] -= reply.x2;
      return reply.ok() && reply.x2 != 0 && (*x)[2] != 0;
    case HF_DRAIN_VM:
      return reply.ok() && reply.x2 != 0;
    case HF_RECLAIM_DYING_GUEST_PAGE:
      (*x)[1] = reply.x2;
      return (reply.ok() || reply.result() == -HF_ENOENT) &&
             reply.x2 != HF_NO_GFN;
    default:
      return false;
  }
}

}  // namespace holdfast::shell
