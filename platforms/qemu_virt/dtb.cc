// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/dtb.h"

namespace holdfast::qemu_virt {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kMagic = 0xd00dfeed;
constexpr uint32_t kHeaderSize = 40;
constexpr uint32_t kBeginNode = 1, kEndNode = 2, kProperty = 3, kNop = 4,
                   kEnd = 9;
constexpr unsigned kMaxDepth = 16;

// Big-endian number of `size` bytes at `at`, which is inside.
uint64_t Load(Bytes bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value = value << 8 | std::to_integer<uint64_t>(bytes[at + i]);
  }
  return value;
}

std::optional<uint32_t> Load32(Bytes bytes, size_t at) {
  if (at > bytes.size() || bytes.size() - at < 4) return std::nullopt;
  return static_cast<uint32_t>(Load(bytes, at, 4));
}

// The string at `at`, whose end must be inside.
std::optional<std::string_view> LoadString(Bytes bytes, size_t at) {
  if (at >= bytes.size()) return std::nullopt;
  const auto* const start = reinterpret_cast<const char*>(bytes.data() + at);
  const std::string_view rest(start, bytes.size() - at);
  const size_t size = rest.find('\0');
  if (size == std::string_view::npos) return std::nullopt;
  return rest.substr(0, size);
}

// [offset, offset + size) of the blob, if inside.
std::optional<Bytes> Part(Bytes blob, uint32_t offset, uint32_t size) {
  if (offset > blob.size() || size > blob.size() - offset) return std::nullopt;
  return blob.subspan(offset, size);
}

struct Node {
  std::string_view name;
  // For the reg properties of its children (2.3.5: default 2 and 1).
  uint32_t address_cells = 2;
  uint32_t size_cells = 1;
};

bool IsUnit(std::string_view name, std::string_view kind) {
  return name == kind || (name.size() > kind.size() && name.starts_with(kind) &&
                          name[kind.size()] == '@');
}

class Reader {
 public:
  Reader(Bytes structure, uint32_t structure_offset, Bytes strings)
      : structure_(structure),
        structure_offset_(structure_offset),
        strings_(strings) {}

  std::optional<DtbInfo> Read() {
    size_t at = 0;
    while (true) {
      const std::optional<uint32_t> token = Load32(structure_, at);
      if (!token) return std::nullopt;
      at += 4;
      switch (*token) {
        case kBeginNode: {
          const auto name = LoadString(structure_, at);
          if (!name || depth_ == kMaxDepth) return std::nullopt;
          nodes_[depth_++] = Node{.name = *name};
          at = Align(at + name->size() + 1);
          break;
        }
        case kEndNode:
          if (depth_ == 0) return std::nullopt;
          --depth_;
          break;
        case kProperty: {
          const auto size = Load32(structure_, at);
          const auto name_at = Load32(structure_, at + 4);
          if (!size || !name_at || depth_ == 0) return std::nullopt;
          const auto name = LoadString(strings_, *name_at);
          at += 8;
          if (!name || *size > structure_.size() - at) return std::nullopt;
          if (!Property(*name, at, *size)) return std::nullopt;
          at = Align(at + *size);
          break;
        }
        case kNop:
          break;
        case kEnd:
          return depth_ == 0 ? std::optional(info_) : std::nullopt;
        default:
          return std::nullopt;
      }
    }
  }

 private:
  static size_t Align(size_t at) { return (at + 3) & ~size_t{3}; }

  // One property of the innermost node; its value is inside. False: malformed.
  bool Property(std::string_view name, size_t at, uint32_t size) {
    Node& node = nodes_[depth_ - 1];
    if (name == "#address-cells" || name == "#size-cells") {
      if (size != 4) return false;
      const auto cells = static_cast<uint32_t>(Load(structure_, at, 4));
      (name == "#address-cells" ? node.address_cells : node.size_cells) = cells;
      return true;
    }
    if (depth_ == 2 && IsUnit(node.name, "memory") && name == "reg")
      return Memory(at, size);
    if (depth_ == 2 && node.name == "chosen") return Chosen(name, at, size);
    if (depth_ == 3 && nodes_[1].name == "cpus" && IsUnit(node.name, "cpu") &&
        name == "reg") {
      const uint32_t width = nodes_[1].address_cells * 4;
      if ((width != 4 && width != 8) || size != width) return false;
      if (info_.cpus == DtbInfo::kMaxCpus) return false;
      info_.cpu_ids[info_.cpus++] = Load(structure_, at, width);
    }
    return true;
  }

  bool Memory(size_t at, uint32_t size) {
    const Node& root = nodes_[0];
    if (root.address_cells < 1 || root.address_cells > 2) return false;
    if (root.size_cells < 1 || root.size_cells > 2) return false;
    const uint32_t base_bytes = root.address_cells * 4,
                   size_bytes = root.size_cells * 4;
    if (size % (base_bytes + size_bytes) != 0) return false;
    for (uint32_t done = 0; done < size; done += base_bytes + size_bytes) {
      if (info_.memories == DtbInfo::kMaxMemory) return false;
      const DtbRange range = {
          .base = Load(structure_, at + done, base_bytes),
          .size = Load(structure_, at + done + base_bytes, size_bytes),
          .offset = static_cast<uint32_t>(structure_offset_ + at + done),
          .base_bytes = static_cast<uint8_t>(base_bytes),
          .size_bytes = static_cast<uint8_t>(size_bytes),
      };
      if (range.base + range.size < range.base) return false;
      info_.memory[info_.memories++] = range;
    }
    return true;
  }

  bool Chosen(std::string_view name, size_t at, uint32_t size) {
    if (name == "bootargs") {
      const auto text = LoadString(structure_.subspan(at, size), 0);
      if (!text) return false;
      info_.bootargs = *text;
    } else if (name == "rng-seed") {
      info_.rng_seed = {static_cast<uint32_t>(structure_offset_ + at), size};
    } else if (name == "linux,initrd-start" || name == "linux,initrd-end") {
      if (size != 4 && size != 8) return false;
      (name == "linux,initrd-start" ? info_.initrd_start : info_.initrd_end) =
          Load(structure_, at, size);
    }
    return true;
  }

  const Bytes structure_;
  const uint32_t structure_offset_;
  const Bytes strings_;
  std::array<Node, kMaxDepth> nodes_;
  unsigned depth_ = 0;
  DtbInfo info_;
};

}  // namespace

std::optional<uint32_t> DtbSize(std::span<const std::byte> header) {
  if (header.size() < kHeaderSize) return std::nullopt;
  if (Load(header, 0, 4) != kMagic) return std::nullopt;
  const auto size = static_cast<uint32_t>(Load(header, 4, 4));
  if (size < kHeaderSize) return std::nullopt;
  return size;
}

std::optional<DtbInfo> ReadDtb(std::span<const std::byte> blob) {
  const std::optional<uint32_t> total = DtbSize(blob);
  if (!total || *total > blob.size()) return std::nullopt;
  blob = blob.first(*total);
  const auto structure_offset = static_cast<uint32_t>(Load(blob, 8, 4));
  const auto strings_offset = static_cast<uint32_t>(Load(blob, 12, 4));
  const auto last_compatible = static_cast<uint32_t>(Load(blob, 24, 4));
  const auto strings_size = static_cast<uint32_t>(Load(blob, 32, 4));
  const auto structure_size = static_cast<uint32_t>(Load(blob, 36, 4));
  if (last_compatible > 17) return std::nullopt;
  const auto structure = Part(blob, structure_offset, structure_size);
  const auto strings = Part(blob, strings_offset, strings_size);
  if (!structure || !strings) return std::nullopt;
  return Reader(*structure, structure_offset, *strings).Read();
}

void WriteRange(std::span<std::byte> blob, const DtbRange& range, uint64_t base,
                uint64_t size) {
  size_t at = range.offset;
  for (size_t i = range.base_bytes; i-- > 0;) {
    blob[at++] = static_cast<std::byte>(base >> (8 * i));
  }
  for (size_t i = range.size_bytes; i-- > 0;) {
    blob[at++] = static_cast<std::byte>(size >> (8 * i));
  }
}

}  // namespace holdfast::qemu_virt
