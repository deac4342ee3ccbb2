// All kernels of a level, included once by each level's header, inside its namespace, after its constants. No include
// guard.

#include <sbora/kernels/body/gather_scatter.inl>
#include <sbora/kernels/body/dropout.inl>
#include <sbora/kernels/body/convert.inl>
#include <sbora/kernels/body/region.inl>
#include <sbora/kernels/body/region_columns.inl>
#include <sbora/kernels/body/region_rows.inl>
#include <sbora/kernels/body/optimiser.inl>
#include <sbora/kernels/body/optimiser_8bit.inl>
#include <sbora/kernels/body/panel_update.inl>
#include <sbora/kernels/body/coming_cache_lines.inl>
#include <sbora/kernels/body/readers.inl>
#include <sbora/kernels/body/ggml_blocks.inl>
#include <sbora/kernels/body/pack.inl>
#include <sbora/kernels/body/product.inl>
#include <sbora/kernels/body/product_few.inl>
#include <sbora/kernels/body/stream_one.inl>
#include <sbora/kernels/body/stream_groups.inl>
#include <sbora/kernels/body/stream_short.inl>
#include <sbora/kernels/body/stream_panels.inl>
#include <sbora/kernels/body/stream_axpy.inl>
#include <sbora/kernels/body/stream.inl>
#include <sbora/kernels/body/quantise.inl>
#include <sbora/kernels/body/scores.inl>
#include <sbora/kernels/body/byte_weights.inl>
#include <sbora/kernels/body/byte_product.inl>

template <>
struct table<compiled_level> {
  static constexpr compiled_level entries = {};
};

template <class T>
struct table<dense_kernels<T>> {
  static constexpr dense_kernels<T> entries = {
      .gather = &gather<T, T>, .scatter_add = &scatter_add<T>, .dropout = &dropout<T>};
};

template <class Rates>
struct table<step_kernels<Rates>> {
  static constexpr step_kernels<Rates> entries = {.step = &step_elements<Rates>};
};

template <class T>
struct table<packing_kernels<T>> {
  static constexpr packing_kernels<T> entries = {.pack = &pack<T, T>,
                                                 .pack_few = &pack_few<T, T>,
                                                 .tile_rows = tile_rows,
                                                 .tile_columns = tile_columns<T>,
                                                 .lanes = vec<T>::lanes};
};

template <class T>
struct table<bf16_activation_kernels<T>> {
  static constexpr bf16_activation_kernels<T> entries = {
      .gather = &gather<T, bf16>, .pack = &pack<T, bf16>, .pack_few = &pack_few<T, bf16>};
};

template <class Storage>
struct table<merge_kernels<Storage>> {
  using T = compute_of<Storage>;
  static constexpr merge_kernels<Storage> entries = {.columns = {.save = &save_columns<Storage, T>,
                                                                 .check = &check_columns<Storage, T>,
                                                                 .merge = &merge_columns<Storage, T>,
                                                                 .restore = &restore_columns<Storage, T>,
                                                                 .take = &take_columns<Storage, T>},
                                                     .rows = {.save = &save_rows<Storage, T>,
                                                              .check = &check_rows<Storage, T>,
                                                              .merge = &merge_rows<Storage, T>,
                                                              .restore = &restore_rows<Storage, T>,
                                                              .take = &take_rows<Storage, T>}};
};

template <class Storage>
struct table<product_kernels<Storage>> {
  using T = compute_of<Storage>;
  static constexpr product_kernels<Storage> entries = {
      .product = &product<Storage, T>, .product_few = &product_few<Storage, T>, .stream = &stream<Storage, T>};
};

template <class Storage>
struct table<byte_kernels<Storage>> {
  static constexpr byte_kernels<Storage> entries = byte_kernels_of<Storage>();
};

template <class Storage>
struct table<decode_kernels<Storage>> {
  static constexpr decode_kernels<Storage> entries = {.decode = &decode<Storage>};
};

template <class T>
struct table<adamw_8bit_kernels<T>> {
  static constexpr adamw_8bit_kernels<T> entries = {.step = &adamw_8bit<T>};
};

template <class T>
struct table<quantise_kernels<T>> {
  static constexpr quantise_kernels<T> entries = {.four_bit = &quantise_four_bit<T>};
};

template <class T>
struct table<score_kernels<T>> {
  static constexpr score_kernels<T> entries = {.add_products = &add_feature_products<T>,
                                               .add_squares = &add_token_squares<T>};
};

template <class T>
struct table<conversion_kernels<T>> {
  static constexpr conversion_kernels<T> entries = {.widen_bf16 = &convert<bf16, T>,
                                                    .widen_f16 = &convert<f16, T>,
                                                    .narrow_bf16 = &convert<T, bf16>,
                                                    .narrow_f16 = &convert<T, f16>};
};
