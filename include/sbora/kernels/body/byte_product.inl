// Products of bytes, included once for each of a level's byte_dot, inside its namespace. No include guard.

#include <sbora/kernels/body/byte_rows.inl>
#include <sbora/kernels/body/byte_sums.inl>
#include <sbora/kernels/body/byte_stream.inl>
#include <sbora/kernels/body/byte_tiles.inl>

/// Without a product of many rows where the level's tiles aren't worth it.
template <class Storage>
constexpr byte_kernels<Storage> byte_kernels_of() noexcept {
  byte_kernels<Storage> kernels = {.rows_of_f32 = &byte_rows<Storage>::template rows_to_bytes<float>,
                                   .rows_of_bf16 = &byte_rows<Storage>::template rows_to_bytes<bf16>,
                                   .stream = &byte_stream<Storage>::stream,
                                   .product = nullptr,
                                   .tile_columns = tile_columns<float>};
  if constexpr (has_byte_tiles<byte_weight<Storage>::narrow>) kernels.product = &byte_tiles<Storage>::product;
  return kernels;
}
