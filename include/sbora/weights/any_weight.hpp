#pragma once

#include <memory>
#include <utility>
#include <variant>

#include <sbora/weights/four_bit_view.hpp>
#include <sbora/weights/fp8_view.hpp>
#include <sbora/weights/frozen_weight.hpp>
#include <sbora/weights/ggml_view.hpp>
#include <sbora/weights/int8_view.hpp>

namespace sbora::inline SBORA_ABI {

/// A frozen weight whose storage is known when the program runs, as a checkpoint has it: any that computes in float.
///
/// Effect      linear<any_weight> (layers/any_linear.hpp) is a layer over it. For all else, visit() has the view.
/// Lifetime    as the view's; and keeps `owner`, which may be what the view refers to.
/// Cost        visit is one branch. What is instantiated in it, is for seven storages: an include of its own.
/// Thread      a value; its memory is only read.
class any_weight {
 public:
  using compute_scalar = float;
  using view_type = std::variant<weight_view<const float>, weight_view<const Eigen::bfloat16>,
                                 weight_view<const Eigen::half>, four_bit_view, int8_view, fp8_view, ggml_view>;

  template <class Weight>
    requires(!std::same_as<Weight, any_weight> && std::constructible_from<view_type, const Weight&>)
  any_weight(const Weight& view, std::shared_ptr<const void> owner = nullptr)  // NOLINT: a view is one
      : view_(view),
        owner_(std::move(owner)),
        d_out_(view.d_out()),
        d_in_(view.d_in()),
        bytes_(view.bytes()),
        order_(view.order()) {}

  /// f(view). Requires: the same type of result for every view.
  template <class Function>
  decltype(auto) visit(Function&& f) const {
    return std::visit(std::forward<Function>(f), view_);
  }

  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  storage order() const noexcept { return order_; }
  /// Of elements or codes, and their scales.
  std::size_t bytes() const noexcept { return bytes_; }
  /// Requires a part inside: see rows_of (part.hpp), which also says what codes refuse.
  any_weight part(const weight_part& p) const {
    return visit([&](const auto& view) { return any_weight(view.part(p), owner_); });
  }
  /// Whether it is codes of 4 or 8 bits, fp8, or ggml's blocks.
  bool is_quantised() const noexcept { return view_.index() > 2; }

 private:
  view_type view_;
  std::shared_ptr<const void> owner_;
  // What every view says. (Asked by visits, it was 4 % of what io.hpp takes to compile.)
  index_t d_out_, d_in_;
  std::size_t bytes_;
  storage order_;
};

}  // namespace sbora::inline SBORA_ABI
