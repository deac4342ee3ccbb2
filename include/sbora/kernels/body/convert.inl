// Included once per level, inside its namespace. No include guard, no includes.

template <class From, class To>
void convert(const From* source, To* out, index_t count) noexcept {
  using v = vec<float>;
  index_t i = 0;
  for (; i + v::lanes <= count; i += v::lanes) v::store(out + i, v::load(source + i));
  if (i < count) v::store_n(out + i, v::load_n(source + i, count - i), count - i);
}
