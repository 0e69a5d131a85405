// SPDX-License-Identifier: Apache-2.0
//
// The demo: a host makes a protected VM, gives it a page, and takes it back by
// force. Told step by step, each step checked.
#ifndef HOLDFAST_TESTS_STORY_STORY_H_
#define HOLDFAST_TESTS_STORY_STORY_H_

#include "tests/story/host.h"

namespace holdfast::story {

struct Options {
  unsigned race_rounds = 2000;  // donations that race with forced reclaim
};

// Tells the story. Returns how many checks differed from what was expected: 0
// is success. One CPU calls it; it needs a second one for the race.
unsigned Tell(Host& host, const Options& options);

}  // namespace holdfast::story

#endif  // HOLDFAST_TESTS_STORY_STORY_H_
