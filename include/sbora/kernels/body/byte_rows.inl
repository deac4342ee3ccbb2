// Included once for each of a level's byte_dot, inside its namespace, after byte_weights.inl. No include guard, no
// includes.

/// Activations as bytes: see byte_row_bytes. This and the next are classes, so that argument-dependent look-up finds no
/// other level's.
template <class Storage>
struct byte_rows {
  using v = vec<float>;
  using weight = byte_weight<Storage>;
  using dot = byte_dot<weight::narrow>;

  static constexpr index_t group = byte_block * byte_blocks;    ///< whose codes are two vectors
  static constexpr index_t line_ints = v::lanes / byte_blocks;  ///< of a block

  /// A row of activations.
  struct row {
    const std::int8_t* codes;
    const float* scales;
    const std::int32_t* excesses;
  };
  static SBORA_FORCE_INLINE row row_at(const std::byte* rows, index_t t, index_t depth, index_t k) noexcept {
    const std::byte* const from = rows + t * byte_row_bytes(depth);
    const index_t size = byte_row_codes(depth), blocks = size / byte_block;
    const void* const scales = from + size;
    const void* const excesses = from + size + blocks * index_t{sizeof(float)};
    return {reinterpret_cast<const std::int8_t*>(from) + k, static_cast<const float*>(scales) + k / byte_block,
            static_cast<const std::int32_t*>(excesses) + k / byte_block};
  }

  /// One block, as GGUF's Q8_0: with the greatest |x|, codes x·(127 / greatest) to nearest even; greatest / 127, the
  /// scale, is returned. What is so small that this or its inverse isn't a normal number becomes zero; a NaN or an
  /// infinity makes the scale NaN, and so every sum of the row.
  template <class Source>
  static SBORA_FORCE_INLINE float block_to_bytes(const reader<dense_source<Source>, float>& from, index_t k,
                                                 std::int8_t* codes) noexcept {
    ints bits = ints::set1(0);
    SBORA_UNROLL
    for (int i = 0; i < byte_block; i += v::lanes) bits = greater_bits(bits, from.load(0, k + i));
    const std::int32_t greatest = greatest_bits(bits);
    const bool finite = greatest < 0x7F800000;
    float magnitude;
    __builtin_memcpy(&magnitude, &greatest, sizeof magnitude);
    if (!finite || magnitude < 0x1p-119F) {
      for (int i = 0; i < byte_block; ++i) codes[i] = 0;
      return finite ? 0.0F : __builtin_nanf("");
    }
    const v inverse = v::set1(127.0F / magnitude);
    SBORA_UNROLL
    for (int i = 0; i < byte_block; i += v::lanes) store_bytes(codes + i, from.load(0, k + i) * inverse);
    return magnitude / 127.0F;
  }

  /// Of a group's blocks: what the weight's codes have in excess times the sum of the block's, negative.
  static SBORA_FORCE_INLINE void store_excesses(const std::int8_t* codes, std::int32_t* excesses) noexcept {
    if constexpr (dot::excess == 0) {
      for (index_t b = 0; b < byte_blocks; ++b) excesses[b] = 0;
    } else {
      alignas(64) array_of<std::int8_t, group / 2> ones;
      for (std::int8_t& one : ones) one = 1;
      alignas(64) array_of<std::int32_t, v::lanes> sums;
      const ints half = dot::add(ints::set1(0), load_bytes(ones), load_bytes(codes));
      ints::store(sums, dot::add(half, load_bytes(ones), load_bytes(codes + group / 2)));
      for (index_t b = 0; b < byte_blocks; ++b) {
        const std::int32_t* const its = sums + b * line_ints;
        excesses[b] = -dot::excess * (its[0] + its[1] + its[2] + its[3]);
      }
    }
  }

  template <class Source>
  static void rows_to_bytes(const byte_rows_args<Source>& a) noexcept {
    const index_t size = byte_row_codes(a.depth), blocks = a.depth / byte_block;
    for (index_t t = a.begin; t < a.end; ++t) {
      const index_t source_row = a.row_index != nullptr ? a.row_index[t] : t;
      const reader<dense_source<Source>, float> from({a.source, a.row_stride}, source_row, 0);
      std::byte* const to = a.rows + t * byte_row_bytes(a.depth);
      auto* const codes = reinterpret_cast<std::int8_t*>(to);
      void* const after_codes = to + size;
      auto* const scales = static_cast<float*>(after_codes);
      void* const after_scales = scales + size / byte_block;
      auto* const excesses = static_cast<std::int32_t*>(after_scales);
      for (index_t k = 0; k < size; k += group) {
        alignas(64) std::int8_t in_order[group];
        for (index_t b = 0; b < byte_blocks; ++b) {
          std::int8_t* const block = in_order + b * byte_block;
          const index_t at = k / byte_block + b;
          if (at < blocks) {
            scales[at] = block_to_bytes<Source>(from, at * byte_block, block);
          } else {
            for (index_t i = 0; i < byte_block; ++i) block[i] = 0;
            scales[at] = 0;
          }
        }
        if constexpr (weight::narrow) by_parity(in_order, codes + k);
        else by_halves(in_order, codes + k);
        store_excesses(codes + k, excesses + k / byte_block);
      }
    }
  }
};
