// SPDX-License-Identifier: Apache-2.0
//
// Conformance as data: every state a page can be in, times every call, and what
// comes of it. matrix_test.cc runs each cell; docs/states.md and its diagram
// are made of the same rows (//docs:states). Text only: it knows no code.
//
// A cell is RESULT, or RESULT>STATE if the page's state changes:
//   EPERM ...   the call fails with that; nothing changes
//   0, 1        what x1 is
//   -3          a guest's call answers INVALID_PARAMETER
//   exit        a guest's call goes to the host; for MEM_SHARE, as if the guest
//               had stored to a page that is missing
//   ok, abort   an access works (load, store and fetch alike); is refused
//   -           cannot happen: a bug of EL2's, not of the host's
// Rows marked "internal" are functions of mem_protect that no single call is.
#ifndef HOLDFAST_MEM_PROTECT_MATRIX_H_
#define HOLDFAST_MEM_PROTECT_MATRIX_H_

#include <array>
#include <cstddef>

namespace holdfast::mem_protect::matrix {

struct State {
  const char* name;
  const char* host;
  const char* hyp;
  const char* guest;
  const char* entry;  // the host's stage-2 entry
  const char* what;
};

template <std::size_t kColumns>
struct Row {
  const char* call;
  std::array<const char*, kColumns> cells;
};

// clang-format off

// ---- One page ---------------------------------------------------------------
// "g" is the gfn at which the protected guest has, or had, the page (F, G, P),
// or would get it; and the gfn at which the non-protected one has it (E).

inline constexpr std::array kPageStates = {
    State{"A", "no page", "owned", "-", "annotation: EL2's",
          "EL2's"},
    State{"B", "owned", "no page", "-", "empty, or RWX",
          "the host's alone"},
    State{"C", "shared, owned", "borrowed", "-", "empty, or RWX",
          "shared with EL2"},
    State{"C pinned", "shared, owned", "borrowed, count 1", "-",
          "empty, or RWX", "in use by EL2: a run page"},
    State{"D", "shared, owned", "no page", "-", "empty, or RWX",
          "shared with the secure world (FF-A)"},
    State{"E", "shared, owned, count 1", "no page",
          "borrowed by a non-protected one", "empty, or RWX",
          "shared with a guest"},
    State{"E2 gfns", "shared, owned, count 2", "no page",
          "borrowed by one, at two gfns", "empty, or RWX",
          "shared with a guest twice"},
    State{"E2 VMs", "shared, owned, count 2", "no page", "borrowed by two",
          "empty, or RWX", "shared with two guests"},
    State{"F", "no page", "no page", "owned by a protected one",
          "annotation: VM and gfn", "a protected guest's alone"},
    State{"G", "borrowed", "no page", "shared, owned by a protected one",
          "RWX", "a protected guest's, which shares it with the host"},
    State{"P", "owned", "no page", "its gfn is poisoned", "RWX",
          "taken back by force; the page is the host's as in B"},
};
using PageRow = Row<kPageStates.size()>;

// The states after a call are those above; besides: F' and E as often as the
// number says, wherever they are (F': by another protected VM, or at another
// gfn).
inline constexpr std::array kPageRows = {
    // call                                        A       B       C              C pinned         D       E        E2 gfns  E2 VMs   F       G       P
    PageRow{"host_share_hyp",                    {"EPERM", "0>C",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>C"}},
    PageRow{"host_unshare_hyp",                  {"EPERM", "EPERM","0>B",         "EBUSY",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    PageRow{"donate_hyp (internal)",             {"EPERM", "0>A",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>A"}},
    PageRow{"hyp_donate_host (internal)",        {"0>B",   "EPERM","EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    PageRow{"pin (internal)",                    {"EPERM", "EPERM","0>C pinned",  "0>C pinned twice", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    PageRow{"unpin (internal)",                  {"-",     "-",    "-",           "0>C",           "-",     "-",     "-",     "-",     "-",     "-",     "-"}},
    PageRow{"share_ffa (internal)",              {"EPERM", "0>D",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>D"}},
    PageRow{"unshare_ffa (internal)",            {"EPERM", "EPERM","EPERM",       "EPERM",         "0>B",   "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},

    PageRow{"init_vm, as its memory",            {"EPERM", "0>A",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>A"}},
    PageRow{"init_vm, as its stage-2 root",      {"EPERM", "0>A",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>A"}},
    PageRow{"init_vcpu, as its memory",          {"EPERM", "0>A",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>A"}},
    PageRow{"init_vcpu, as its run page",        {"EPERM", "EPERM","0>C pinned",  "EBUSY",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    PageRow{"topup_vm",                          {"EPERM", "0>A",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>A"}},

    PageRow{"host_donate_guest at g",            {"EPERM", "0>F",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    PageRow{"host_donate_guest at g + 1",        {"EPERM", "0>F'", "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>F'"}},
    PageRow{"host_donate_guest, another VM",     {"EPERM", "0>F'", "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>F'"}},
    PageRow{"host_donate_guest of another page at g", {"0", "0",   "0",           "0",             "0",     "0",     "0",     "0",     "EPERM", "EPERM", "EPERM"}},
    PageRow{"host_donate_guest, non-protected VM", {"EINVAL", "EINVAL", "EINVAL", "EINVAL",        "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL"}},

    PageRow{"host_share_guest at g",             {"EPERM", "0>E",  "EPERM",       "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>E"}},
    PageRow{"host_share_guest at another gfn",   {"EPERM", "0>E",  "EPERM",       "EPERM",         "EPERM", "0>E2",  "0>E3",  "0>E3",  "EPERM", "EPERM", "0>E"}},
    PageRow{"host_share_guest, another VM",      {"EPERM", "0>E",  "EPERM",       "EPERM",         "EPERM", "0>E2",  "0>E3",  "0>E3",  "EPERM", "EPERM", "0>E"}},
    PageRow{"host_share_guest of another page at g", {"0", "0",    "0",           "0",             "0",     "EPERM", "EPERM", "EPERM", "0",     "0",     "0"}},
    PageRow{"host_share_guest, protected VM",    {"EINVAL", "EINVAL", "EINVAL",   "EINVAL",        "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL"}},
    PageRow{"host_unshare_guest at g",           {"ENOENT", "ENOENT", "ENOENT",   "ENOENT",        "ENOENT", "0>B",  "0>E",   "0>E",   "ENOENT", "ENOENT", "ENOENT"}},
    PageRow{"host_unshare_guest at g, VM dying", {"ENOENT", "ENOENT", "ENOENT",   "ENOENT",        "ENOENT", "0>B",  "0>E",   "0>E",   "ENOENT", "ENOENT", "ENOENT"}},
    PageRow{"host_unshare_guest, another VM",    {"ENOENT", "ENOENT", "ENOENT",   "ENOENT",        "ENOENT", "ENOENT", "ENOENT", "0>E", "ENOENT", "ENOENT", "ENOENT"}},
    PageRow{"host_unshare_guest, protected VM",  {"EINVAL", "EINVAL", "EINVAL",   "EINVAL",        "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL"}},
    PageRow{"host_relax_perms_guest at g",       {"EAGAIN", "EAGAIN", "EAGAIN",   "EAGAIN",        "EAGAIN", "0",    "0",     "0",     "EAGAIN", "EAGAIN", "EAGAIN"}},
    PageRow{"host_wrprotect_guest at g",         {"0",     "0",    "0",           "0",             "0",     "0",     "0",     "0",     "0",     "0",     "0"}},
    PageRow{"host_test_clear_young_guest at g",  {"0",     "0",    "0",           "0",             "0",     "1",     "1",     "1",     "0",     "0",     "0"}},
    PageRow{"host_mkyoung_guest at g",           {"0",     "0",    "0",           "0",             "0",     "0",     "0",     "0",     "0",     "0",     "0"}},
    PageRow{"tlb_flush_vmid",                    {"0",     "0",    "0",           "0",             "0",     "0",     "0",     "0",     "0",     "0",     "0"}},

    PageRow{"MEM_SHARE at g",                    {"exit",  "exit", "exit",        "exit",          "exit",  "exit",  "exit",  "exit",  "0>G",   "-3",    "-3"}},
    PageRow{"MEM_UNSHARE at g",                  {"-3",    "-3",   "-3",          "-3",            "-3",    "-3",    "-3",    "-3",    "-3",    "0>F",   "-3"}},
    PageRow{"MEM_SHARE at g, non-protected VM",  {"exit",  "exit", "exit",        "exit",          "exit",  "exit",  "exit",  "exit",  "exit",  "exit",  "exit"}},

    PageRow{"force_reclaim_guest_page",          {"EPERM", "EAGAIN", "EAGAIN",    "EAGAIN",        "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "0>P", "EAGAIN", "EAGAIN"}},
    PageRow{"force_reclaim_guest_page, VM dying", {"EPERM", "EAGAIN", "EAGAIN",   "EAGAIN",        "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "0>P", "EAGAIN", "EAGAIN"}},
    PageRow{"reclaim_dying_guest_page at g",     {"EINVAL", "EINVAL", "EINVAL",   "EINVAL",        "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL"}},
    PageRow{"reclaim_dying_guest_page at g, VM dying", {"ENOENT", "ENOENT", "ENOENT", "ENOENT",    "ENOENT", "ENOENT", "ENOENT", "ENOENT", "0>B", "0>B", "0"}},
    PageRow{"reclaim_dying_guest_page at g, non-protected VM dying", {"ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "EPERM", "EPERM", "EPERM", "ENOENT", "ENOENT", "ENOENT"}},

    PageRow{"access by the host",                {"abort", "ok",   "ok",          "ok",            "ok",    "ok",    "ok",    "ok",    "abort", "ok",    "ok"}},
    PageRow{"access by the protected guest at g", {"abort", "abort", "abort",     "abort",         "abort", "abort", "abort", "abort", "ok",    "ok",    "abort"}},
    PageRow{"access by the non-protected guest at g", {"abort", "abort", "abort", "abort",         "abort", "ok",    "ok",    "ok",    "abort", "abort", "abort"}},
    PageRow{"vcpu_in_poison_fault after it accessed g", {"0", "0", "0",           "0",             "0",     "0",     "0",     "0",     "EINVAL", "EINVAL", "1"}},
};

// In a VM that has another poisoned gfn (the page was taken back there once)
// every cell above holds all the same, and these too.
inline constexpr std::array kPoisonRows = {
    PageRow{"host_donate_guest at a poisoned gfn", {"EPERM", "EPERM", "EPERM",    "EPERM",         "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    PageRow{"host_donate_guest of another page at a poisoned gfn", {"EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    PageRow{"MEM_SHARE at a poisoned gfn",       {"-3",    "-3",   "-3",          "-3",            "-3",    "-3",    "-3",    "-3",    "-3",    "-3",    "-3"}},
    PageRow{"MEM_UNSHARE at a poisoned gfn",     {"-3",    "-3",   "-3",          "-3",            "-3",    "-3",    "-3",    "-3",    "-3",    "-3",    "-3"}},
    PageRow{"access by the protected guest at a poisoned gfn", {"abort", "abort", "abort", "abort", "abort", "abort", "abort", "abort", "abort", "abort", "abort"}},
    PageRow{"vcpu_in_poison_fault after it accessed a poisoned gfn", {"1", "1",   "1",  "1",       "1",     "1",     "1",     "1",     "1",     "1",     "1"}},
    PageRow{"reclaim_dying_guest_page at a poisoned gfn, VM dying", {"0", "0",    "0",  "0",       "0",     "0",     "0",     "0",     "0",     "0",     "0"}},
};

// ---- A run of pages as large as a block -------------------------------------
// For granules that have blocks. The states of the pages, joined by "+" if they
// differ; "block" if a guest has them by one. "G" is the gfn, aligned, at which
// the non-protected guest or the protected one has them or would get them.

struct RunState {
  const char* name;
  const char* what;
};
inline constexpr std::array kRunStates = {
    RunState{"B", "all the host's alone"},
    RunState{"A", "all EL2's"},
    RunState{"A+B", "one EL2's"},
    RunState{"B+C", "one shared with EL2"},
    RunState{"D", "all shared with the secure world"},
    RunState{"B+F", "one a protected guest's"},
    RunState{"B+E", "one shared with a guest, elsewhere"},
    RunState{"E", "each shared with a guest, page by page"},
    RunState{"E block", "shared with a guest, as a block"},
    RunState{"E2 block", "shared with two guests, as blocks"},
    RunState{"F", "each a protected guest's alone, page by page"},
    RunState{"F block", "a protected guest's alone, as a block"},
    RunState{"G block", "a protected guest's, which shares the block"},
};
using RunRow = Row<kRunStates.size()>;

inline constexpr std::array kRunRows = {
    // Cells: B, A, A+B, B+C, D, B+F, B+E, E, E block, E2 block, F, F block, G block.
    RunRow{"host_share_guest of a block at G",                          {"0>E block", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>E+E2 block", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_share_guest of a block elsewhere",                     {"0>E", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>E+E2", "0>E2", "0>E2 block", "0>E3 block", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_share_guest of a block, another VM",                   {"0>E", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "0>E+E2", "0>E2", "0>E2 block", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_share_guest of a page of it at its gfn",               {"0>B+E", "EPERM", "0>A+B+E", "0>B+C+E", "EPERM", "0>B+E+F", "0", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_share_guest of a page of it elsewhere",                {"0>B+E", "EPERM", "0>A+B+E", "0>B+C+E", "EPERM", "0>B+E+F", "0", "0>E+E2", "0>E+E2 block", "0>E2+E3 block", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_unshare_guest of a block at G",                        {"ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "E2BIG", "0>B", "0>E", "ENOENT", "ENOENT", "ENOENT"}},
    RunRow{"host_unshare_guest of a page at its gfn",                   {"ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "0>B+E", "E2BIG", "E2BIG", "ENOENT", "ENOENT", "ENOENT"}},
    RunRow{"host_relax_perms_guest at a page's gfn",                    {"EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "0", "0", "0", "EAGAIN", "EAGAIN", "EAGAIN"}},
    RunRow{"host_wrprotect_guest of a block at G",                      {"0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0"}},
    RunRow{"host_wrprotect_guest of a page at its gfn",                 {"0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0"}},
    RunRow{"host_test_clear_young_guest of a block at G",               {"0", "0", "0", "0", "0", "0", "0", "1", "1", "1", "0", "0", "0"}},
    RunRow{"host_test_clear_young_guest of a page at its gfn",          {"0", "0", "0", "0", "0", "0", "0", "1", "1", "1", "0", "0", "0"}},
    RunRow{"host_mkyoung_guest at a page's gfn",                        {"0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0"}},
    RunRow{"reclaim_dying_guest_page at G, non-protected VM dying",     {"ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "EPERM", "E2BIG", "E2BIG", "ENOENT", "ENOENT", "ENOENT"}},
    RunRow{"share_ffa of all (internal)",                               {"0>D", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"unshare_ffa of all (internal)",                             {"EPERM", "EPERM", "EPERM", "EPERM", "0>B", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"hyp_donate_host of all (internal)",                         {"EPERM", "0>B", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"topup_vm with all",                                         {"0>A", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_share_hyp of a page",                                  {"0>B+C", "EPERM", "0>A+B+C", "0", "EPERM", "0>B+C+F", "0>B+C+E", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_donate_guest of a page",                               {"0>B+F", "EPERM", "0>A+B+F", "0>B+C+F", "EPERM", "0", "0>B+E+F", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"force_reclaim_guest_page of a page",                        {"EAGAIN", "EPERM", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "0>F+P", "0>F+P", "EAGAIN"}},
    RunRow{"access by the host to a page",                              {"ok", "abort", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "abort", "abort", "ok"}},
    RunRow{"access by the guest at all the gfns",                       {"abort", "abort", "abort", "abort", "abort", "abort", "abort", "ok", "ok", "ok", "abort", "abort", "abort"}},
    RunRow{"host_donate_guest of a block at G",                         {"0>F block", "EPERM", "0>A+B+F", "0>B+C+F", "EPERM", "0", "0>B+E+F", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_donate_guest of a block elsewhere, another VM",        {"0>F'", "EPERM", "0>A+B+F'", "0>B+C+F'", "EPERM", "0>B+F+F'", "0>B+E+F'", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"host_donate_guest of a page of it elsewhere",               {"0>B+F'", "EPERM", "0>A+B+F'", "0>B+C+F'", "EPERM", "0>B+F+F'", "0>B+E+F'", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"}},
    RunRow{"force_reclaim_guest_page of all",                           {"EAGAIN", "EPERM", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "EAGAIN", "0>P", "0>P", "EAGAIN"}},
    RunRow{"MEM_SHARE of all at G",                                     {"exit", "exit", "exit", "exit", "exit", "exit", "exit", "exit", "exit", "exit", "0>G", "0>G block", "-3"}},
    RunRow{"MEM_SHARE of a page at its gfn",                            {"exit", "exit", "exit", "exit", "exit", "exit", "exit", "exit", "exit", "exit", "0>F+G", "0>F+G", "-3"}},
    RunRow{"MEM_UNSHARE of all at G",                                   {"-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "0>F block"}},
    RunRow{"MEM_UNSHARE of a page at its gfn",                          {"-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "-3", "0>F+G"}},
    RunRow{"reclaim_dying_guest_page of all at G, VM dying",            {"ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "0>B", "0>B", "0>B"}},
    RunRow{"reclaim_dying_guest_page of a page, VM dying",              {"ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "ENOENT", "0>B+F", "0>B+F", "0>B+G"}},
    RunRow{"access by the protected guest at all the gfns",             {"abort", "abort", "abort", "abort", "abort", "abort", "abort", "abort", "abort", "abort", "ok", "ok", "ok"}},
};

// clang-format on

}  // namespace holdfast::mem_protect::matrix

#endif  // HOLDFAST_MEM_PROTECT_MATRIX_H_
