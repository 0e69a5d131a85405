// SPDX-License-Identifier: Apache-2.0
#include "tests/abi/document.h"

#include <fstream>
#include <regex>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace holdfast::tests::abi {
namespace {

// "pfn, gfn. In pKVM: ..." or "No arguments. ...".
void ReadFirstParagraph(const std::string& text, DocumentedCall* call) {
  const std::string fields = text.substr(0, text.find('.'));
  if (fields != "No arguments") {
    for (const auto& field : absl::StrSplit(fields, ", "))
      call->fields.emplace_back(field);
  }
  static const std::regex kReference("In pKVM: ([a-z_]+)");
  std::smatch match;
  if (std::regex_search(text, match, kReference)) call->reference = match[1];
}

Check CheckOf(const std::string& text) {
  Check check{.text = text};
  static const std::regex kError("`(E[A-Z0-9]+)`");
  for (std::sregex_iterator i(text.begin(), text.end(), kError), end; i != end;
       ++i) {
    check.errors.push_back((*i)[1]);
  }
  return check;
}

}  // namespace

std::vector<DocumentedCall> ReadDocument(const std::string& path,
                                         std::string* wrong) {
  std::vector<DocumentedCall> calls;
  std::ifstream file(path);
  if (!file) absl::StrAppend(wrong, "cannot read ", path, "\n");
  static const std::regex kHeading("### ([a-z_]+) (0x[0-9A-F]{8})");
  static const std::regex kItem("([0-9]+)\\. (.*)");
  bool in_call = false;
  bool first = false;  // the next paragraph is the first of its section
  std::string paragraph;
  const auto end_paragraph = [&] {
    if (paragraph.empty()) return;
    std::smatch match;
    if (in_call && first) {
      ReadFirstParagraph(paragraph, &calls.back());
      first = false;
    } else if (in_call && std::regex_match(paragraph, match, kItem)) {
      calls.back().checks.push_back(CheckOf(match[2]));
      if (std::stoul(match[1]) != calls.back().checks.size()) {
        absl::StrAppend(wrong, calls.back().name, ": check ", match[1].str(),
                        " is not in its place\n");
      }
    }
    paragraph.clear();
  };
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (line.rfind("#", 0) == 0) {
      end_paragraph();
      in_call = std::regex_match(line, match, kHeading);
      if (in_call) {
        calls.push_back(
            {.name = match[1],
             .id = static_cast<uint32_t>(std::stoull(match[2], nullptr, 16))});
        first = true;
      }
    } else if (line.empty() || std::regex_match(line, kItem)) {
      end_paragraph();
      paragraph = line;
    } else {
      absl::StrAppend(&paragraph, paragraph.empty() ? "" : " ",
                      line.substr(line.find_first_not_of(' ')));
    }
  }
  end_paragraph();
  return calls;
}

}  // namespace holdfast::tests::abi
