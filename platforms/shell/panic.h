// SPDX-License-Identifier: Apache-2.0
//
// A panic of EL2 ends the process, wherever it was: with status 3, and the line
// that was being done named.
#ifndef HOLDFAST_PLATFORMS_SHELL_PANIC_H_
#define HOLDFAST_PLATFORMS_SHELL_PANIC_H_

#include <string>

namespace holdfast::shell {

// From now on, in this process.
void CatchPanics();
// The line that is being done, "life.hf:12".
void SetPanicPlace(const std::string& place);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_PANIC_H_
