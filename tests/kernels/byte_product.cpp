// Activations as bytes against codes at every level: the bits of their definition, in integers and single operations.

#include <cmath>
#include <string>
#include <vector>

#include <sbora/weights/codebooks.hpp>
#include <sbora/weights/dynamic_map.hpp>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/storage_formats.hpp"

using namespace sbora_tests;
using sbora::bf16;
using sbora::isa;
using sbora::detail::byte_kernels;
using sbora::detail::four_bit;
using sbora::detail::int8;

namespace {

constexpr std::uint64_t seed = 141;

/// Levels whose bytes are products of their own: avx512_bf16 too.
std::vector<isa> byte_levels() {
  std::vector<isa> levels = tested_levels();
  if (std::getenv("SBORA_FORCE_ISA") == nullptr && sbora::is_supported(isa::avx512_bf16)) {
    levels.push_back(isa::avx512_bf16);
  }
  return levels;
}

template <class Storage>
struct weight_case;

template <>
struct weight_case<four_bit> {
  static constexpr float steps = 64;
  index_t lines, length;
  int block_shift;
  guarded_buffer<std::uint8_t> codes;
  guarded_buffer<float> absmax;
  guarded_buffer<std::uint8_t> absmax_codes;
  bool nested;

  weight_case(index_t lines_, index_t length_, guard side, random_values& random)
      : lines(lines_),
        length(length_),
        block_shift(random.coin() ? 6 : 6 + static_cast<int>(random.below(7))),
        codes(lines * length / 2, side),
        absmax(blocks(), side),
        absmax_codes(blocks(), side),
        nested(random.coin()) {
    for (index_t i = 0; i < codes.size(); ++i) codes[i] = random.bits<std::uint8_t>();
    for (index_t i = 0; i < blocks(); ++i) {
      absmax[i] = random.uniform<float>() + 1.5F;
      absmax_codes[i] = random.bits<std::uint8_t>();
    }
  }
  index_t blocks() const { return ((lines * length - 1) >> block_shift) + 1; }
  sbora::detail::four_bit_source source() const {
    return {codes.data(),
            sbora::detail::nf4_codebook.value.data(),
            length,
            block_shift,
            absmax.data(),
            nested ? absmax_codes.data() : nullptr,
            sbora::detail::signed_dynamic_map.data(),
            0.5F};
  }
  int integer(index_t line, index_t k) const {
    const index_t e = line * length + k;
    const int code = e % 2 == 0 ? codes[e / 2] >> 4 : codes[e / 2] & 15;
    return static_cast<int>(std::nearbyint(sbora::detail::nf4_codebook.value[static_cast<std::size_t>(code)] * steps));
  }
  float scale(index_t line, index_t k) const {
    const index_t block = (line * length + k) >> block_shift;
    if (!nested) return absmax[block];
    volatile float product = sbora::detail::signed_dynamic_map[absmax_codes[block]] * absmax[block / 256];
    return product + 0.5F;
  }
};

template <>
struct weight_case<int8> {
  static constexpr float steps = 1;
  index_t lines, length, stride;
  guarded_buffer<std::int8_t> codes;
  guarded_buffer<float> absmax;

  weight_case(index_t lines_, index_t length_, guard side, random_values& random)
      : lines(lines_),
        length(length_),
        stride(length + random.below(3)),
        codes((lines - 1) * stride + length, side),
        absmax(lines, side) {
    for (index_t i = 0; i < codes.size(); ++i) codes[i] = random.bits<std::int8_t>();  // -128 too
    for (index_t i = 0; i < lines; ++i) absmax[i] = random.uniform<float>() + 1.5F;
  }
  sbora::detail::int8_source source() const { return {codes.data(), stride, absmax.data()}; }
  int integer(index_t line, index_t k) const { return codes[line * stride + k]; }
  float scale(index_t line, index_t) const { return absmax[line]; }
};

/// A block of 32 by the definition.
struct byte_block {
  int code[32];
  float scale;

  explicit byte_block(const float* x) {
    float greatest = 0;
    bool finite = true;
    for (int i = 0; i < 32; ++i) {
      finite = finite && std::isfinite(x[i]);
      greatest = std::max(greatest, std::fabs(x[i]));
    }
    const bool small = greatest < 0x1p-119F;
    volatile float inverse = 127 / greatest;
    for (int i = 0; i < 32; ++i) {
      volatile float scaled = x[i] * inverse;
      code[i] = finite && !small ? static_cast<int>(std::nearbyint(scaled)) : 0;
    }
    scale = !finite ? std::numeric_limits<float>::quiet_NaN() : small ? 0 : greatest / 127;
  }
};

template <class Storage>
struct product_case {
  isa level;
  index_t rows, depth, columns;
  weight_case<Storage> weight;
  guarded_matrix<float> left;
  guarded_matrix<float> out;
  guarded_buffer<float> bias;
  guarded_buffer<std::byte> bytes;
  float alpha;
  bool with_bias, accumulate;

  product_case(isa level_, index_t rows_, index_t depth_, index_t columns_, guard side, random_values& random)
      : level(level_),
        rows(rows_),
        depth(depth_),
        columns(columns_),
        weight(columns, depth, side, random),
        left(rows, depth, depth + random.below(3), side),
        out(rows, columns, columns + random.below(3), side),
        bias(columns, side),
        bytes(rows * sbora::detail::byte_row_bytes(depth), side),
        alpha(random.coin() ? 1 : random.uniform<float>()),
        with_bias(random.coin()),
        accumulate(random.coin()) {
    left.fill([&] { return random.uniform<float>() * (random.below(50) == 0 ? 20.0F : 1.0F); });
    out.fill([&] { return random.uniform<float>(); });
    for (index_t n = 0; n < columns; ++n) bias[n] = random.uniform<float>();
  }

  const byte_kernels<Storage>& kernels() const { return *sbora::detail::find_kernels<byte_kernels<Storage>>(level); }
  void round_rows() const {
    kernels().rows_of_f32({left.data(), left.stride(), nullptr, depth, bytes.data(), 0, rows});
  }
  void run(void (*kernel)(const sbora::detail::byte_product_args<Storage>&) noexcept, index_t begin,
           index_t end) const {
    kernel({bytes.data(), depth, weight.source(), weight.steps, out.data(), out.stride(), alpha,
            with_bias ? bias.data() : nullptr, accumulate, 0, rows, begin, end});
  }

  /// What `out` has to hold afterwards, gaps included.
  std::vector<float> expected() const {
    std::vector<float> all = out.memory().image();
    for (index_t t = 0; t < rows; ++t) {
      std::vector<byte_block> blocks;
      for (index_t k = 0; k < depth; k += 32) blocks.emplace_back(&left(t, k));
      for (index_t n = 0; n < columns; ++n) {
        float& result = all[static_cast<std::size_t>(t * out.stride() + n)];
        if (!accumulate) result = with_bias ? bias[n] : 0;
        for (index_t from = 0; from < depth; from += 4096) {
          float sum = 0;
          for (index_t k = from; k < std::min(depth, from + 4096); k += 64) {
            float both = 0;
            for (index_t b = 0; b < 2; ++b) {
              const byte_block& x = blocks[static_cast<std::size_t>(k / 32 + b)];
              std::int64_t dot = 0;
              for (index_t i = 0; i < 32; ++i) {
                dot += std::int64_t{x.code[i]} * weight.integer(n, k + 32 * b + i);
              }
              both = b == 0 ? static_cast<float>(dot) * x.scale : std::fma(static_cast<float>(dot), x.scale, both);
            }
            sum = std::fma(both, weight.scale(n, k), sum);
          }
          volatile float scaled = sum * alpha;
          result += scaled;
        }
      }
    }
    return all;
  }

  std::string text() const {
    return std::string(sbora::to_string(level)) + ", " + std::to_string(rows) + " x " + std::to_string(depth) + " x " +
           std::to_string(columns) + ", seed " + std::to_string(seed);
  }
};

}  // namespace

TEMPLATE_TEST_CASE("products of bytes have the bits of their definition", "[kernels]", four_bit, int8) {
  const isa level = GENERATE(from_range(byte_levels()));
  random_values random(seed);
  for (const index_t depth : {64, 128, 192, 576, 4096 + 192}) {
    for (const index_t columns : {1, 7, 16, 33, 70}) {
      if (depth > 4096 && columns > 33) continue;  // takes long
      for (const index_t rows : {1, 2, 3, 5, 13, 18}) {
        const guard side = random.coin() ? guard::front : guard::back;
        product_case<TestType> c(level, rows, depth, columns, side, random);
        INFO(c.text());
        const std::vector<float> before = c.out.memory().image(), expected = c.expected();
        c.round_rows();
        CHECK(c.bytes.intact());
        c.run(c.kernels().stream, 0, columns);
        CHECK(differing_bits(c.out.memory(), expected) == "");
        if (c.kernels().product == nullptr) continue;
        c.out.memory().assign(before);
        c.run(c.kernels().product, 0, columns);
        CHECK(differing_bits(c.out.memory(), expected) == "");
        // And wherever columns are cut.
        c.out.memory().assign(before);
        const index_t cut = random.below(columns);
        c.run(c.kernels().stream, 0, cut);
        c.run(c.kernels().product, cut, columns);
        CHECK(differing_bits(c.out.memory(), expected) == "");
      }
    }
  }
}

TEMPLATE_TEST_CASE("rows become bytes by index, and of bf16", "[kernels]", four_bit, int8) {
  const isa level = GENERATE(from_range(byte_levels()));
  random_values random(seed + 1);
  product_case<TestType> c(level, 5, 192, 9, guard::back, random);
  INFO(c.text());
  c.left.fill([&] { return value_of(stored_as<bf16>(random.uniform<float>())); });
  c.round_rows();
  const std::vector<std::byte> expected = c.bytes.image();
  const guarded_matrix<bf16> halves(5, 192, 195, guard::back);
  for (index_t t = 0; t < 5; ++t) {
    for (index_t k = 0; k < 192; ++k) halves(4 - t, k) = stored_as<bf16>(c.left(t, k));
  }
  const index_t reversed[] = {4, 3, 2, 1, 0};
  const guarded_buffer<std::byte> bytes(c.bytes.size(), guard::back);
  c.kernels().rows_of_bf16({halves.data(), halves.stride(), reversed, 192, bytes.data(), 0, 5});
  // A row's slack is left as it was, in both.
  CHECK(differing_bits(bytes, expected) == "");
}

TEMPLATE_TEST_CASE("values that bytes can't hold", "[kernels]", four_bit, int8) {
  const isa level = GENERATE(from_range(byte_levels()));
  random_values random(seed + 2);
  product_case<TestType> c(level, 6, 128, 20, guard::back, random);
  INFO(c.text());
  c.accumulate = false;
  for (index_t k = 0; k < 128; ++k) {
    c.left(1, k) = 0x1p-130F;  // zero
    c.left(2, k) = 3e38F * random.uniform<float>();
    c.left(5, k) = k < 32 ? 0x1p-118F : 0;
  }
  c.left(3, 77) = std::numeric_limits<float>::infinity();
  c.left(4, 5) = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> expected = c.expected();
  c.round_rows();
  for (const auto kernel : {c.kernels().stream, c.kernels().product}) {
    if (kernel == nullptr) continue;
    c.run(kernel, 0, 20);
    for (index_t n = 0; n < 20; ++n) {
      CHECK(std::isnan(c.out(3, n)));
      CHECK(std::isnan(c.out(4, n)));
      for (const index_t t : {0, 1, 2, 5}) {
        const float is = c.out(t, n), should = expected[static_cast<std::size_t>(t * c.out.stride() + n)];
        if (std::memcmp(&is, &should, sizeof is) != 0) FAIL_CHECK(t << ", " << n << ": " << is << " for " << should);
      }
    }
  }
}
