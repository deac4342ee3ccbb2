#include "peers.hpp"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

/// What the core can do. Multiply-adds on registers alone: 24 independent sums hide the latency of any of
/// today's cores where there are 32 registers, 12 where there are 16.
namespace {

#if defined(__AVX512F__)
constexpr int width = 16, sums = 24;
#elif defined(__AVX__)
constexpr int width = 8, sums = 12;
#else
constexpr int width = 4, sums = 12;
#endif
using vector = float __attribute__((vector_size(width * 4)));
constexpr std::ptrdiff_t rounds = 4096;

}  // namespace

extern "C" {

std::uint64_t read_words(const std::uint64_t* words, std::size_t count) {
  // Eight streams at a time, a page each, as a product reads eight rows: one stream alone reaches 0.7 of
  // this (Zen 3), since the hardware's prefetcher starts anew in every page.
  using words32 = std::uint64_t __attribute__((vector_size(32), aligned(32), may_alias));
  constexpr std::size_t page = 128;  // vectors
  const auto* const vectors = reinterpret_cast<const words32*>(words);
  words32 sum[8] = {};
  for (std::size_t from = 0; from < count / 4; from += 8 * page) {
    for (std::size_t i = from; i < from + page; i += 2) {
#pragma GCC unroll 8
      for (std::size_t stream = 0; stream < 8; ++stream) {
        sum[stream] += vectors[i + stream * page] + vectors[i + stream * page + 1];
      }
    }
  }
  words32 all{};
#pragma GCC unroll 8
  for (const words32& part : sum) all += part;
  return all[0] + all[1] + all[2] + all[3];
}

void touch_columns(float* w, const std::ptrdiff_t* columns, std::ptrdiff_t d_out, std::ptrdiff_t d_in,
                   std::ptrdiff_t rank) {
  for (std::ptrdiff_t row = 0; row + 4 <= d_out; row += 4) {
    float* const rows = w + row * d_in;
    for (std::ptrdiff_t j = 0; j < rank; ++j) {
      const std::ptrdiff_t ahead = j + 12 < rank ? columns[j + 12] : 4 * d_in + columns[(j + 12) % rank];
#pragma GCC unroll 4
      for (std::ptrdiff_t q = 0; q < 4; ++q) __builtin_prefetch(rows + q * d_in + ahead);
#pragma GCC unroll 4
      for (std::ptrdiff_t q = 0; q < 4; ++q) rows[q * d_in + columns[j]] += 0.0F;
    }
  }
}

double peak_f32() {
  vector sum[sums];
#pragma GCC unroll 24
  for (int i = 0; i < sums; ++i) sum[i] = vector{} + static_cast<float>(i);
  vector a = vector{} + 1.0F, b = vector{} + 1e-9F;
  __asm__ volatile("" : "+x"(a), "+x"(b));
  for (std::ptrdiff_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < sums; ++i) {
      sum[i] = sum[i] * a + b;
#if defined(__AVX512F__)
      __asm__ volatile("" : "+v"(sum[i]));
#else
      __asm__ volatile("" : "+x"(sum[i]));
#endif
    }
  }
  vector all{};
#pragma GCC unroll 24
  for (int i = 0; i < sums; ++i) all += sum[i];
  volatile float sink = all[0];
  static_cast<void>(sink);
  return 2.0 * width * sums * static_cast<double>(rounds);
}

double peak_bf16() {
#if defined(__AVX512BF16__)
  __m512 sum[sums];
#pragma GCC unroll 24
  for (int i = 0; i < sums; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512i bits = _mm512_set1_epi16(0x3F80);
  __asm__ volatile("" : "+v"(bits));
  const auto ones = reinterpret_cast<__m512bh&>(bits);
  for (std::ptrdiff_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < sums; ++i) {
      sum[i] = _mm512_dpbf16_ps(sum[i], ones, ones);
      __asm__ volatile("" : "+v"(sum[i]));
    }
  }
  __m512 all = _mm512_setzero_ps();
#pragma GCC unroll 24
  for (int i = 0; i < sums; ++i) all = _mm512_add_ps(all, sum[i]);
  volatile float sink = _mm512_cvtss_f32(all);
  static_cast<void>(sink);
  return 4.0 * 16 * sums * static_cast<double>(rounds);
#else
  return 0;
#endif
}

}  // extern "C"
