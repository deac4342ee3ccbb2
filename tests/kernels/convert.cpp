#include <bit>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/levels.hpp"
#include "support/random_values.hpp"
#include "support/storage_formats.hpp"

using namespace sbora_tests;
using sbora::bf16;
using sbora::f16;
using sbora::isa;

namespace {

constexpr std::uint64_t seed = 106;

template <class Storage>
void widen(isa level, const Storage* from, float* to, index_t count) {
  const auto& kernels = sbora::detail::get_kernels<sbora::detail::conversion_kernels<float>>(level);
  if constexpr (std::is_same_v<Storage, bf16>) kernels.widen_bf16(from, to, count);
  else kernels.widen_f16(from, to, count);
}

template <class Storage>
void narrow(isa level, const float* from, Storage* to, index_t count) {
  const auto& kernels = sbora::detail::get_kernels<sbora::detail::conversion_kernels<float>>(level);
  if constexpr (std::is_same_v<Storage, bf16>) kernels.narrow_bf16(from, to, count);
  else kernels.narrow_f16(from, to, count);
}

template <class Storage>
std::string narrowing_failures(isa level, const std::vector<float>& values) {
  std::vector<Storage> actual(values.size()), expected;
  narrow(level, values.data(), actual.data(), static_cast<index_t>(values.size()));
  expected.reserve(values.size());
  for (const float value : values) expected.push_back(narrowed<Storage>(value));
  const std::string found = differing_bits(actual.data(), expected);
  for (std::size_t i = 0; i < values.size() && !found.empty(); ++i) {
    if (actual[i].bits == expected[i].bits) continue;
    return found + ", of float bits " + std::to_string(std::bit_cast<std::uint32_t>(values[i]));
  }
  return found;
}

}  // namespace

TEMPLATE_TEST_CASE("all 65536 stored values widen exactly", "[kernels]", bf16, f16) {
  const isa level = GENERATE(from_range(tested_levels()));
  std::vector<TestType> stored(65536);
  std::vector<float> actual(65536), expected(65536);
  for (std::size_t bits = 0; bits < 65536; ++bits) {
    stored[bits].bits = static_cast<std::uint16_t>(bits);
    expected[bits] = widened(stored[bits]);
  }
  widen(level, stored.data(), actual.data(), 65536);
  INFO(sbora::to_string(level));
  CHECK(differing_bits(actual.data(), expected) == "");

  // And come back as they were, but for signalling NaNs.
  std::vector<TestType> back(65536);
  narrow(level, actual.data(), back.data(), 65536);
  const binary_format format = format_of<TestType>();
  for (TestType& value : stored) {
    const bool is_nan = (value.bits & 0x7FFFU) > format.infinity();
    if (is_nan) value.bits = static_cast<std::uint16_t>(value.bits | 1U << (format.mantissa - 1));
  }
  CHECK(differing_bits(back.data(), stored) == "");
}

TEMPLATE_TEST_CASE("ties, denormals, overflow and NaN narrow as IEEE 754 says", "[kernels]", bf16, f16) {
  const isa level = GENERATE(from_range(tested_levels()));
  // For each sign and exponent, zero, all ones, and runs around a tie at every bit.
  std::vector<float> values;
  for (std::uint32_t head = 0; head < 512; ++head) {
    for (int bit = 0; bit < 24; ++bit) {
      for (const std::uint32_t kept : {0U, 1U, 0x7FFFFFU}) {
        for (const std::uint32_t change : {0U, 1U, ~0U}) {
          const std::uint32_t tie = kept << (bit + 1) | 1U << bit;
          values.push_back(std::bit_cast<float>(head << 23 | ((tie + change) & 0x7FFFFFU)));
        }
      }
    }
    values.push_back(std::bit_cast<float>(head << 23));
    values.push_back(std::bit_cast<float>(head << 23 | 0x7FFFFFU));
  }
  INFO(sbora::to_string(level));
  CHECK(narrowing_failures<TestType>(level, values) == "");
}

TEMPLATE_TEST_CASE("a million random floats narrow to the nearest, ties to even", "[kernels]", bf16, f16) {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  std::vector<float> values(100000);
  for (int round = 0; round < 10; ++round) {
    for (float& value : values) value = random.bits<float>();
    INFO(sbora::to_string(level) << ", round " << round << ", seed " << seed);
    CHECK(narrowing_failures<TestType>(level, values) == "");
  }
}

TEMPLATE_TEST_CASE("conversions of any length stay in their memory", "[kernels]", bf16, f16) {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  std::vector<index_t> lengths = lengths_around<float>(level);
  lengths.push_back(0);
  for (const index_t length : lengths) {
    for (const guard side : both_guards) {
      INFO(sbora::to_string(level) << ", length " << length << ", seed " << seed);
      const guarded_buffer<TestType> stored(length, side), back(length, side);
      const guarded_buffer<float> wide(length, side);
      std::vector<float> expected_wide;
      std::vector<TestType> expected_back;
      for (index_t i = 0; i < length; ++i) {
        stored[i] = random.template bits<TestType>();
        expected_wide.push_back(widened(stored[i]));
        expected_back.push_back(narrowed<TestType>(expected_wide.back()));
      }
      const std::vector<TestType> stored_before = stored.image();
      widen(level, stored.data(), wide.data(), length);
      CHECK(differing_bits(wide, expected_wide) == "");
      narrow(level, wide.data(), back.data(), length);
      CHECK(differing_bits(back, expected_back) == "");
      CHECK(differing_bits(stored, stored_before) == "");
    }
  }
}

TEMPLATE_TEST_CASE("lines in any order decode to their elements, at a stride", "[kernels]", float, bf16, f16) {
  const isa level = GENERATE(from_range(tested_levels()));
  random_values random(seed);
  std::vector<index_t> lengths = lengths_around<float>(level);
  lengths.push_back(131);
  for (const index_t length : lengths) {
    constexpr index_t all = 7;
    const index_t begin = random.below(length), width = length - begin, stride = length + random.below(3);
    const guarded_buffer<TestType> source((all - 1) * stride + length, guard::back);
    for (index_t i = 0; i < source.size(); ++i) source[i] = stored_as<TestType>(random.uniform<float>());
    for (const index_t count : {0, 1, 3, 4, 5, 8, 11}) {
      const index_t out_stride = width + random.below(4);
      std::vector<index_t> lines;
      const guarded_buffer<float> out(count * out_stride, guard::back);
      std::vector<float> expected = out.image();
      for (index_t l = 0; l < count; ++l) {
        lines.push_back(random.below(all));
        for (index_t k = 0; k < width; ++k) {
          expected[static_cast<std::size_t>(l * out_stride + k)] = value_of(source[lines.back() * stride + begin + k]);
        }
      }
      sbora::detail::get_kernels<sbora::detail::decode_kernels<TestType>>(level).decode(
          {{source.data(), stride}, lines.data(), count, begin, length, out.data(), out_stride});
      INFO(sbora::to_string(level) << ", " << count << " lines of " << length << " from " << begin);
      CHECK(differing_bits(out, expected) == "");
    }
  }
}
