// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/trace.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_format.h"
#include "hyp/calls.h"
#include "platforms/stream/casemate.h"
#include "platforms/stream/chrome.h"
#include "platforms/stream/text.h"

namespace holdfast::shell {

Parsed<std::string> TraceText(Session& session, RecordCommand::What what) {
  const std::vector<sim::Event> events = session.Trace();
  switch (what) {
    case RecordCommand::What::kLines:
      break;
    case RecordCommand::What::kEvents:
      return stream::ToText(events);
    case RecordCommand::What::kCasemate: {
      auto trace = stream::ToCasemate(events);
      if (trace.has_value()) return *std::move(trace);
      return Bad(0, trace.error(), "machine ipa=39, and at most 4 cpus");
    }
    case RecordCommand::What::kChrome: {
      stream::ChromeNames names;
      names.call = [](uint64_t id) {
        const hyp::Call* const call = hyp::FindCall(id);
        return call != nullptr ? std::string(call->name)
                               : absl::StrFormat("call %#x", id);
      };
      names.lock = [&](uint64_t address) {
        return LockName(session.board(), address);
      };
      return stream::ToChrome(events, names);
    }
  }
  return "";
}

}  // namespace holdfast::shell
