#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>

#include <fmt/core.h>

#include "base_model.hpp"
#include "commands.hpp"
#include "common/progress.hpp"

namespace sbora_tool {

namespace {

/// Element i of a tensor of numbers; NaN for types without a C++ one.
double element(const sbora::tensor_view& tensor, std::size_t i) {
  const auto as = [&]<class Scalar>(Scalar) {
    Scalar value;
    std::memcpy(static_cast<void*>(&value), tensor.data.data() + i * sizeof(Scalar), sizeof value);
    return static_cast<double>(value);
  };
  switch (tensor.type) {
    case sbora::dtype::f64: return as(double{});
    case sbora::dtype::f32: return as(float{});
    case sbora::dtype::f16: return as(Eigen::half{});
    case sbora::dtype::bf16: return as(Eigen::bfloat16{});
    case sbora::dtype::i64: return as(std::int64_t{});
    case sbora::dtype::i32: return as(std::int32_t{});
    case sbora::dtype::i16: return as(std::int16_t{});
    case sbora::dtype::i8: return as(std::int8_t{});
    case sbora::dtype::u8: return as(std::uint8_t{});
    default: return std::nan("");
  }
}

/// The greater of two distances, NaN where one of them is.
double greater(double a, double b) { return std::isnan(a) || b <= a ? a : b; }

/// Where and how much two tensors of one type and shape differ, as rows × columns: the first dimension by the rest.
struct difference {
  index_t rows = 0, columns = 0, elements = 0;
  std::vector<index_t> in_rows, in_columns;
  double largest = 0;  ///< NaN where one isn't finite or isn't a number
};

difference compare(const sbora::tensor_view& a, const sbora::tensor_view& b) {
  difference found;
  const index_t count = a.elements();
  found.rows = a.shape.empty() ? 1 : a.shape[0];
  found.columns = found.rows == 0 ? 0 : count / found.rows;
  if (std::memcmp(a.data.data(), b.data.data(), a.data.size()) == 0 || count == 0) return found;
  const auto bits = static_cast<std::size_t>(sbora::bits_of(a.type));
  if (bits % 8 != 0) found.rows = 1, found.columns = static_cast<index_t>(a.data.size());  // packed: by bytes
  const std::size_t size = bits % 8 != 0 ? 1 : bits / 8;
  const std::size_t row_size = size * static_cast<std::size_t>(found.columns);
  std::vector<bool> touched(static_cast<std::size_t>(found.columns));
  for (index_t row = 0; row < found.rows; ++row) {
    const std::byte* const row_a = a.data.data() + static_cast<std::size_t>(row) * row_size;
    const std::byte* const row_b = b.data.data() + static_cast<std::size_t>(row) * row_size;
    if (std::memcmp(row_a, row_b, row_size) == 0) continue;
    found.in_rows.push_back(row);
    for (std::size_t column = 0; column < touched.size(); ++column) {
      if (std::memcmp(row_a + column * size, row_b + column * size, size) == 0) continue;
      touched[column] = true;
      ++found.elements;
      const std::size_t i = static_cast<std::size_t>(row) * touched.size() + column;
      const double distance = std::fabs(element(a, i) - element(b, i));
      found.largest = greater(found.largest, distance);
    }
  }
  for (std::size_t column = 0; column < touched.size(); ++column) {
    if (touched[column]) found.in_columns.push_back(static_cast<index_t>(column));
  }
  return found;
}

std::string largest_text(double largest) {
  if (std::isnan(largest)) return "not all finite numbers";
  return fmt::format("largest difference {:.6g}", largest);
}

/// Columns where they are the smaller part of their dimension, as FA leaves it; otherwise rows, as FB does.
void print(const std::string& name, const difference& found, bool all) {
  const bool columns = found.in_columns.size() * static_cast<std::size_t>(found.rows) <=
                       found.in_rows.size() * static_cast<std::size_t>(found.columns);
  const std::vector<index_t>& indices = columns ? found.in_columns : found.in_rows;
  std::printf("%s: %zu of %td %s differ, %td elements, %s\n    %s\n", name.c_str(), indices.size(),
              columns ? found.columns : found.rows, columns ? "columns" : "rows", found.elements,
              largest_text(found.largest).c_str(), index_text(indices, all).c_str());
}

int summary(std::size_t different, std::size_t of, const char* what) {
  if (different == 0) std::printf("same: %zu %s\n", of, what);
  else std::printf("%zu of %zu %s differ\n", different, of, what);
  return different == 0 ? 0 : 1;
}

/// How many there are by name, and how many differ, of which it says how.
std::pair<std::size_t, std::size_t> diff_tensors(const diff_options& set, std::span<const sbora::tensor_view> a,
                                                 std::span<const sbora::tensor_view> b) {
  std::map<std::string, std::pair<const sbora::tensor_view*, const sbora::tensor_view*>> tensors;
  for (const sbora::tensor_view& tensor : a) tensors[tensor.name].first = &tensor;
  for (const sbora::tensor_view& tensor : b) tensors[tensor.name].second = &tensor;
  std::size_t total = 0, done = 0, different = 0;
  for (const auto& [name, pair] : tensors) total += pair.first != nullptr ? pair.first->data.size() : 0;
  progress shown("comparing");
  for (const auto& [name, pair] : tensors) {
    const auto [one, other] = pair;
    if (one == nullptr || other == nullptr) {
      std::printf("%s: only in %s\n", name.c_str(), (one != nullptr ? set.a : set.b).string().c_str());
      ++different;
    } else if (one->type != other->type || one->shape != other->shape) {
      std::printf("%s: %s %s and %s %s\n", name.c_str(), to_string(one->type), shape_text(one->shape).c_str(),
                  to_string(other->type), shape_text(other->shape).c_str());
      ++different;
    } else if (const difference found = compare(*one, *other); !found.in_rows.empty()) {
      print(name, found, set.all);
      ++different;
    }
    if (one != nullptr) shown.update_bytes(done += one->data.size(), total);
  }
  return {tensors.size(), different};
}

int diff_checkpoints(const diff_options& set) {
  const sbora::checkpoint a = sbora::checkpoint::open(set.a), b = sbora::checkpoint::open(set.b);
  const auto [all, different] = diff_tensors(set, a.tensors(), b.tensors());
  return summary(different, all, "tensors");
}

/// Full tensors, and tokens with the places that they have.
std::vector<sbora::tensor_view> replaced_tensors_of(const sbora::model_adapter<float>& adapter) {
  std::vector<sbora::tensor_view> views;
  for (const auto& tensor : adapter.full_tensors()) {
    views.push_back({tensor.name(), sbora::dtype::f32, tensor.shape(), std::as_bytes(tensor.parameters())});
  }
  for (const auto& of : adapter.tokens()) {
    const index_t rank = of.tokens.target().rank();
    const std::string name = of.module + ", tokens";
    views.push_back(
        {name + "' rows", sbora::dtype::f32, {rank, of.tokens.features()}, std::as_bytes(of.tokens.parameters())});
    views.push_back({name, sbora::dtype::i64, {rank}, std::as_bytes(of.tokens.target().indices())});
  }
  return views;
}

/// An adapter's update at a module, line by line: index, and s·values.
template <class Part>
std::map<index_t, std::vector<float>> lines_of(const Part& part) {
  constexpr bool fa = Part::kind == sbora::adapter_kind::fa;
  std::map<index_t, std::vector<float>> lines;
  for (index_t j = 0; j < part.rank(); ++j) {
    std::vector<float>& line = lines[part.target().indices()[static_cast<std::size_t>(j)]];
    for (index_t k = 0; k < (fa ? part.d_out() : part.d_in()); ++k) {
      line.push_back(part.delta().scale * (fa ? part.matrix()(k, j) : part.matrix()(j, k)));
    }
  }
  return lines;
}

/// Of an adapter of each kind.
bool diff_parts(const std::string& module, const auto& a, const auto& b, bool) {
  std::printf("%s: SBoRA-%s and SBoRA-%s\n", module.c_str(), to_string(a.kind), to_string(b.kind));
  return true;
}

template <class Part>
bool diff_parts(const std::string& module, const Part& a, const Part& b, bool all) {
  if (a.d_out() != b.d_out() || a.d_in() != b.d_in()) {
    std::printf("%s: %td x %td and %td x %td\n", module.c_str(), a.d_out(), a.d_in(), b.d_out(), b.d_in());
    return true;
  }
  const auto lines_a = lines_of(a), lines_b = lines_of(b);
  std::vector<index_t> only_a, only_b, changed;
  double largest = 0;
  const auto measure = [&](const std::vector<float>& one, const std::vector<float>* other) {
    for (std::size_t k = 0; k < one.size(); ++k) {
      const double distance = std::fabs(static_cast<double>(one[k]) - (other != nullptr ? (*other)[k] : 0.0));
      largest = greater(largest, distance);
    }
  };
  for (const auto& [index, line] : lines_a) {
    const auto same = lines_b.find(index);
    if (same == lines_b.end()) {
      only_a.push_back(index);
      measure(line, nullptr);
    } else if (std::memcmp(line.data(), same->second.data(), line.size() * sizeof(float)) != 0) {
      changed.push_back(index);
      measure(line, &same->second);
    }
  }
  for (const auto& [index, line] : lines_b) {
    if (lines_a.find(index) != lines_a.end()) continue;
    only_b.push_back(index);
    measure(line, nullptr);
  }
  const char* const what = sbora::detail::region_name(Part::kind);
  const auto show = [&](const char* where, const std::vector<index_t>& indices) {
    if (!indices.empty()) std::printf("    %s: %s\n", where, index_text(indices, all).c_str());
  };
  if (only_a.empty() && only_b.empty() && changed.empty()) return false;
  std::printf("%s: %s: %zu only in the first, %zu only in the second, %zu of %zu in both differ, %s\n", module.c_str(),
              what, only_a.size(), only_b.size(), changed.size(), lines_a.size() - only_a.size(),
              largest_text(largest).c_str());
  show("only in the first", only_a);
  show("only in the second", only_b);
  show("differ", changed);
  return true;
}

int diff_adapters(const diff_options& set) {
  const base_model base(set.base);
  const auto a = load(set.a, base).adapter, b = load(set.b, base).adapter;
  if (a.kind() != b.kind()) {
    std::printf("%s is SBoRA-%s, %s is SBoRA-%s\n", set.a.string().c_str(), to_string(a.kind()), set.b.string().c_str(),
                to_string(b.kind()));
    return 1;
  }
  std::set<std::string> modules(a.modules().begin(), a.modules().end());
  modules.insert(b.modules().begin(), b.modules().end());
  std::size_t different = 0;
  for (const std::string& module : modules) {
    if (!a.has(module) || !b.has(module)) {
      std::printf("%s: only in %s\n", module.c_str(), (a.has(module) ? set.a : set.b).string().c_str());
      ++different;
      continue;
    }
    const bool differs = a.visit(module, [&](const auto& one) {
      return b.visit(module, [&](const auto& other) { return diff_parts(module, one, other, set.all); });
    });
    different += differs ? 1 : 0;
  }
  const auto of_a = replaced_tensors_of(a), of_b = replaced_tensors_of(b);
  if (of_a.empty() && of_b.empty()) return summary(different, modules.size(), "modules");
  const auto [full, full_different] = diff_tensors(set, of_a, of_b);
  return summary(different + full_different, modules.size() + full, "modules and full tensors");
}

}  // namespace

int diff(const diff_options& set) {
  const bool a = is_adapter(set.a), b = is_adapter(set.b);
  if (a != b) {
    throw input_error((a ? set.a : set.b).string() + " is an adapter, " + (a ? set.b : set.a).string() +
                      " a checkpoint; merge it first");
  }
  return a ? diff_adapters(set) : diff_checkpoints(set);
}

}  // namespace sbora_tool
