#pragma once

#include <sbora/io/gguf/gguf_names.hpp>
#include <sbora/io/gguf/gguf_writer.hpp>
#include <sbora/io/merge/adapter_changes.hpp>
#include <sbora/io/merge/merge_checkpoint.inl>
#include <sbora/io/merge/merge_gguf.hpp>
#include <sbora/io/merge/tensor_merge.hpp>
#include <sbora/merge/export_merged.hpp>
#include <sbora/model/row_order.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// A tensor of floats as others' files have it; nothing where it is of another type.
inline std::optional<tensor_view> dense_view(const gguf_tensor& tensor) {
  const auto as = [&](dtype type) { return tensor_view{std::string(tensor.name), type, tensor.shape, tensor.data}; };
  switch (tensor.type) {
    case ggml_type::f32: return as(dtype::f32);
    case ggml_type::f16: return as(dtype::f16);
    case ggml_type::bf16: return as(dtype::bf16);
    default: return std::nullopt;
  }
}

/// The changes by the file's names. Errors: checkpoint_error with every one that can't be made.
inline weight_changes gguf_changes(const gguf_file& from, const gguf_names& names,
                                   const model_adapter<float>& adapter) {
  problem_list problems;
  weight_changes stored;
  for (auto& [name, change] : adapter_changes(adapter)) {
    const auto in_file = names.in_file(name);
    const gguf_tensor* const tensor = in_file ? from.find(*in_file) : nullptr;
    if (tensor == nullptr) {
      problems.add("no tensor for '" + name + "'");
      continue;
    }
    const std::string who =
        "tensor '" + std::string(tensor->name) + "' is " + to_string(tensor->type) + " " + shape_text(tensor->shape);
    if (const auto dense = dense_view(*tensor)) {
      if (std::string problem = tensor_merge::problem(*dense, change); !problem.empty())
        problems.add(std::move(problem));
    } else if (!ggml_view::can_be_read(tensor->type)) {
      problems.add(who + ", in which nothing can be merged");
    } else if (change.deltas.empty()) {
      problems.add(who + ", and the adapter replaces all of it or some rows");
    } else if (tensor->shape != std::vector<index_t>{change.deltas[0].d_out, change.deltas[0].d_in}) {
      problems.add(who + ", the adapter is for " + shape_text(change.deltas[0].d_out, change.deltas[0].d_in));
    }
    change.order = storage::out_by_in;
    stored.emplace(*in_file, std::move(change));
  }
  problems.throw_if_any("merging into a GGUF model", "give the base that the adapter was trained on");
  return stored;
}

/// Rows of a tensor of blocks, merged and as floats. Returns as merge_ggml_rows.
template <class Storage>
index_t merge_ggml_floats(const ggml_view& weight, const merged_row& merged, index_range rows, Storage* out,
                          any_executor pool) {
  const row_reader<ggml_view> reader(weight);
  const conversion_kernels<float>& conversions = get_kernels<conversion_kernels<float>>();
  const index_t width = weight.d_in();
  std::vector<index_t> faults(static_cast<std::size_t>(ceil_div(rows.size(), export_rows)), -1);
  for_ranges(rows.size(), export_rows, pool, [&](index_t first, index_t last) {
    float values[export_piece];
    for (index_t row = rows.begin + first; row < rows.begin + last; ++row) {
      Storage* const to = out + (row - rows.begin) * width;
      for (index_t begin = 0; begin < width; begin += export_piece) {
        const index_t end = std::min(width, begin + export_piece);
        reader.read(row, begin, end, values);
        merged.add(row, begin, end, values);
        narrow_run(conversions, values, to + begin, end - begin);
        widen_run(conversions, to + begin, values, end - begin);  // as stored: f16 overflows when rounded
        const auto bad = std::find_if_not(values, values + (end - begin), [](float v) { return is_finite(v); });
        index_t& fault = faults[static_cast<std::size_t>(first / export_rows)];
        if (bad != values + (end - begin) && fault < 0) fault = row * width + begin + (bad - values);
      }
    }
  });
  const auto found = std::ranges::find_if(faults, [](index_t fault) { return fault >= 0; });
  return found == faults.end() ? -1 : *found;
}

/// One tensor's bytes, in pieces, to put.
class gguf_tensor_merge {
 public:
  gguf_tensor_merge(const gguf_tensor& tensor, const weight_change& change, ggml_type to, any_executor pool)
      : tensor_(tensor), change_(change), to_(to), pool_(pool) {}

  template <class Put>
  ggml_merge_report write(Put&& put) const {
    if (tensor_.data.empty()) return {};
    const std::optional<tensor_view> dense = dense_view(tensor_);
    const index_t rows = tensor_.shape.size() == 2 ? tensor_.shape[0] : 1;
    const std::size_t row_bytes = tensor_.data.size() / static_cast<std::size_t>(rows);
    const auto window =
        static_cast<index_t>(std::max<std::size_t>(1, window_bytes / std::max<std::size_t>(row_bytes, 1)));
    const merged_row merged(change_.deltas);
    ggml_merge_sums sums;
    std::vector<std::byte> piece;
    for (index_t begin = 0; begin < rows; begin += window) {
      const index_range range = {begin, std::min(rows, begin + window)};
      const auto from = tensor_.data.subspan(static_cast<std::size_t>(range.begin) * row_bytes,
                                             static_cast<std::size_t>(range.size()) * row_bytes);
      if (dense) tensor_merge(*dense, change_).apply(from, piece, pool_);
      else merge_blocks(merged, range, piece, sums);
      put(from, piece);
    }
    if (dense || to_ != tensor_.type) return {};
    return sums.report(std::ssize(tensor_.data) / layout_of(to_).bytes);
  }

 private:
  void merge_blocks(const merged_row& merged, index_range rows, std::vector<std::byte>& out,
                    ggml_merge_sums& sums) const {
    const index_t width = tensor_.shape[1];
    const ggml_view weight(std::span(reinterpret_cast<const std::uint8_t*>(tensor_.data.data()), tensor_.data.size()),
                           tensor_.type, tensor_.shape[0], width);
    const ggml_layout& layout = layout_of(to_);
    out.resize(static_cast<std::size_t>(rows.size() * width / layout.elements * layout.bytes));
    void* const to = out.data();
    index_t fault = -1;
    if (to_ == ggml_type::f32) fault = merge_ggml_floats(weight, merged, rows, static_cast<float*>(to), pool_);
    else if (to_ == ggml_type::f16) fault = merge_ggml_floats(weight, merged, rows, static_cast<f16*>(to), pool_);
    else fault = merge_ggml_rows(weight, merged, rows, static_cast<std::uint8_t*>(to), pool_, sums);
    if (fault < 0) return;
    throw_merge_not_finite("sbora", fault / width, fault % width, "'" + std::string(tensor_.name) + "'");
  }

  const gguf_tensor& tensor_;
  const weight_change& change_;
  ggml_type to_;
  any_executor pool_;
};

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

SBORA_INSTANCE_OF std::vector<gguf_merge_report> write_merged_gguf(const gguf_file& from,
                                                                   const model_adapter<float>& adapter,
                                                                   const std::filesystem::path& to, gguf_merge blocks,
                                                                   const progress_callback& progress,
                                                                   any_executor pool) {
  const gguf_names names = gguf_names::of(from);
  const model_adapter<float> moved = with_rows_at(
      adapter, [&](const std::string& module, index_t d_out) { return names.rows_in_file(module, d_out); });
  const weight_changes changes = detail::gguf_changes(from, names, moved);
  std::vector<gguf_tensor> tensors(from.tensors().begin(), from.tensors().end());
  std::uint64_t total = 0;
  for (gguf_tensor& tensor : tensors) {
    total += tensor.data.size();
    if (!changes.contains(std::string(tensor.name)) || detail::dense_view(tensor)) continue;
    if (blocks != gguf_merge::requantised) tensor.type = blocks == gguf_merge::f16 ? ggml_type::f16 : ggml_type::f32;
  }
  gguf_metadata metadata;
  for (const gguf_entry& entry : from.metadata()) metadata.add(entry);
  gguf_stream_writer file(to, metadata, tensors, from.alignment(), from.path());
  detail::progress_counter counter(progress, total);
  std::vector<gguf_merge_report> reports;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const gguf_tensor& tensor = from.tensors()[i];
    const auto change = changes.find(std::string(tensor.name));
    if (change == changes.end()) {
      const auto put = [&](std::span<const std::byte> bytes) { file.write(tensor.name, bytes); };
      detail::copy_bytes(from, tensor.data, counter, put);
      continue;
    }
    const auto put = [&](std::span<const std::byte> read, std::span<const std::byte> made) {
      file.write(tensor.name, made);
      counter.add(read.size());
      from.release(read);
    };
    const detail::gguf_tensor_merge merge(tensor, change->second, tensors[i].type, pool);
    reports.push_back({change->first, tensor.type, tensors[i].type, merge.write(put)});
  }
  file.commit();
  return reports;
}

}  // namespace sbora::inline SBORA_ABI
