// SPDX-License-Identifier: Apache-2.0
//
// docs/abi.md as data: what it says of each host call. It knows no code.
#ifndef HOLDFAST_TESTS_ABI_DOCUMENT_H_
#define HOLDFAST_TESTS_ABI_DOCUMENT_H_

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::tests::abi {

// A numbered check and the errors it may answer, without the sign: "EPERM".
struct Check {
  std::vector<std::string> errors = {};
  std::string text = {};  // as it stands
};

struct DocumentedCall {
  std::string name = {};
  uint32_t id = 0;
  std::vector<std::string> fields = {};
  std::string reference = {};  // its name in pKVM, or "" if it has none
  std::vector<Check> checks = {};
};

// Reads `### name 0xNUMBER` sections. Throws nothing; what it cannot read is in
// `*wrong`.
std::vector<DocumentedCall> ReadDocument(const std::string& path,
                                         std::string* wrong);

}  // namespace holdfast::tests::abi

#endif  // HOLDFAST_TESTS_ABI_DOCUMENT_H_
