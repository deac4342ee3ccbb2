// Included once, inside the namespace of the avx512_amx level and its region. No include guard, no includes.
//
// bf16 by bf16 in tiles of 16 rows of 64 bytes: tdpbf16ps adds the products of 16 rows with 16 columns over 32 k to
// float sums. It flushes denormals; within a tile's 32 k it adds the even k and the odd k by themselves, fused and to
// nearest even, then both together and that to the sum. Two by two tiles of sums: 32 rows by tile_columns. (Granite
// Rapids, one core: 3.8 TFLOP/s, with both operands loaded from the L1 cache 3.3; AVX-512 0.25 in f32, 0.12 in pairs.)

inline constexpr index_t amx_rows = 32;   // of a strip
inline constexpr index_t amx_depth = 32;  // of a tile, to a multiple of which the depth is padded by zeros
inline constexpr index_t amx_pairs = amx_depth / 2;
inline constexpr index_t amx_tile = 16 * amx_pairs;  // pairs in one

constexpr index_t amx_pair_count(index_t depth) noexcept { return ceil_div(depth, amx_depth) * amx_pairs; }

/// Blocks of the depth; and panels that one strip's block, which comes from a distant cache, is multiplied with: 256
/// KiB of panels in the L2 cache.
constexpr index_t amx_block_depth(bool depth_along_lines) noexcept { return depth_along_lines ? 1024 : 512; }
inline constexpr index_t amx_panels = 4;

/// Sixteen rows of up to 32 k that are contiguous in k.
SBORA_FORCE_INLINE void pack_tile_rows(const pack_args<bf16_pair, bf16>& a, index_t first, index_t k, index_t depth,
                                       bf16_pair* out) noexcept {
  const auto kept = __mmask32{depth < amx_depth ? (1U << depth) - 1U : ~0U};
  for (index_t i = 0; i < 16; ++i) {
    __m512i values = _mm512_setzero_si512();
    if (first + i < a.rows) {
      const index_t row = a.row_index != nullptr ? a.row_index[first + i] : first + i;
      values = _mm512_maskz_loadu_epi16(kept, a.source + row * a.row_stride + k);
    }
    _mm512_storeu_si512(out + i * amx_pairs, values);
  }
}

/// The same of an operand that lies transposed: sixteen rows are contiguous for each k.
SBORA_FORCE_INLINE void pack_tile_columns(const pack_args<bf16_pair, bf16>& a, index_t first, index_t k, index_t depth,
                                          bf16_pair* out) noexcept {
  const index_t rows = a.rows - first;
  const auto kept = static_cast<__mmask16>(rows < 16 ? (1U << (rows > 0 ? rows : 0)) - 1U : ~0U);
  vec<float> block[16];
  for (index_t pair = 0; pair < amx_pairs; ++pair) {
    const bf16* const from = a.source + (k + 2 * pair) * a.depth_stride + first;
    __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
    if (2 * pair < depth) low = _mm256_maskz_loadu_epi16(kept, from);
    if (2 * pair + 1 < depth) high = _mm256_maskz_loadu_epi16(kept, from + a.depth_stride);
    block[pair].v = _mm512_castsi512_ps(
        _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16)));
  }
  transpose(block);
  for (index_t i = 0; i < 16; ++i) _mm512_storeu_si512(out + i * amx_pairs, _mm512_castps_si512(block[i].v));
}

/// And of any strides.
SBORA_FORCE_INLINE void pack_tile(const pack_args<bf16_pair, bf16>& a, index_t first, index_t k, index_t depth,
                                  bf16_pair* out) noexcept {
  for (index_t i = 0; i < 16; ++i) {
    const bool is_there = first + i < a.rows;
    const index_t row = is_there && a.row_index != nullptr ? a.row_index[first + i] : first + i;
    const bf16* const from = a.source + row * a.row_stride + k * a.depth_stride;
    for (index_t pair = 0; pair < amx_pairs; ++pair) {
      const std::uint32_t low = is_there && 2 * pair < depth ? from[2 * pair * a.depth_stride].bits : 0U;
      const std::uint32_t high = is_there && 2 * pair + 1 < depth ? from[(2 * pair + 1) * a.depth_stride].bits : 0U;
      out[i * amx_pairs + pair] = low | high << 16;
    }
  }
}

/// The left operand as tiles, in strips and blocks as pack has them: for every 32 k of a strip, the first 16 rows and
/// then the others.
inline void pack_tiles(const pack_args<bf16_pair, bf16>& a) noexcept {
  const index_t strips = ceil_div(a.rows, amx_rows), block_depth = amx_block_depth(a.depth_along_lines);
  for (index_t strip = a.strip_begin; strip < a.strip_end; ++strip) {
    for (index_t k0 = 0; k0 < a.depth; k0 += block_depth) {
      const index_t block = a.depth - k0 < block_depth ? a.depth - k0 : block_depth;
      bf16_pair* out = a.packed + (strips * amx_pair_count(k0) + strip * amx_pair_count(block)) * amx_rows;
      for (index_t k = 0; k < block; k += amx_depth) {
        const index_t depth = block - k < amx_depth ? block - k : amx_depth;
        for (index_t first = strip * amx_rows; first < (strip + 1) * amx_rows; first += 16, out += amx_tile) {
          if (a.depth_stride == 1) pack_tile_rows(a, first, k0 + k, depth, out);
          else if (a.row_stride == 1 && a.row_index == nullptr) pack_tile_columns(a, first, k0 + k, depth, out);
          else pack_tile(a, first, k0 + k, depth, out);
        }
      }
    }
  }
}

/// As ldtilecfg takes it: all eight tiles whole. Not a local: GCC's intrinsic names 8 of the 64 bytes that it reads.
struct tile_shapes {
  alignas(64) std::uint8_t palette = 1;
  std::uint8_t start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

inline constexpr tile_shapes whole_tiles;

/// The compiler's intrinsics don't say that they read and write memory.
SBORA_FORCE_INLINE void memory_is_used() noexcept { __asm__ volatile("" ::: "memory"); }

/// tile_product of tiles.
struct amx_product {
  using product = amx_product;
  static constexpr int rows = amx_rows;

  template <int Rows>
  static void multiply(const bf16_pair* strip, const bf16_pair* panel, index_t depth, const tile_fetch& fetch,
                       const tile_result<float>& result) noexcept {
    constexpr index_t columns = tile_columns<float>, row_bytes = columns * index_t{sizeof(float)};
    constexpr bool both = Rows > 16;
    static_assert(columns == 32);
    static_assert(slice_steps == amx_pairs, "product_by counts on a fetch for every slice");
    alignas(64) array_of<float, (both ? 32 : 16) * columns> sums;
    memory_is_used();
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (both) {
      _tile_zero(2);
      _tile_zero(3);
    }
    for (index_t k = 0; k < depth; k += amx_depth, strip += 2 * amx_tile, panel += amx_pairs * columns) {
      fetch.next.fetch(fetch.lines);
      _tile_loadd(4, panel, row_bytes);
      _tile_loadd(6, strip, 64);
      _tile_loadd(5, panel + 16, row_bytes);
      _tile_dpbf16ps(0, 6, 4);
      _tile_dpbf16ps(1, 6, 5);
      if constexpr (both) {
        _tile_loadd(7, strip + amx_tile, 64);
        _tile_dpbf16ps(2, 7, 4);
        _tile_dpbf16ps(3, 7, 5);
      }
    }
    _tile_stored(0, sums, row_bytes);
    _tile_stored(1, sums + 16, row_bytes);
    if constexpr (both) {
      _tile_stored(2, sums + 16 * columns, row_bytes);
      _tile_stored(3, sums + 16 * columns + 16, row_bytes);
    }
    memory_is_used();
    store_sums<float>(result, sums, both ? 32 : 16, columns);
  }
};

/// How such a product goes through the depth: panels as for pairs, padded.
template <class Storage>
struct amx_steps : amx_product {
  using packed = bf16_pair;
  static constexpr index_t panels = amx_panels;

  static constexpr index_t block_depth(bool depth_along_lines) noexcept { return amx_block_depth(depth_along_lines); }
  static constexpr index_t count(index_t depth) noexcept { return amx_pair_count(depth); }
  static constexpr index_t room = amx_panels * amx_pair_count(amx_block_depth(true)) * tile_columns<float>;

  static void fill(const product_args<Storage, float, bf16_pair>& a, const right_place<Storage, float>& from, index_t k,
                   index_t depth, index_t n, index_t n_valid, bf16_pair* panel) noexcept {
    pair_panels<Storage>::fill(a, from, k, depth, n, n_valid, panel);
    for (index_t i = pair_count(depth) * tile_columns<float>; i < count(depth) * tile_columns<float>; ++i) panel[i] = 0;
  }
};

/// As product_pairs. The tiles are a function's own: nobody else's shapes are relied on, or left behind.
template <class Storage>
void product_tiles(const product_args<Storage, float, bf16_pair>& a) noexcept {
  _tile_loadconfig(&whole_tiles);
  product_by<amx_steps<Storage>>(a);
  _tile_release();
}
