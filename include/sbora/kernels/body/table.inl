// Included once per level, inside its namespace, last. No include guard, no includes.

template <class T>
struct dense_table {
  static constexpr dense_kernels<T> entries = {&gather<T, T>, &gather<T, bf16>, &scatter_add<T>, &dropout<T>};
};

template <class T>
struct optimiser_table {
  static constexpr optimiser_kernels<T> entries = {&adamw<T>, &sgd<T>};
};

template <class T>
struct adamw_8bit_table {
  static constexpr adamw_8bit_kernels entries = {&adamw_8bit<T>};
};

/// Activations of bf16 are computed in float.
template <class T>
constexpr auto pack_few_bf16() -> void (*)(const pack_args<T, bf16>&) noexcept {
  if constexpr (std::is_same_v<T, float>) return &pack_few<T, bf16>;
  else return nullptr;
}

template <class T>
struct packing_table {
  static constexpr packing_kernels<T> entries = {&pack<T, T>, &pack<T, bf16>, &pack_few<T, T>, pack_few_bf16<T>(),
                                                  tile_rows, tile_columns<T>, vec<T>::lanes};
};

template <class Storage>
struct merge_table {
  using T = compute_of<Storage>;
  static constexpr merge_kernels<Storage, T> entries = {
      {&save_columns<Storage, T>, &check_columns<Storage, T>, &merge_columns<Storage, T>,
       &restore_columns<Storage, T>, &take_columns<Storage, T>},
      {&save_rows<Storage, T>, &check_rows<Storage, T>, &merge_rows<Storage, T>,
       &restore_rows<Storage, T>, &take_rows<Storage, T>}};
};

template <class Storage>
struct product_table {
  using T = compute_of<Storage>;
  static constexpr product_kernels<Storage, T> entries = {&product<Storage, T>, &product_few<Storage, T>, &stream<Storage, T>};
};

template <class T>
struct quantise_table {
  static constexpr quantise_kernels entries = {&quantise_four_bit<T>};
};

template <class Storage>
struct decode_table {
  static constexpr decode_kernels<Storage> entries = {&decode<Storage>};
};

template <class T>
struct conversion_table {
  static constexpr conversion_kernels entries = {&convert<bf16, T>, &convert<f16, T>,
                                                 &convert<T, bf16>, &convert<T, f16>};
};
