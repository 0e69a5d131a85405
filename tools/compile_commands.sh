#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints compile_commands.json, from Bazel's own list of compilations. A file that
# is built for the host and for EL2 is listed as the host compiles it. A header is
# listed with the flags of a source beside it that sees the most.

set -euo pipefail
cd "$(dirname "$0")/.."

output_base=$(bazel info output_base 2> /dev/null)
execution_root=$(bazel info execution_root 2> /dev/null)
graph=$(mktemp)
trap 'rm -f "$graph"' EXIT

# (--keep_going would hide a broken BUILD file.)
bazel aquery --noinclude_artifacts --output=jsonproto \
  'mnemonic("CppCompile", deps(//... + //platforms:qemu_virt))' > "$graph"

# Each action's arguments are one line of JSON: it is copied but for two folders
# that are not in the tree. Headers follow as lines of their own.
{
  cat "$graph"
  git ls-files --cached --others --exclude-standard '*.h'
} | awk -v root="$PWD" -v base="$output_base" -v exec="$execution_root" '
  function folder(path) { return match(path, /^.*\//) ? substr(path, 1, RLENGTH) : "" }
  # The better of two sources to take a header'\''s flags from.
  function better(new, old) {
    return old == "" || length(arguments[new]) > length(arguments[old]) ? new : old
  }
  /^ *"arguments": \[.*\],?$/ {
    if (!match($0, /"-c", "[^"]*"/)) next
    file = substr($0, RSTART + 7, RLENGTH - 8)
    if (file !~ /\.(c|cc)$/ || file ~ /^external\//) next
    bare = /"--target\\u003daarch64-none-elf"/
    if (file in arguments && bare) next
    sub(/^ *"arguments": /, "")
    sub(/,$/, "")
    gsub(/"external\//, "\"" base "/external/")
    gsub(/"bazel-out\//, "\"" exec "/bazel-out/")
    if (!(file in arguments)) order[++n] = file
    arguments[file] = $0
    is_bare[file] = bare
    next
  }
  /^[^ {}]*\.h$/ { headers[++h] = $0 }
  END {
    for (i = 1; i <= n; i++) {
      file = order[i]
      if (file !~ /\.cc$/) continue
      beside[folder(file)] = better(file, beside[folder(file)])
      # For headers with no source beside them: the libraries see one another.
      if (is_bare[file] || file !~ /^(benchmarks|platforms|tests)\//)
        most[is_bare[file]] = better(file, most[is_bare[file]])
    }
    for (i = 1; i <= h; i++) {
      source = beside[folder(headers[i])]
      # Where all is bare metal, and where there are headers only.
      if (source == "" || is_bare[source]) source = most[source != ""]
      if (source == "") continue
      text = arguments[source]
      sub(/"-c", "[^"]*"/, "\"-c\", \"-xc++-header\", \"" headers[i] "\"", text)
      arguments[headers[i]] = text
      order[++n] = headers[i]
    }
    print "["
    for (i = 1; i <= n; i++) {
      printf "  {\"directory\": \"%s\",\n   \"file\": \"%s\",\n", root, order[i]
      printf "   \"arguments\": %s}%s\n", arguments[order[i]], i < n ? "," : ""
    }
    print "]"
  }'
