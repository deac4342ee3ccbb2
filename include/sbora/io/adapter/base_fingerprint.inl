#pragma once

#include <sbora/core/fnv1a.hpp>
#include <sbora/io/adapter/base_fingerprint.hpp>
#include <sbora/weights/row_reader.hpp>

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF std::uint64_t base_fingerprint(std::span<const any_weight> pieces, adapter_kind kind,
                                                 const region& target) {
  index_t d_out = 0;
  const index_t d_in = pieces.empty() ? 0 : pieces.front().d_in();
  for (const any_weight& piece : pieces) {
    d_out += piece.d_out();
    if (piece.d_in() == d_in) continue;
    throw shape_error("sbora::base_fingerprint: the weight is in pieces with d_in " + std::to_string(d_in) + " and " +
                      std::to_string(piece.d_in()));
  }
  const detail::region_geometry geometry(kind, d_out, d_in, target.rank());
  if (target.dim() != geometry.dim) {
    throw shape_error("sbora::base_fingerprint: the region is of [0, " + std::to_string(target.dim()) +
                      "), the weight is " + detail::shape_text(d_out, d_in));
  }
  const bool columns = geometry.form(storage::out_by_in) == detail::region_form::columns;
  std::vector<float> line(static_cast<std::size_t>(columns ? target.rank() : d_in));
  std::uint64_t hash = detail::fnv1a({});
  const auto add_rows = [&](const any_weight& piece, index_t begin, index_t end) {
    piece.visit([&]<class View>(const View& view) {
      const detail::row_reader<View> reader(view);
      for (index_t row = begin; row < end; ++row) {
        float* into = line.data();
        if (!columns) reader.read(row, 0, d_in, into);
        else
          for (const index_t column : target.indices()) reader.read(row, column, column + 1, into++);
        hash = detail::fnv1a({reinterpret_cast<const char*>(line.data()), line.size() * sizeof(float)}, hash);
      }
    });
  };
  if (columns) {
    for (const any_weight& piece : pieces) add_rows(piece, 0, piece.d_out());
  } else {
    for (index_t row : target.indices()) {
      const any_weight* piece = pieces.data();
      while (row >= piece->d_out()) row -= piece++->d_out();
      add_rows(*piece, row, row + 1);
    }
  }
  return hash;
}

}  // namespace sbora::inline SBORA_ABI
