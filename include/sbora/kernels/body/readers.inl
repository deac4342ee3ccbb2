// Included once per level, inside its namespace. No include guard, no includes.
//
// reader(source, line, at) reads vectors of a source's elements. load(i, j) loads those of line `line + i` from element
// at + j on; load_n(i, j, n) loads n of them, the rest zero. fetch(i, j) prefetches their cache line, which holds
// cache_line_elements; it may point past the end.

/// lanes × lanes elements, lines at a stride, transposed.
template <class Storage, class T, std::size_t Lanes>
SBORA_FORCE_INLINE void load_transposed(const Storage* from, index_t stride, vec<T> (&block)[Lanes]) noexcept {
  SBORA_UNROLL
  for (std::size_t i = 0; i < Lanes; ++i) block[i] = vec<T>::load(from + static_cast<index_t>(i) * stride);
  transpose(block);
}

template <class Source, class T>
class reader;

/// What readers share.
template <class Derived, class T>
struct reader_base {
  /// `count` elements of each of `lines` lines, from line i and element j on, to out, `stride` from line to line.
  SBORA_NO_INLINE void decode(index_t i, index_t j, index_t lines, index_t count, T* out,
                              index_t stride) const noexcept {
    const Derived& from = *static_cast<const Derived*>(this);
    for (index_t line = 0; line < lines; ++line) from.decode_line(i + line, j, count, out + line * stride);
  }

  SBORA_FORCE_INLINE void decode_line(index_t i, index_t j, index_t count, T* out) const noexcept {
    using v = vec<T>;
    const Derived& from = *static_cast<const Derived*>(this);
    index_t at = 0;
    for (; at + v::lanes <= count; at += v::lanes) v::store(out + at, from.load(i, j + at));
    if (at < count) v::store_n(out + at, from.load_n(i, j + at, count - at), count - at);
  }
};

template <class Storage, class T>
class reader<dense_source<Storage>, T> : public reader_base<reader<dense_source<Storage>, T>, T> {
 public:
  using v = vec<T>;
  static constexpr index_t cache_line_elements = cache_line_cursor::bytes / static_cast<index_t>(sizeof(Storage));

  SBORA_FORCE_INLINE reader(const dense_source<Storage>& source, index_t line, index_t at) noexcept
      : data_(source.data + line * source.stride + at), stride_(source.stride) {}

  SBORA_FORCE_INLINE v load(index_t i, index_t j) const noexcept { return v::load(data_ + i * stride_ + j); }
  SBORA_FORCE_INLINE v load_n(index_t i, index_t j, index_t n) const noexcept {
    return v::load_n(data_ + i * stride_ + j, n);
  }
  SBORA_FORCE_INLINE void fetch(index_t i, index_t j) const noexcept { __builtin_prefetch(data_ + i * stride_ + j); }
  SBORA_FORCE_INLINE const Storage* data() const noexcept { return data_; }
  SBORA_FORCE_INLINE index_t stride() const noexcept { return stride_; }
  /// The memory of `lines` lines of `length` elements.
  SBORA_FORCE_INLINE cache_line_cursor memory(index_t lines, index_t length) const noexcept {
    constexpr auto size = static_cast<index_t>(sizeof(Storage));
    return {data_, stride_ * size, lines, length * size};
  }

 private:
  const Storage* data_;
  index_t stride_;
};

/// Whether products of few tokens read a storage where it lies. Otherwise it becomes T first, for all tokens: codes;
/// where vectors have one lane, all that isn't T.
template <class Storage, class T>
inline constexpr bool streams_in_place =
    std::is_same_v<source_of<Storage>, dense_source<Storage>> && (vec<T>::lanes > 1 || std::is_same_v<Storage, T>);

/// Bytes between the codes that are multiplied and those that are fetched. (Granite Rapids, AVX2, one token: 2, 4 and 8
/// KiB alike; not fetched 0.43 of the speed.)
inline constexpr index_t stream_codes_ahead = 4096;

template <>
class reader<four_bit_source, float> : public reader_base<reader<four_bit_source, float>, float> {
 public:
  using v = vec<float>;
  static constexpr index_t cache_line_elements = 2 * cache_line_cursor::bytes;

  SBORA_FORCE_INLINE reader(const four_bit_source& source, index_t line, index_t at) noexcept
      : source_(source), table_(source.table), first_(line * source.line_length + at) {}

  SBORA_FORCE_INLINE v load(index_t i, index_t j) const noexcept {
    const index_t element = first_ + i * source_.line_length + j;
    const index_t block_mask = (index_t{1} << source_.block_shift) - 1;
    if (v::lanes == 1 || (element & 1) != 0 || (element & block_mask) + v::lanes > block_mask + 1) {
      return gathered(element, v::lanes);
    }
    return table_.look_up(source_.codes + element / 2) * v::set1(scale(element));
  }
  SBORA_FORCE_INLINE v load_n(index_t i, index_t j, index_t n) const noexcept {
    return gathered(first_ + i * source_.line_length + j, n);
  }
  /// Block by block, each with one look at its scale. (Zen 5, dy·W of one token: 1.8 times.)
  SBORA_FORCE_INLINE void decode_line(index_t i, index_t j, index_t count, float* out) const noexcept {
    const index_t block = index_t{1} << source_.block_shift;
    index_t element = first_ + i * source_.line_length + j;
    while (count > 0) {
      index_t here = block - (element & (block - 1));
      if (here > count) here = count;
      index_t at = 0;
      if (v::lanes > 1 && (element & 1) == 0) {
        const v s = v::set1(scale(element));
        const std::uint8_t* const codes = source_.codes + element / 2;
        for (; at + 4 * v::lanes <= here; at += 4 * v::lanes) {
          v values[4];
          table_.look_up_four(codes + at / 2, values);
          SBORA_UNROLL
          for (int q = 0; q < 4; ++q) v::store(out + at + q * v::lanes, values[q] * s);
        }
        for (; at + v::lanes <= here; at += v::lanes) v::store(out + at, table_.look_up(codes + at / 2) * s);
      }
      for (; at < here; at += v::lanes) {
        const index_t n = here - at < v::lanes ? here - at : index_t{v::lanes};
        v::store_n(out + at, gathered(element + at, n), n);
      }
      element += here;
      out += here;
      count -= here;
    }
  }
  SBORA_FORCE_INLINE void fetch(index_t i, index_t j) const noexcept {
    __builtin_prefetch(source_.codes + (first_ + i * source_.line_length + j) / 2);
  }
  SBORA_FORCE_INLINE cache_line_cursor memory(index_t lines, index_t length) const noexcept {
    return {source_.codes + first_ / 2, source_.line_length / 2, lines, length / 2};
  }
  /// Whether the first `depth` elements of every line are whole groups of four vectors, each of one block and in whole
  /// bytes.
  static SBORA_FORCE_INLINE bool reads_fours(const four_bit_source& source, index_t depth) noexcept {
    constexpr index_t group = 4 * index_t{v::lanes};
    return depth % group == 0 && source.line_length % group == 0 && group % 2 == 0 &&
           group <= index_t{1} << source.block_shift;
  }
  /// sums[p] += left·(the p-th of four vectors) from element j on, `count` elements, a multiple of those four; where
  /// that is so, lanes in the order of lanes_apart.
  SBORA_FORCE_INLINE void add_fours(index_t i, index_t j, index_t count, const float* left,
                                    v (&sums)[4]) const noexcept {
    const index_t block = index_t{1} << source_.block_shift;
    index_t element = first_ + i * source_.line_length + j;
    for (const float* const end = left + count; left != end;) {
      index_t here = block - (element & (block - 1));
      if (here > end - left) here = end - left;
      const v s = v::set1(scale(element));
      const std::uint8_t* codes = source_.codes + element / 2;
      element += here;
      for (const float* const block_end = left + here; left != block_end; left += 4 * v::lanes, codes += 2 * v::lanes) {
        v values[4];
        __builtin_prefetch(codes + stream_codes_ahead);
        table_.look_up_four_apart(codes, values);
        SBORA_UNROLL
        for (int p = 0; p < 4; ++p) sums[p] = multiply_add(v::load(left + p * v::lanes), values[p] * s, sums[p]);
      }
    }
  }
  /// Of an element of the flattened matrix.
  SBORA_FORCE_INLINE float scale(index_t element) const noexcept {
    const index_t block = element >> source_.block_shift;
    if (source_.absmax_codes == nullptr) return source_.absmax[block];
    return opaque(source_.nested_table[source_.absmax_codes[block]] * source_.absmax[block >> 8]) +
           source_.nested_offset;
  }

 private:
  /// One by one: across blocks, from the middle of a byte, at the end of the codes.
  v gathered(index_t element, index_t n) const noexcept {
    float values[v::lanes] = {};
    for (index_t i = 0; i < n; ++i) {
      const index_t e = element + i;
      const unsigned byte = source_.codes[e >> 1];
      values[i] = source_.table[(e & 1) != 0 ? byte & 15U : byte >> 4] * scale(e);
    }
    return v::load(values);
  }

  const four_bit_source& source_;
  nibble_table table_;
  index_t first_;
};

template <>
class reader<int8_source, float> : public reader_base<reader<int8_source, float>, float> {
 public:
  using v = vec<float>;
  static constexpr index_t cache_line_elements = cache_line_cursor::bytes;

  SBORA_FORCE_INLINE reader(const int8_source& source, index_t line, index_t at) noexcept
      : data_(source.data + line * source.stride + at), absmax_(source.absmax + line), stride_(source.stride) {}

  SBORA_FORCE_INLINE v load(index_t i, index_t j) const noexcept {
    return v::load(data_ + i * stride_ + j) * v::set1(absmax_[i]) * v::set1(int8_unit);
  }
  SBORA_FORCE_INLINE v load_n(index_t i, index_t j, index_t n) const noexcept {
    return v::load_n(data_ + i * stride_ + j, n) * v::set1(absmax_[i]) * v::set1(int8_unit);
  }
  SBORA_FORCE_INLINE void decode_line(index_t i, index_t j, index_t count, float* out) const noexcept {
    const v s = v::set1(absmax_[i]), unit = v::set1(int8_unit);
    const std::int8_t* const codes = data_ + i * stride_ + j;
    index_t at = 0;
    for (; at + v::lanes <= count; at += v::lanes) v::store(out + at, v::load(codes + at) * s * unit);
    if (at < count) v::store_n(out + at, v::load_n(codes + at, count - at) * s * unit, count - at);
  }
  SBORA_FORCE_INLINE void fetch(index_t i, index_t j) const noexcept { __builtin_prefetch(data_ + i * stride_ + j); }
  SBORA_FORCE_INLINE cache_line_cursor memory(index_t lines, index_t length) const noexcept {
    return {data_, stride_, lines, length};
  }

 private:
  const std::int8_t* data_;
  const float* absmax_;
  index_t stride_;
};

template <>
class reader<fp8_source, float> : public reader_base<reader<fp8_source, float>, float> {
 public:
  using v = vec<float>;
  static constexpr index_t cache_line_elements = cache_line_cursor::bytes;

  SBORA_FORCE_INLINE reader(const fp8_source& source, index_t line, index_t at) noexcept
      : source_(source), line_(line), at_(at) {}

  SBORA_FORCE_INLINE v load(index_t i, index_t j) const noexcept {
    if (left_in_block(j) < v::lanes) return load_n(i, j, v::lanes);
    return look_up(source_.table, codes(i, j)) * v::set1(scale(i, j));
  }
  /// One by one: at the end of the codes, across blocks.
  v load_n(index_t i, index_t j, index_t n) const noexcept {
    float values[v::lanes] = {};
    const std::uint8_t* const code = codes(i, j);
    for (index_t k = 0; k < n; ++k) values[k] = source_.table[code[k]] * scale(i, j + k);
    return v::load(values);
  }
  /// Block by block, each with one look at its scale.
  SBORA_FORCE_INLINE void decode_line(index_t i, index_t j, index_t count, float* out) const noexcept {
    for (index_t done = 0; done < count;) {
      const index_t in_block = left_in_block(j + done);
      const index_t here = in_block < count - done ? in_block : count - done;
      const v s = v::set1(scale(i, j + done));
      const std::uint8_t* const code = codes(i, j + done);
      index_t k = 0;
      for (; k + v::lanes <= here; k += v::lanes) v::store(out + done + k, look_up(source_.table, code + k) * s);
      if (k < here) v::store_n(out + done + k, load_n(i, j + done + k, here - k), here - k);
      done += here;
    }
  }
  SBORA_FORCE_INLINE void fetch(index_t i, index_t j) const noexcept { __builtin_prefetch(codes(i, j)); }
  SBORA_FORCE_INLINE cache_line_cursor memory(index_t lines, index_t length) const noexcept {
    return {codes(0, 0), source_.stride, lines, length};
  }

 private:
  SBORA_FORCE_INLINE const std::uint8_t* codes(index_t i, index_t j) const noexcept {
    return source_.data + (line_ + i) * source_.stride + at_ + j;
  }
  SBORA_FORCE_INLINE float scale(index_t i, index_t j) const noexcept {
    return source_.scale[((line_ + i) >> source_.line_shift) * source_.scale_stride + ((at_ + j) >> source_.at_shift)];
  }
  /// Elements of the line from j on that share its scale.
  SBORA_FORCE_INLINE index_t left_in_block(index_t j) const noexcept {
    const index_t block = index_t{1} << source_.at_shift;
    return block - ((at_ + j) & (block - 1));
  }

  const fp8_source& source_;
  index_t line_, at_;
};
