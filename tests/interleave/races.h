// SPDX-License-Identifier: Apache-2.0
//
// What to interleave: where a machine may be (situations), and what CPUs may
// want to do there.
#ifndef HOLDFAST_TESTS_INTERLEAVE_RACES_H_
#define HOLDFAST_TESTS_INTERLEAVE_RACES_H_

#include <string>
#include <vector>

namespace holdfast::interleave {

struct Situation {
  const char* name;
  const char* what;
  std::vector<std::string> setup;  // the machine, and how it came here
  // All that means something here, on any CPU. A guest's line does nothing on a
  // CPU where no such guest runs.
  std::vector<std::string> operations;
  // Of these, those whose races are worth three CPUs.
  std::vector<std::string> hot;
};

// Each for `cpus` CPUs, 2..4. A vCPU of the VM is loaded on each of the first
// two where the situation has one that runs.
std::vector<Situation> Situations(unsigned cpus);

}  // namespace holdfast::interleave

#endif  // HOLDFAST_TESTS_INTERLEAVE_RACES_H_
