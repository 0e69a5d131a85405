// SPDX-License-Identifier: Apache-2.0
//
// What `show` prints. Looks, and changes nothing.
#ifndef HOLDFAST_PLATFORMS_SHELL_SHOW_H_
#define HOLDFAST_PLATFORMS_SHELL_SHOW_H_

#include <cstdint>
#include <string>
#include <vector>

#include "platforms/shell/command.h"
#include "platforms/shell/parsed.h"
#include "platforms/shell/picture.h"
#include "platforms/shell/session.h"

namespace holdfast::shell {

// The lines. The machine is booted if it is not yet.
Parsed<std::vector<std::string>> ShowLines(Session& session,
                                           const ShowCommand& show);

// All of RAM, in order.
std::vector<OwnerRun> OwnerRuns(tests::Board& board);

// A picture, as the text of an SVG file: of `show pages` / `show walk`.
Parsed<std::string> ShowSvg(Session& session, const ShowCommand& show);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_SHOW_H_
