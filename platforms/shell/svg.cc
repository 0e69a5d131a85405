// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/show.h"
namespace holdfast::shell {
Parsed<std::string> ShowSvg(Session&, const ShowCommand&) {
  return std::string();
}
}  // namespace holdfast::shell
