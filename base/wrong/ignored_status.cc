// SPDX-License-Identifier: Apache-2.0
// An error that nobody looks at.
#include "base/result.h"

namespace holdfast {

Status Fail() { return Error(Errno::kEbusy); }

void Use() {
#ifdef HOLDFAST_WRONG
  Fail();
#else
  static_cast<void>(Fail());
#endif
}

}  // namespace holdfast
