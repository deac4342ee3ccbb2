// Included once for each of a level's byte_dot, inside its namespace, after byte_sums.inl. No include guard, no
// includes.

/// Many tokens: lines are packed, four neighbours of each column side by side, and columns are the lanes.
template <class Storage>
struct byte_tiles {
  using v = vec<float>;
  using weight = byte_weight<Storage>;
  using dot = byte_dot<weight::narrow>;
  using code = typename weight::code;
  using row = typename byte_rows<Storage>::row;
  static constexpr index_t group = byte_rows<Storage>::group, columns = tile_columns<float>;

  /// Of a tile of many tokens: with tile_vectors of columns, integers' sums and floats' at AVX-512 stay in registers.
  /// (Granite Rapids, 512 tokens, in GFLOP/s: 6 rows 330, 8 rows 320, 12 rows 250.)
  static constexpr int tile_rows = v::lanes == 16 ? 6 : 4;

  /// Of a group, where a block's eight steps of four elements begin in a row's codes.
  static SBORA_FORCE_INLINE index_t first_step(index_t block) noexcept {
    return block / byte_blocks * group + block % byte_blocks * 16;
  }

  /// Lines from `line` on, a tile's columns: panel[step·columns + i], step by step of a block, block by block.
  template <class Codes>
  static SBORA_NO_INLINE void pack_panel(const Codes& integers, const source_of<Storage>& source, index_t line,
                                         index_t last_line, index_t k, index_t depth, float* panel) noexcept {
    for (index_t n = 0; n < columns; n += v::lanes) {
      for (index_t at = 0; at < depth; at += group) {
        v two[2][v::lanes];
        for (index_t i = 0; i < v::lanes; ++i) {
          const index_t from = line + n + i < last_line ? line + n + i : last_line;
          const code* const codes = weight::at(source, from, k + at);
          byte_lanes w[2];
          if constexpr (byte_blocks == 4) {
            if (at + group > depth) integers.load_half(codes, w);
            else integers.load(codes, w);
          } else {
            integers.load(codes, w);
          }
          for (int half = 0; half < 2; ++half) two[half][i] = bits_of(dot::ready(w[half]));
        }
        float* const to = panel + at / 4 * columns + n;
        for (int half = 0; half < 2; ++half) {
          transpose(two[half]);
          for (index_t i = 0; i < v::lanes; ++i) {
            if (at + i / 4 * byte_block >= depth) break;
            v::store(to + (i / 4 * 8 + half * 4 + i % 4) * columns, two[half][i]);
          }
        }
      }
    }
  }

  /// Rows rows from `first` on against a panel; those beyond the last are the last one again.
  template <int Rows>
  static SBORA_NO_INLINE void multiply(const byte_product_args<Storage>& a, index_t first, index_t column, index_t k,
                                       index_t depth, const std::int32_t* panel, const float* scales) noexcept {
    array_of<const std::int8_t*, Rows> x;
    array_of<const float*, Rows> x_scales;
    array_of<const std::int32_t*, Rows> excesses;
    for (index_t i = 0; i < Rows; ++i) {
      const row its = byte_rows<Storage>::row_at(a.rows, first + i < a.row_end ? first + i : a.row_end - 1, a.depth, k);
      x[i] = its.codes;
      x_scales[i] = its.scales;
      excesses[i] = its.excesses;
    }
    array_of<array_of<v, tile_vectors>, Rows> sums, both;
    SBORA_UNROLL
    for (auto& its : sums) {
      SBORA_UNROLL
      for (v& value : its) value = v::zero();
    }
    for (index_t b = 0; b < depth / byte_block; b += 2) {
      for (index_t second = 0; second < 2; ++second) {
        array_of<array_of<ints, tile_vectors>, Rows> total;
        SBORA_UNROLL
        for (int i = 0; i < Rows; ++i) {
          SBORA_UNROLL
          for (int n = 0; n < tile_vectors; ++n) total[i][n] = ints::set1(excesses[i][b + second]);
        }
        for (index_t half = 0; half < 2; ++half) {
          const index_t at = first_step(b + second) + half * (group / 2);
          for (index_t step = 0; step < 4; ++step, panel += columns) {
            byte_lanes w[tile_vectors];
            SBORA_UNROLL
            for (int n = 0; n < tile_vectors; ++n)
              w[n] = load_bytes(reinterpret_cast<const std::int8_t*>(panel + n * v::lanes));
            SBORA_UNROLL
            for (int i = 0; i < Rows; ++i) {
              const byte_lanes four = four_bytes(x[i] + at + 4 * step);
              SBORA_UNROLL
              for (int n = 0; n < tile_vectors; ++n) total[i][n] = dot::add(total[i][n], w[n], four);
            }
          }
        }
        SBORA_UNROLL
        for (int i = 0; i < Rows; ++i) {
          const v scale = v::set1(x_scales[i][b + second]);
          SBORA_UNROLL
          for (int n = 0; n < tile_vectors; ++n) {
            const v value = to_float(total[i][n]);
            both[i][n] = second == 0 ? value * scale : fused_add(value, scale, both[i][n]);
          }
        }
      }
      SBORA_UNROLL
      for (int n = 0; n < tile_vectors; ++n) {
        const v scale = v::load(scales + n * v::lanes);
        SBORA_UNROLL
        for (int i = 0; i < Rows; ++i) sums[i][n] = fused_add(both[i][n], scale, sums[i][n]);
      }
      scales += columns;
    }
    alignas(64) array_of<float, Rows * columns> results;
    for (index_t i = 0; i < Rows; ++i) {
      for (index_t n = 0; n < tile_vectors; ++n) v::store(results + i * columns + n * v::lanes, sums[i][n]);
    }
    const index_t rows = a.row_end - first < Rows ? a.row_end - first : index_t{Rows};
    byte_sums<Storage>::store(a, first, rows, column, a.column_end - column < columns ? a.column_end - column : columns,
                              k, results, columns);
  }

  static void product(const byte_product_args<Storage>& a) noexcept {
    constexpr int few_rows = (tile_rows + 2) / 3, most_rows = (2 * tile_rows + 2) / 3;
    const auto integers = weight::integers(a.rhs, a.code_steps, dot::excess);
    alignas(64) array_of<std::int32_t, byte_panel_depth / 4 * columns> panel;
    alignas(64) array_of<float, byte_scales * columns> scales;
    for (index_t column = a.column_begin; column < a.column_end; column += columns) {
      for (index_t k = 0; k < a.depth; k += byte_panel_depth) {
        const index_t depth = a.depth - k < byte_panel_depth ? a.depth - k : byte_panel_depth;
        pack_panel(integers, a.rhs, column, a.column_end - 1, k, depth, reinterpret_cast<float*>(panel));
        byte_sums<Storage>::scales_of(a.rhs, column, a.column_end - 1, columns, k, depth, scales);
        for (index_t row = a.row_begin; row < a.row_end; row += tile_rows) {
          const index_t rows = a.row_end - row;
          if (rows > most_rows) multiply<tile_rows>(a, row, column, k, depth, panel, scales);
          else if (rows > few_rows) multiply<most_rows>(a, row, column, k, depth, panel, scales);
          else multiply<few_rows>(a, row, column, k, depth, panel, scales);
        }
      }
    }
  }
};
