// SPDX-License-Identifier: Apache-2.0
// The same with a value.
#include "base/result.h"

namespace holdfast {

Result<int> Fail() { return Error(Errno::kEbusy); }

int Use() {
#ifdef HOLDFAST_WRONG
  Fail();
  return 0;
#else
  return Fail().value_or(0);
#endif
}

}  // namespace holdfast
