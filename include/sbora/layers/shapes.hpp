#pragma once

#include <sbora/core/assert.hpp>
#include <sbora/products/activation.hpp>
#include <sbora/adapters/weight_delta.hpp>

/// What a call checks of sizes before it writes anything: some comparisons of integers, in every build.
namespace sbora::inline SBORA_ABI::detail {

/// An activation under the name that its caller knows.
struct named_extent {
  const char* name;
  const void* data;
  index_t tokens, features, stride;

  template <class T>
  named_extent(const char* name_, activation_view<T> a)
      : name(name_), data(a.data), tokens(a.tokens), features(a.features), stride(a.stride) {}

  SBORA_COLD std::string text() const { return message({name, " has ", tokens, " tokens of ", features, " features"}); }
};

SBORA_COLD inline std::string wrong_features(const named_extent& a, const char* size, index_t expected) {
  std::string text = message({a.text(), ", ", size, " is ", expected});
  if (a.tokens == expected) {
    text +=
        "; of a column-major matrix, Eigen's default, the columns are taken as tokens: make it row-major where the "
        "rows are";
  }
  return text;
}

SBORA_COLD inline std::string wrong_tokens(const named_extent& a, const named_extent& b) {
  return a.text() + ", " + b.text() + ": different numbers of tokens";
}

SBORA_COLD inline std::string wrong_delta(index_t delta_out, index_t delta_in, index_t d_out, index_t d_in) {
  return message({"the adapter was made for a weight of another shape: ", shape_text(delta_out, delta_in),
                  ", the weight is ", shape_text(d_out, d_in)});
}

SBORA_COLD inline std::string wrong_saved(const char* what, index_t saved, index_t now) {
  return message({what, ": ", saved, ", now ", now});
}

inline void check_features(const named_extent& a, const char* size, index_t expected) {
  SBORA_ASSERT(a.features == expected, wrong_features(a, size, expected).c_str());
  SBORA_ASSERT(a.tokens == 0 || (a.tokens > 0 && a.data != nullptr), (a.text() + " and no memory").c_str());
}

inline void check_result(const named_extent& a) {
  SBORA_ASSERT(a.stride >= a.features || a.tokens < 2,
               (message({a.text(), ", ", a.stride, " apart: a result's tokens must not overlap"})).c_str());
}

/// The sizes of a call that reads `in` (in_features wide) and writes `out`.
inline void check_shapes(const named_extent& in, const char* in_size, index_t in_features, const named_extent& out,
                         const char* out_size, index_t out_features) {
  check_features(in, in_size, in_features);
  check_features(out, out_size, out_features);
  SBORA_ASSERT(in.tokens == out.tokens, wrong_tokens(in, out).c_str());
  check_result(out);
}

template <class T>
void check_delta(const weight_delta<T>& delta, index_t d_out, index_t d_in) {
  SBORA_ASSERT(delta.d_out == d_out && delta.d_in == d_in, wrong_delta(delta.d_out, delta.d_in, d_out, d_in).c_str());
}

}  // namespace sbora::inline SBORA_ABI::detail
