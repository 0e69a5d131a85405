// SPDX-License-Identifier: Apache-2.0
#ifndef HOLDFAST_TESTS_STORY_RACE_H_
#define HOLDFAST_TESTS_STORY_RACE_H_

#include "tests/story/teller.h"

namespace holdfast::story {

// Two CPUs: one makes VMs, donates pages to them and tears them down; the other
// takes the same pages back by force, whenever it can. At least `rounds` pages
// are donated. Then counts that every page given came back once and none is
// lost.
void Race(Teller& tell, unsigned rounds);

}  // namespace holdfast::story

#endif  // HOLDFAST_TESTS_STORY_RACE_H_
