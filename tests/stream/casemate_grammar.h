// SPDX-License-Identifier: Apache-2.0
//
// What casemate's parser takes (release 3.0.2), and what its model asks before
// it looks at break-before-make: pages known before they are written, locks of
// tables held, limits. Written from that parser's rules, not from the writer
// (platforms/stream/casemate.h); stricter where the tool is lax, so that a
// trace that passes here has no surprise there.
#ifndef HOLDFAST_TESTS_STREAM_CASEMATE_GRAMMAR_H_
#define HOLDFAST_TESTS_STREAM_CASEMATE_GRAMMAR_H_

#include <string>

#include "absl/strings/string_view.h"

namespace holdfast::stream {

// "", or the first thing that is wrong, with the number of its record from 0.
std::string CasemateTrouble(absl::string_view text);

}  // namespace holdfast::stream

#endif  // HOLDFAST_TESTS_STREAM_CASEMATE_GRAMMAR_H_
