// Included once for each of a level's byte_dot, inside its namespace, after byte_sums.inl. No include guard, no
// includes.

/// Few tokens: lines are read once, straight from their codes. First the integers' sums of pieces of as many lines as
/// lanes, each line's in several ints a block; then lines are the lanes.
template <class Storage>
struct byte_stream {
  using v = vec<float>;
  using weight = byte_weight<Storage>;
  using dot = byte_dot<weight::narrow>;
  using code = typename weight::code;
  using row = typename byte_rows<Storage>::row;
  static constexpr index_t group = byte_rows<Storage>::group, line_ints = byte_rows<Storage>::line_ints;

  /// Elements of each line that are multiplied before the next line's, so that lines take turns; tokens at a time.
  static constexpr index_t chunk = 512;
  static constexpr int most_tokens = 4;
  /// How far ahead in each line it is fetched. (Granite Rapids, 4096 wide, beside other work, of a pass that only
  /// reads: 0.86 to 0.98; two chunks 0.75 to 0.82, one 0.7, none 0.55.)
  static constexpr index_t ahead = 4 * chunk;
  /// Tokens whose sums are kept while lines are read.
  static constexpr index_t stream_tokens = 16;

  /// A group's ints for Tokens rows.
  template <int Tokens>
  static SBORA_FORCE_INLINE void dot_group(const byte_lanes (&w)[2], const std::int8_t* x, index_t x_stride,
                                           std::int32_t* dots, index_t dots_stride) noexcept {
    const byte_lanes w0 = dot::ready(w[0]), w1 = dot::ready(w[1]);
    SBORA_UNROLL
    for (int t = 0; t < Tokens; ++t) {
      const std::int8_t* const from = x + t * x_stride;
      const ints half = dot::add(ints::set1(0), w0, load_bytes(from));
      ints::store(dots + t * dots_stride, dot::add(half, w1, load_bytes(from + group / 2)));
    }
  }

  /// One line's codes against Tokens rows, `depth` of each. As many codes are fetched from `coming` on.
  template <int Tokens, class Codes>
  static SBORA_FORCE_INLINE void dot_line(const Codes& integers, const code* codes, const code* coming, index_t depth,
                                          const std::int8_t* x, index_t x_stride, std::int32_t* dots,
                                          index_t dots_stride) noexcept {
    byte_lanes w[2];
    index_t k = 0;
    for (; k + group <= depth; k += group) {
      integers.load(codes + weight::bytes_of(k), w);
      for (index_t at = 0; at < weight::bytes_of(group); at += cache_line_cursor::bytes) {
        __builtin_prefetch(coming + weight::bytes_of(k) + at);
      }
      dot_group<Tokens>(w, x + k, x_stride, dots, dots_stride);
      dots += v::lanes;
    }
    if constexpr (byte_blocks == 4) {
      if (k == depth) return;
      integers.load_half(codes + weight::bytes_of(k), w);
      dot_group<Tokens>(w, x + k, x_stride, dots, dots_stride);
    }
  }

  /// sums, of as many lines as lanes, += their groups' ints with the scales of both; see the beginning. scales: of the
  /// weight's groups, lanes of each.
  static SBORA_NO_INLINE v add_groups(v sums, const std::int32_t* dots, index_t dots_stride, const row& x,
                                      const float* scales, index_t depth) noexcept {
    constexpr int together = byte_blocks < 2 ? 2 : byte_blocks;
    const index_t blocks = depth / byte_block;
    for (index_t b = 0; b < blocks; b += together, dots += together * line_ints) {
      ints of_block[together];
      SBORA_UNROLL
      for (int i = 0; i < together; i += byte_blocks) sum_blocks(dots + i * line_ints, dots_stride, of_block + i);
      SBORA_UNROLL
      for (int i = 0; i < together; i += 2) {
        if (together > 2 && b + i == blocks) break;
        v both = to_float(of_block[i] + ints::set1(x.excesses[b + i])) * v::set1(x.scales[b + i]);
        both = fused_add(to_float(of_block[i + 1] + ints::set1(x.excesses[b + i + 1])), v::set1(x.scales[b + i + 1]),
                         both);
        sums = fused_add(both, v::load(scales), sums);
        scales += v::lanes;
      }
    }
    return sums;
  }

  /// What a piece of as many lines as lanes adds to the sums of some rows.
  struct piece {
    const byte_product_args<Storage>& args;
    index_t line, last_line;  ///< lines beyond the last are the last one again, and their sums are never stored
    index_t k, depth;
    const float* scales;
    index_t coming_lines, coming_k;  ///< how much further that lies which is multiplied next
  };

  template <int Tokens, class Codes>
  static SBORA_NO_INLINE void add_piece(const Codes& integers, const piece& p, index_t token, float* sums) noexcept {
    constexpr index_t stride =
        chunk / byte_block * line_ints + 16;  // lines a power of two apart would share cache sets
    alignas(64) array_of<std::int32_t, Tokens * v::lanes * stride> dots;
    const row x = byte_rows<Storage>::row_at(p.args.rows, token, p.args.depth, p.k);
    const index_t x_stride = byte_row_bytes(p.args.depth);
    for (index_t i = 0; i < v::lanes; ++i) {
      const index_t line = p.line + i < p.last_line ? p.line + i : p.last_line;
      dot_line<Tokens>(integers, weight::at(p.args.rhs, line, p.k),
                       weight::at(p.args.rhs, line + p.coming_lines, p.k + p.coming_k), p.depth, x.codes, x_stride,
                       dots + i * stride, v::lanes * stride);
    }
    for (int t = 0; t < Tokens; ++t) {
      const row its = byte_rows<Storage>::row_at(p.args.rows, token + t, p.args.depth, p.k);
      v::store(sums + t * v::lanes,
               add_groups(v::load(sums + t * v::lanes), dots + t * v::lanes * stride, stride, its, p.scales, p.depth));
    }
  }

  static void stream(const byte_product_args<Storage>& a) noexcept {
    const auto integers = weight::integers(a.rhs, a.code_steps, dot::excess);
    alignas(64) array_of<float, stream_tokens * v::lanes> sums;
    alignas(64) array_of<float, byte_scales * v::lanes> scales;
    for (index_t column = a.column_begin; column < a.column_end; column += v::lanes) {
      const index_t last = a.column_end - 1,
                    wide = a.column_end - column < v::lanes ? a.column_end - column : index_t{v::lanes};
      for (index_t token = a.row_begin; token < a.row_end; token += stream_tokens) {
        const index_t tokens = a.row_end - token < stream_tokens ? a.row_end - token : index_t{stream_tokens};
        for (index_t from = 0; from < a.depth; from += byte_panel_depth) {
          const index_t to = a.depth - from < byte_panel_depth ? a.depth : from + byte_panel_depth;
          for (index_t i = 0; i < tokens * v::lanes; ++i) sums[i] = 0;
          byte_sums<Storage>::scales_of(a.rhs, column, last, v::lanes, from, to - from, scales);
          for (index_t k = from; k < to; k += chunk) {
            const index_t depth = to - k < chunk ? to - k : chunk;
            const bool ends = k + ahead >= a.depth;
            const float* const its_scales = scales + (k - from) / byte_group * v::lanes;
            const piece p = {
                a, column, last, k, depth, its_scales, ends ? index_t{v::lanes} : 0, ends ? ahead - a.depth : ahead};
            index_t t = 0;
            for (; t + most_tokens <= tokens; t += most_tokens)
              add_piece<most_tokens>(integers, p, token + t, sums + t * v::lanes);
            for (; t + 2 <= tokens; t += 2) add_piece<2>(integers, p, token + t, sums + t * v::lanes);
            if (t < tokens) add_piece<1>(integers, p, token + t, sums + t * v::lanes);
          }
          byte_sums<Storage>::store(a, token, tokens, column, wide, from, sums, v::lanes);
        }
      }
    }
  }
};
