// SPDX-License-Identifier: Apache-2.0
//
// explore DOMAIN [MOST_STATES]: explores, prints what it saw, and fails if
// something was wrong or, without MOST_STATES, not all was seen.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "tests/explore/domains.h"
#include "tests/explore/explorer.h"

namespace holdfast::explore {
namespace {

int Usage() {
  std::fprintf(stderr, "explore DOMAIN [MOST_STATES]; DOMAIN is one of\n");
  for (const Domain& domain : Domains())
    std::fprintf(stderr, "  %-10s %s\n", domain.name, domain.what);
  return 2;
}

int Main(int argc, char** argv) {
  if (argc < 2) return Usage();
  for (const Domain& domain : Domains()) {
    if (std::strcmp(domain.name, argv[1]) != 0) continue;
    const uint64_t most = argc > 2 ? std::strtoull(argv[2], nullptr, 0)
                                   : std::numeric_limits<uint64_t>::max();
    const Findings found = Explore(domain, most);
    std::printf(
        "%s: %s\n"
        "  %zu operations; states %llu%s, depth %u; transitions %llu, of which "
        "%llu change the state\n"
        "  %.1f s, %.0f transitions/s\n",
        domain.name, domain.what, domain.operations.size(),
        static_cast<unsigned long long>(found.states),
        found.complete ? " (all there are)" : " (there are more)", found.depth,
        static_cast<unsigned long long>(found.transitions),
        static_cast<unsigned long long>(found.changing), found.seconds,
        static_cast<double>(found.transitions) / found.seconds);
    if (!found.trouble.empty()) {
      std::printf("\n%s\n\nscript:\n%s", found.trouble.c_str(),
                  found.script.c_str());
      return 1;
    }
    return found.complete || argc > 2 ? 0 : 1;
  }
  return Usage();
}

}  // namespace
}  // namespace holdfast::explore

int main(int argc, char** argv) { return holdfast::explore::Main(argc, argv); }
