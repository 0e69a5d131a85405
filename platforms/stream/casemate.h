// SPDX-License-Identifier: Apache-2.0
//
// A stream as a trace for casemate (github.com/rems-project/casemate), which
// checks break-before-make on stage-2 tables by a model of its own. One
// s-expression an event, as its parser takes them (release 3.0.2).
//
// That tool knows tables of 4 KiB pages with one root page, four CPUs, and no
// local or range TLBIs. So:
// - a stream with other tables (40-bit addresses have two root pages; take 39
//   or 48) or more CPUs cannot be written;
// - EL2's own table is left out, with its TLBIs and locks;
// - all stores are written as releases: the tool takes one plain store in a
//   lock section, and what it asks of a second one EL2 has no word for;
// - local TLBIs, and DSB NSH, are left out: they settle nothing;
// - a range TLBI is written page by page, or above kCasemateMaxRange pages as
// one
//   of the whole VMID. Machines without range TLBIs give the truer trace.
#ifndef HOLDFAST_PLATFORMS_STREAM_CASEMATE_H_
#define HOLDFAST_PLATFORMS_STREAM_CASEMATE_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "platforms/stream/event.h"
#include "tl/expected.hpp"

namespace holdfast::stream {

inline constexpr uint64_t kCasemateMaxRange = 512;

// Nothing but why it cannot be written.
tl::expected<std::string, std::string> ToCasemate(
    absl::Span<const Event> events);

}  // namespace holdfast::stream

#endif  // HOLDFAST_PLATFORMS_STREAM_CASEMATE_H_
