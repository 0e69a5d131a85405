# SPDX-License-Identifier: Apache-2.0
#
# From the map that ld.lld writes: the bytes of each library in an image, by
# kind of output section. A line of the map reads
#     VMA LMA size align name
# where the name is an output section (`.text`), an input section
# (`.../bin/pgtable/libwalker.a(walker.o):(.text.Walk)`) or a symbol.
# For any awk: mawk has no strtonum.

function hex(digits,    value, i) {
  value = 0
  for (i = 1; i <= length(digits); i++)
    value = value * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
  return value
}

# What the output section holds; empty if it is not loaded (debug, symbols).
function kind_of(section, address) {
  if (address == "0") return ""
  if (section ~ /^\.(text|init|plt|vectors)/) return "text"
  if (section ~ /bss|stack|noload/) return "bss"
  if (section ~ /rodata|eh_frame|^\.const/) return "rodata"
  return "data"
}

# A library that is headers only (pgtable/) has no archive of its own: its
# functions are in sections named after them, and the namespace tells. Otherwise
# the folder at the top of the tree: .../bin/hyp/libhyp.a(x.o) -> hyp.
function library_of(path, section) {
  if (match(section, /8holdfast(3hyp|7pgtable|8vm_table|11mem_protect)/)) {
    section = substr(section, RSTART + 9, RLENGTH - 9)
    sub(/^[0-9]+/, "", section)
    return section
  }
  if (sub(/^.*\/bin\//, "", path) == 0) return "(other)"
  if (path ~ /^external\//) return "(other)"
  sub(/\/.*$/, "", path)
  return path
}

function add(library, kind, size) {
  if (!(library in seen)) {
    seen[library] = 1
    order[++libraries] = library
  }
  bytes[library, kind] += size
  bytes["total", kind] += size
}

function row(name, kinds, n,    i, sum, line) {
  line = sprintf("%-14s", name)
  for (i = 1; i <= n; i++) {
    line = line sprintf("%10d", bytes[name, kinds[i]])
    sum += bytes[name, kinds[i]]
  }
  print line sprintf("%10d", sum)
}

# The script's own padding and reservations (stacks, alignment).
function close_section() {
  if (kind != "" && section_size > 0) add("(layout)", kind, section_size)
}

$5 ~ /:\((\.|COMMON\))/ {
  if (kind == "") next
  size = hex($3)
  section_size -= size
  split($5, part, ":\\(")
  # `<internal>` is what the linker makes itself: merged strings.
  add(library_of(part[1], part[2]), kind, size)
  next
}

NF == 5 && $5 ~ /^\.[a-z_]/ && /^ *[0-9a-f]+ +[0-9a-f]+ +[0-9a-f]+ +[0-9]+ \./ {
  close_section()
  kind = kind_of($5, $1)
  section_size = hex($3)
}

END {
  close_section()
  n = split("text rodata data bss", kinds, " ")
  line = sprintf("%-14s", "library")
  for (i = 1; i <= n; i++) line = line sprintf("%10s", kinds[i])
  print line sprintf("%10s", "total")
  m = split("base pgtable vm_table mem_protect hyp platforms", known, " ")
  for (i = 1; i <= m; i++) {
    if (known[i] in seen) row(known[i], kinds, n)
    listed[known[i]] = 1
  }
  for (i = 1; i <= libraries; i++) if (!(order[i] in listed)) row(order[i], kinds, n)
  row("total", kinds, n)
}
