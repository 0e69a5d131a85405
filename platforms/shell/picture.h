// SPDX-License-Identifier: Apache-2.0
//
// Pictures, as the text of SVG files: the ownership map, drawn here, and a walk
// of a table, drawn by graphviz. Knows no machine.
#ifndef HOLDFAST_PLATFORMS_SHELL_PICTURE_H_
#define HOLDFAST_PLATFORMS_SHELL_PICTURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "platforms/shell/owner.h"
#include "platforms/shell/parsed.h"

namespace holdfast::shell {

// Neighbours that have the same owner.
struct OwnerRun {
  uint64_t first = 0;
  uint64_t count = 0;
  Owner owner = Owner::kHost;
  uint64_t handle = 0;  // of the guest that owns them
  uint64_t gfn = 0;     // of the first
};

// A square a frame, or several where there are very many: then the one that is
// not the host's wins. A block of rows for each stretch of RAM.
std::string OwnershipMap(const std::vector<OwnerRun>& runs);

// An entry on the way, in words.
struct WalkRow {
  int level = 0;
  uint64_t at = 0;  // where the entry is
  uint64_t raw = 0;
  std::string text;  // what it says
};

// The walk in graphviz's language / as it draws that. An error if graphviz is
// not there.
std::string WalkDot(const std::string& name, const std::vector<WalkRow>& rows);
Parsed<std::string> DrawDot(const std::string& dot);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_PICTURE_H_
