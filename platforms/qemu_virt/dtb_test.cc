// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/dtb.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace holdfast::qemu_virt {
namespace {

// Writes a blob as the specification says (Devicetree Specification 0.4, ch.
// 5).
class Writer {
 public:
  void Begin(const std::string& name) {
    Word(1);
    Text(name);
  }
  void End() { Word(2); }
  void Property(const std::string& name, const std::vector<uint32_t>& cells) {
    Word(3);
    Word(static_cast<uint32_t>(cells.size() * 4));
    Word(NameOffset(name));
    for (const uint32_t cell : cells) Word(cell);
  }
  void Property(const std::string& name, const std::string& text) {
    Word(3);
    Word(static_cast<uint32_t>(text.size() + 1));
    Word(NameOffset(name));
    Text(text);
  }

  std::vector<std::byte> Finish() {
    Word(9);
    const uint32_t structure_size = static_cast<uint32_t>(structure_.size());
    const uint32_t strings_size = static_cast<uint32_t>(strings_.size());
    const uint32_t total = 40 + 16 + structure_size + strings_size;
    std::string blob;
    for (const uint32_t word :
         {0xd00dfeedu, total, 56u, 56 + structure_size, 40u, 17u, 16u, 0u,
          strings_size, structure_size}) {
      Put(blob, word);
    }
    blob.append(16, '\0');  // no memory reservations
    blob += structure_ + strings_;
    const auto* const bytes = reinterpret_cast<const std::byte*>(blob.data());
    return {bytes, bytes + blob.size()};
  }

 private:
  static void Put(std::string& to, uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8)
      to += static_cast<char>(word >> shift);
  }
  void Word(uint32_t word) { Put(structure_, word); }
  void Text(const std::string& text) {
    structure_ += text;
    do {
      structure_ += '\0';
    } while (structure_.size() % 4 != 0);
  }
  uint32_t NameOffset(const std::string& name) {
    const auto offset = static_cast<uint32_t>(strings_.size());
    strings_ += name;
    strings_ += '\0';
    return offset;
  }

  std::string structure_, strings_;
};

std::vector<std::byte> Board() {
  Writer writer;
  writer.Begin("");
  writer.Property("#address-cells", std::vector<uint32_t>{2});
  writer.Property("#size-cells", std::vector<uint32_t>{2});
  writer.Begin("chosen");
  writer.Property("bootargs", "console=ttyAMA0 quiet");
  writer.Property("rng-seed", std::vector<uint32_t>{0x01020304, 0x05060708});
  writer.Property("linux,initrd-start", std::vector<uint32_t>{0x48000000});
  writer.Property("linux,initrd-end", std::vector<uint32_t>{0, 0x48100000});
  writer.End();
  writer.Begin("cpus");
  writer.Property("#address-cells", std::vector<uint32_t>{1});
  writer.Property("#size-cells", std::vector<uint32_t>{0});
  for (const uint32_t id : {0u, 1u, 0x100u}) {
    writer.Begin("cpu@" + std::to_string(id));
    writer.Property("reg", std::vector<uint32_t>{id});
    writer.End();
  }
  writer.Begin("cpu-map");  // not a CPU
  writer.Property("reg", std::vector<uint32_t>{7});
  writer.End();
  writer.End();
  writer.Begin("memory@40000000");
  writer.Property("reg", std::vector<uint32_t>{0, 0x40000000, 1, 0x80000000});
  writer.End();
  writer.Begin("memory-controller@9000000");  // no memory
  writer.Property("reg", std::vector<uint32_t>{0, 0x9000000, 0, 0x1000});
  writer.End();
  writer.End();
  return writer.Finish();
}

TEST(Dtb, ReadsWhatTheBoardNeeds) {
  const std::vector<std::byte> blob = Board();
  ASSERT_EQ(DtbSize(blob), blob.size());
  const std::optional<DtbInfo> info = ReadDtb(blob);
  ASSERT_TRUE(info.has_value());
  ASSERT_EQ(info->memories, 1u);
  EXPECT_EQ(info->memory[0].base, 0x40000000u);
  EXPECT_EQ(info->memory[0].size, 0x180000000u);
  ASSERT_EQ(info->cpus, 3u);
  EXPECT_EQ(info->cpu_ids[2], 0x100u);
  EXPECT_EQ(info->bootargs, "console=ttyAMA0 quiet");
  EXPECT_EQ(info->initrd_start, 0x48000000u);
  EXPECT_EQ(info->initrd_end, 0x48100000u);
  ASSERT_EQ(info->rng_seed.size, 8u);
  for (uint32_t i = 0; i < 8; ++i)
    EXPECT_EQ(blob[info->rng_seed.offset + i], std::byte(i + 1));
}

TEST(Dtb, MemoryIsRewrittenInPlace) {
  std::vector<std::byte> blob = Board();
  const std::optional<DtbInfo> before = ReadDtb(blob);
  ASSERT_TRUE(before.has_value());
  WriteRange(blob, before->memory[0], 0x40400000, 0x3f200000);
  const std::optional<DtbInfo> after = ReadDtb(blob);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->memory[0].base, 0x40400000u);
  EXPECT_EQ(after->memory[0].size, 0x3f200000u);
  // Nothing else changed.
  WriteRange(blob, before->memory[0], before->memory[0].base,
             before->memory[0].size);
  EXPECT_EQ(blob, Board());
}

TEST(Dtb, RefusesWhatIsNone) {
  EXPECT_FALSE(DtbSize({}).has_value());
  std::vector<std::byte> blob = Board();
  EXPECT_FALSE(DtbSize(std::span(blob).first(39)).has_value());
  blob[0] = std::byte{0};
  EXPECT_FALSE(DtbSize(blob).has_value());
  EXPECT_FALSE(ReadDtb(blob).has_value());
}

TEST(Dtb, RefusesMemoryThatWrapsRound) {
  Writer writer;
  writer.Begin("");
  writer.Property("#address-cells", std::vector<uint32_t>{2});
  writer.Property("#size-cells", std::vector<uint32_t>{2});
  writer.Begin("memory");
  writer.Property("reg",
                  std::vector<uint32_t>{0xffffffff, 0xfffff000, 0, 0x2000});
  writer.End();
  writer.End();
  EXPECT_FALSE(ReadDtb(writer.Finish()).has_value());
}

TEST(Dtb, RefusesTooDeepANest) {
  Writer writer;
  for (int i = 0; i < 17; ++i) writer.Begin("n");
  for (int i = 0; i < 17; ++i) writer.End();
  EXPECT_FALSE(ReadDtb(writer.Finish()).has_value());
}

// Each copy is as long as it says, so that a sanitizer sees any access outside.
TEST(Dtb, AnyPrefixIsHarmless) {
  const std::vector<std::byte> blob = Board();
  for (size_t size = 0; size < blob.size(); ++size) {
    const std::vector<std::byte> prefix(
        blob.begin(), blob.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(ReadDtb(prefix).has_value());
  }
}

TEST(Dtb, AnyDamageIsHarmless) {
  const std::vector<std::byte> blob = Board();
  std::mt19937 random(1);
  for (int round = 0; round < 50'000; ++round) {
    std::vector<std::byte> damaged = blob;
    const unsigned changes = 1 + random() % 4;
    for (unsigned i = 0; i < changes; ++i) {
      static constexpr uint8_t kValues[] = {0, 1, 3, 9, 0x7f, 0x80, 0xff};
      damaged[random() % damaged.size()] =
          std::byte{kValues[random() % sizeof(kValues)]};
    }
    const std::optional<DtbInfo> info = ReadDtb(damaged);
    if (!info) continue;
    // What it found is inside the blob.
    for (size_t i = 0; i < info->memories; ++i) {
      const DtbRange& range = info->memory[i];
      EXPECT_LE(range.offset + range.base_bytes + range.size_bytes,
                damaged.size());
    }
  }
}

}  // namespace
}  // namespace holdfast::qemu_virt
