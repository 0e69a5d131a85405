// SPDX-License-Identifier: Apache-2.0
//
// What `record events`, `record casemate` and `record chrome` write: the event
// stream of a session's machine from boot on.
#ifndef HOLDFAST_PLATFORMS_SHELL_TRACE_H_
#define HOLDFAST_PLATFORMS_SHELL_TRACE_H_

#include <string>

#include "platforms/shell/command.h"
#include "platforms/shell/parsed.h"
#include "platforms/shell/session.h"

namespace holdfast::shell {

// Not of kLines. Bad: the format cannot hold what this machine does.
Parsed<std::string> TraceText(Session& session, RecordCommand::What what);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_TRACE_H_
