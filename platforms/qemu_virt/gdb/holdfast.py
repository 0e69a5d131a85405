# SPDX-License-Identifier: Apache-2.0
"""gdb commands that look into a stopped Holdfast: who owns a page, what a walk
of a table finds, which VMs there are. They read physical memory through QEMU's
stub, so it does not matter at which exception level the CPU stopped; nothing is
changed and no code is run."""

import gdb

HYPERVISOR = (
    "*(holdfast::hyp::Hypervisor *)"
    "&'holdfast::qemu_virt::(anonymous namespace)::g_hypervisor'"
)
PAGE_STATES = ["owned", "shared, owned", "borrowed", "no page"]
OWNERS = {0: "host", 1: "hyp", 2: "guest"}
ADDRESS_MASK = 0x0000FFFFFFFFF000


class Physical:
    """While it lasts, addresses are physical (EL2 maps itself at identity)."""

    def __enter__(self):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:1", to_string=True)

    def __exit__(self, *_):
        gdb.execute("maintenance packet Qqemu.PhyMemMode:0", to_string=True)


def hypervisor():
    return gdb.parse_and_eval(HYPERVISOR)


def read_u64(address):
    memory = gdb.selected_inferior().read_memory(address, 8)
    return int.from_bytes(memory.tobytes(), "little")


def number(value):
    """Of an Address, FrameNumber or Name."""
    return int(value["value_"])


def elements(std_array):
    return std_array["_M_elems"]


def page_shift(mem):
    # VTCR_EL2.TG0 of the host's context: 4, 64 or 16 KiB.
    return {0: 12, 1: 16, 2: 14}[(int(mem["host_"]["context_"]["vtcr"]) >> 14) & 3]


def describe(entry, level, stage2, guest):
    if entry & 1:
        if level < 3 and entry & 2:
            return "table"
        kind = "page" if level == 3 else "block"
        if stage2:
            access = ("r" if entry >> 6 & 1 else "-") + ("w" if entry >> 7 & 1 else "-")
            access += {0: "x", 1: "u", 2: "-", 3: "p"}[entry >> 53 & 3]
            # The host's states are in the page records, a guest's in its leaves.
            state = ", " + PAGE_STATES[entry >> 55 & 3] if guest else ""
            return "%s %s%s" % (kind, access, state)
        access = "r" + ("-" if entry >> 7 & 1 else "w") + ("-" if entry >> 54 & 1 else "x")
        return "%s %s%s" % (kind, access, ", device" if entry >> 2 & 7 == 4 else "")
    if entry == 0:
        return "empty"
    if not stage2:
        return "invalid"
    kind = entry >> 60
    if kind == 3:
        return "poisoned: taken back by force"
    if kind == 2:
        owner = OWNERS.get(entry >> 1 & 7, "?")
        if owner != "guest":
            return "owned by " + owner
        return "owned by VM 0x%x at gfn 0x%x" % (entry >> 4 & 0xFFFF, entry >> 20 & ((1 << 40) - 1))
    return "annotation of unknown type %d" % kind


def walk(root, start_level, shift, address, stage2, guest):
    """Yields (level, entry's address, entry, text) down to the one that decides."""
    table = root
    for level in range(start_level, 4):
        low = shift + (3 - level) * (shift - 3)
        index = address >> low
        if level > start_level:  # a root may be several tables in a row
            index &= (1 << (shift - 3)) - 1
        at = table + 8 * index
        entry = read_u64(at)
        yield level, at, entry, describe(entry, level, stage2, guest)
        if not (entry & 1 and level < 3 and entry & 2):
            return
        table = entry & ADDRESS_MASK & -(1 << shift)


def print_walk(root, start_level, bits, shift, address, stage2, guest=False):
    if address >> bits:
        raise gdb.GdbError("0x%x is beyond %d bits" % (address, bits))
    for level, at, entry, text in walk(
        root, start_level, shift, address, stage2, guest
    ):
        print("  level %d  [0x%x] = 0x%016x  %s" % (level, at, entry, text))


def print_stage2(table, shift, address, guest=False):
    print_walk(
        number(table["context_"]["root"]),
        number(table["shape_"]["start"]),
        int(table["shape_"]["ipa_bits"]),
        shift,
        address,
        True,
        guest,
    )


def vm_of(handle):
    """The VM object of a handle, or an error."""
    slots = elements(hypervisor()["vms_"]["slots_"])
    index = handle - 0x1000
    if not 0 <= index < 255 or int(slots[index]["vm"]) == 0:
        raise gdb.GdbError("no VM 0x%x" % handle)
    return slots[index]["vm"].dereference()


def arguments(command, text, names):
    words = gdb.string_to_argv(text)
    if len(words) != len(names):
        raise gdb.GdbError("usage: " + " ".join([command] + names))
    return words


def value_of(word):
    return int(gdb.parse_and_eval(word)) & (2**64 - 1)


class Owner(gdb.Command):
    """hf-owner PFN: whose a page is, by its record and by the host's stage 2."""

    def __init__(self):
        super().__init__("hf-owner", gdb.COMMAND_DATA)

    def invoke(self, text, _):
        (word,) = arguments("hf-owner", text, ["PFN"])
        pfn = value_of(word)
        with Physical():
            mem = hypervisor()["mem_"]
            shift = page_shift(mem)
            address = pfn << shift
            regions = elements(mem["map_"]["regions_"])
            for i in range(int(mem["map_"]["count_"])):
                base, size = number(regions[i]["base"]), int(regions[i]["size"])
                if base <= address < base + size:
                    break
            else:
                print("0x%x: in no region: nobody's" % address)
                return
            kind = str(regions[i]["kind"]).rsplit("::k", 1)[-1].lower()
            print("0x%x: region 0x%x + 0x%x, %s" % (address, base, size, kind))
            records = elements(mem["records_"])[i]["first"]
            if int(records) != 0:
                record = int((records + (pfn - (base >> shift))).dereference()["word_"])
                print(
                    "  host: %s; hyp: %s; count %d"
                    % (PAGE_STATES[record & 3], PAGE_STATES[(record >> 2 & 3) ^ 3], record >> 4)
                )
            print("  host's stage 2:")
            print_stage2(mem["host_"], shift, address)


class Walk(gdb.Command):
    """hf-walk host IPA | hyp VA | guest HANDLE IPA: a table walk, entry by entry."""

    def __init__(self):
        super().__init__("hf-walk", gdb.COMMAND_DATA)

    def invoke(self, text, _):
        words = gdb.string_to_argv(text)
        with Physical():
            mem = hypervisor()["mem_"]
            shift = page_shift(mem)
            if len(words) == 2 and words[0] == "host":
                print_stage2(mem["host_"], shift, value_of(words[1]))
            elif len(words) == 2 and words[0] == "hyp":
                table = mem["hyp_"]
                bits = int(table["limit_"]).bit_length() - 1
                levels = -(-(bits - shift) // (shift - 3))
                print_walk(
                    number(table["root_"]), 4 - levels, bits, shift, value_of(words[1]), False
                )
            elif len(words) == 3 and words[0] == "guest":
                print_stage2(vm_of(value_of(words[1]))["stage2"], shift, value_of(words[2]), True)
            else:
                raise gdb.GdbError("usage: hf-walk host IPA | hyp VA | guest HANDLE IPA")


class Vms(gdb.Command):
    """hf-vms: the VM table, and which vCPU each CPU has loaded."""

    def __init__(self):
        super().__init__("hf-vms", gdb.COMMAND_DATA)

    def invoke(self, text, _):
        arguments("hf-vms", text, [])
        with Physical():
            hyp = hypervisor()
            slots = elements(hyp["vms_"]["slots_"])
            shown = 0
            for i in range(255):
                state = str(slots[i]["state"]).rsplit("::k", 1)[-1].lower()
                if state == "free":
                    continue
                shown += 1
                if int(slots[i]["vm"]) == 0:
                    print("0x%x  %s" % (0x1000 + i, state))
                    continue
                vm = slots[i]["vm"].dereference()
                print(
                    "0x%x  %s, %s; %d guest pages, %d frames of stock; %d of %d vCPUs; %d references"
                    % (
                        0x1000 + i,
                        "dying" if vm["dying_"] else "live",
                        "protected" if vm["shape_"]["is_protected"] else "not protected",
                        int(vm["guest_pages"]),
                        int(vm["stock_frames"]),
                        int(vm["vcpus_alive_"]),
                        int(vm["shape_"]["vcpu_count"]),
                        int(vm["references_"]),
                    )
                )
            if shown == 0:
                print("no VMs")
            cpus = elements(hyp["cpus_"])
            for cpu in range(8):
                vcpu = cpus[cpu]["loaded"]
                if int(vcpu) != 0:
                    handle = number(vcpu["vm_"].referenced_value()["shape_"]["handle"])
                    print("cpu %d has vCPU %d of 0x%x" % (cpu, int(vcpu["index_"]), handle))


Owner()
Walk()
Vms()
print("Holdfast: hf-owner PFN; hf-walk host|hyp ADDRESS, guest HANDLE IPA; hf-vms")
