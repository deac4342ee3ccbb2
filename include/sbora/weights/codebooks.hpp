#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <sbora/core/abi.hpp>

/// The 4-bit formats of bitsandbytes, by bits: decimal literals round to other floats in four places.
namespace sbora::inline SBORA_ABI::detail {

template <std::size_t Count>
constexpr std::array<float, Count> floats_of_bits(const std::array<std::uint32_t, Count>& bits) {
  std::array<float, Count> values{};
  for (std::size_t i = 0; i < Count; ++i) values[i] = std::bit_cast<float>(bits[i]);
  return values;
}

/// Decoding: value[code]. Encoding x in [-1, 1]: code[number of boundaries below x]; a tie takes the lower.
struct four_bit_codebook {
  std::array<float, 16> value;
  std::array<float, 15> boundary;
  std::array<std::uint8_t, 16> code;
};

/// Quantiles of the normal distribution. Source: QLoRA, arXiv 2305.14314.
inline constexpr four_bit_codebook nf4_codebook = {
    floats_of_bits<16>({0xBF800000, 0xBF3239B1, 0xBF066B30, 0xBECA32A0, 0xBE91A24D, 0xBE3D353F, 0xBDBA7871, 0x00000000,
                        0x3DA2FAFF, 0x3E24CAE3, 0x3E7C04DD, 0x3EAD033A, 0x3EE1A4B8, 0x3F1007AB, 0x3F3913B3,
                        0x3F800000}),
    floats_of_bits<15>({0xBF591CD8, 0xBF1C5270, 0xBEEB8480, 0xBEADEA76, 0xBE703CEC, 0xBE0D38BC, 0xBD3A7871, 0x3D22FAFF,
                        0x3DF64862, 0x3E5067E0, 0x3E9582D4, 0x3EC753F9, 0x3F006D04, 0x3F248DAF, 0x3F5C89DA}),
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};

/// Sign, two bits of exponent, one of mantissa, over 12. Two codes are zero; 8 is what (0, 1/384] becomes.
inline constexpr four_bit_codebook fp4_codebook = {
    floats_of_bits<16>({0x00000000, 0x3BAAAAAB, 0x3F2AAAAB, 0x3F800000, 0x3EAAAAAB, 0x3F000000, 0x3E2AAAAB, 0x3E800000,
                        0x00000000, 0xBBAAAAAB, 0xBF2AAAAB, 0xBF800000, 0xBEAAAAAB, 0xBF000000, 0xBE2AAAAB,
                        0xBE800000}),
    floats_of_bits<15>({0xBF555556, 0xBF155556, 0xBED55556, 0xBE955556, 0xBE555556, 0xBDB00000, 0xBB2AAAAB, 0x00000000,
                        0x3B2AAAAB, 0x3DB00000, 0x3E555556, 0x3E955556, 0x3ED55556, 0x3F155556, 0x3F555556}),
    {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3}};

}  // namespace sbora::inline SBORA_ABI::detail
