// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "platforms/shell/picture.h"

namespace holdfast::shell {
namespace {

// A file that is gone when this is.
class TempFile {
 public:
  TempFile() {
    const char* const folder = std::getenv("TMPDIR");
    path_ = absl::StrCat(folder != nullptr ? folder : P_tmpdir,
                         "/holdfast-walk-XXXXXX");
    descriptor_ = mkstemp(path_.data());
  }
  ~TempFile() {
    if (descriptor_ < 0) return;
    close(descriptor_);
    unlink(path_.c_str());
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  bool Write(const std::string& text) const {
    return descriptor_ >= 0 && write(descriptor_, text.data(), text.size()) ==
                                   static_cast<ssize_t>(text.size());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace

std::string WalkDot(const std::string& name, const std::vector<WalkRow>& rows) {
  std::string dot = absl::StrFormat(
      "digraph walk {\n"
      "  label=\"%s\"; labelloc=t; rankdir=TB; fontname=monospace;\n"
      "  node [shape=box, fontname=monospace, fontsize=11];\n",
      name);
  for (size_t i = 0; i < rows.size(); ++i) {
    const WalkRow& row = rows[i];
    absl::StrAppendFormat(
        &dot, "  n%u [label=\"level %d, entry at %#x\\l%#018x\\l%s\\l\"%s];\n",
        i, row.level, row.at, row.raw, row.text,
        i + 1 == rows.size() ? ", style=filled, fillcolor=\"#dcead2\"" : "");
    if (i > 0) absl::StrAppendFormat(&dot, "  n%u -> n%u;\n", i - 1, i);
  }
  return absl::StrCat(dot, "}\n");
}

Parsed<std::string> DrawDot(const std::string& dot) {
  const TempFile input;
  if (!input.Write(dot)) {
    return Bad(0, absl::StrCat("cannot write ", input.path()),
               "TMPDIR=FOLDER, one that can be written to");
  }
  // The path is ours and has nothing in it that a shell would take apart.
  FILE* const output =
      popen(absl::StrCat("dot -Tsvg '", input.path(), "'").c_str(), "r");
  std::string svg;
  if (output != nullptr) {
    char chunk[4096];
    while (const size_t got = std::fread(chunk, 1, sizeof(chunk), output))
      svg.append(chunk, got);
  }
  if (output == nullptr || pclose(output) != 0) {
    return Bad(0, "graphviz's dot, which draws walks, does not work here",
               "./holdfast setup installs it");
  }
  return svg;
}

}  // namespace holdfast::shell
