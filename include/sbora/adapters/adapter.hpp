#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>

#include <sbora/core/assert.hpp>
#include <sbora/core/checked_size.hpp>
#include <sbora/core/option.hpp>
#include <sbora/adapters/parameter_block.hpp>
#include <sbora/adapters/saved.hpp>
#include <sbora/adapters/trained_numbers.hpp>
#include <sbora/adapters/weight_delta.hpp>
#include <sbora/core/finite.hpp>

namespace sbora::inline SBORA_ABI {

/// How an adapter scales and regularises its update.
struct adapter_options {
  double alpha = 8;                ///< > 0; scale is alpha/rank, or alpha/√rank with rslora: > 0 as a T has it
  bool rslora = false;             ///< rank-stabilised scale
  double dropout = 0;              ///< probability that an input of the adapter is dropped; [0, 1)
  std::uint64_t dropout_seed = 0;  ///< of the masks; one of its own for every layer
};

/// An SBoRA adapter: a region, the trained half, its gradient, and a scale. Use it as fa_adapter or
/// fb_adapter.
///
/// Effect      ΔW = s·B·A; FA: A is the region's one-hot rows, B (d_out × rank) is trained. FB: B is the
///             region's one-hot columns, A (rank × d_in) is trained. Trained from zero, so a new adapter
///             changes nothing.
/// Shapes      parameters() and gradient(): flat, row-major d_out × rank (FA) or rank × d_in (FB);
///             column (FA) or row (FB) j belongs to target().indices()[j]. parameter_count() is half of LoRA's on a
///             square layer; indices don't count.
/// Requires    region over [0, d_in) (FA) or [0, d_out) (FB), options in range: checked.
/// Lifetime    owns its memory, or uses the caller's spans, which have to outlive it: one all-reduce or
///             one optimiser over many adapters works on one array that way. Movable; spans and maps
///             stay valid after a move. clone() copies.
/// Cost        2·parameter_count() numbers and 3·rank indices.
/// Thread      const members are safe concurrently; a training forward and backward aren't const.
/// Errors      shape_error, config_error; nothing is kept or written after one.
/// Source      arXiv 2407.05413; rsLoRA: arXiv 2312.03732.
template <adapter_kind Kind, class T>
class basic_adapter : public detail::trained_numbers<T> {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>,
                "sbora: the trained half of an adapter is float or double (float also over bfloat16 and "
                "half weights)");

 public:
  static constexpr adapter_kind kind = Kind;
  using scalar = T;
  using saved_type = std::conditional_t<detail::saves_gathered(Kind), fa_saved<T>, fb_saved<T>>;
  using matrix_map = detail::row_major_map<T>;
  using const_matrix_map = detail::row_major_map<const T>;

  /// With memory of its own, zeroed.
  basic_adapter(index_t d_out, index_t d_in, region target, adapter_options options = {})
      : basic_adapter(checked{}, d_out, d_in, std::move(target), options) {
    this->own(count());
  }

  /// On the caller's memory of parameter_count() numbers each, which keeps its contents: zero it for a
  /// new adapter, or fill it with a trained half. An empty gradient makes an adapter for inference.
  basic_adapter(index_t d_out, index_t d_in, region target, adapter_options options, std::span<T> parameters,
                std::span<T> gradient)
      : basic_adapter(checked{}, d_out, d_in, std::move(target), options) {
    this->use(who, count(), parameters, gradient);
  }

  /// A copy with memory of its own.
  basic_adapter clone() const {
    basic_adapter copy(d_out_, d_in_, target_, options_);
    std::copy(this->parameters().begin(), this->parameters().end(), copy.parameters().begin());
    std::copy(this->gradient().begin(), this->gradient().end(), copy.gradient().begin());
    copy.multiplier_ = multiplier_;
    copy.enabled_ = enabled_;
    copy.dropout_step_ = dropout_step_;
    return copy;
  }

  index_t d_out() const noexcept { return d_out_; }
  index_t d_in() const noexcept { return d_in_; }
  index_t rank() const noexcept { return target_.rank(); }
  const region& target() const& noexcept { return target_; }
  region target() && noexcept { return std::move(target_); }
  const adapter_options& options() const& noexcept { return options_; }
  adapter_options options() && noexcept { return options_; }

  /// The trained half as optimisers of matrices take it.
  std::array<parameter_block, 1> blocks() const noexcept { return {{{0, geometry().rows(), geometry().cols()}}}; }

  /// parameters() and gradient() as d_out × rank (FA) or rank × d_in (FB) Eigen maps.
  matrix_map matrix() & noexcept { return map_of(this->parameters().data()); }
  const_matrix_map matrix() const& noexcept { return map_of(this->parameters().data()); }
  const_matrix_map matrix() const&& = delete;  // would dangle: name the adapter
  matrix_map gradient_matrix() & noexcept { return map_of(this->gradient().data()); }
  const_matrix_map gradient_matrix() const& noexcept { return map_of(this->gradient().data()); }
  const_matrix_map gradient_matrix() const&& = delete;  // would dangle: name the adapter

  /// alpha/rank or alpha/√rank, times the run-time multiplier.
  double scale() const noexcept { return scale_without_multiplier() * multiplier_; }
  double multiplier() const noexcept { return multiplier_; }
  /// Errors: config_error where it, or the scale() that it makes, isn't finite in T.
  void set_multiplier(double multiplier) {
    check_multiplier(multiplier);
    multiplier_ = multiplier;
  }
  /// What set_multiplier() throws, for setting those of several adapters, or of none.
  void check_multiplier(double multiplier) const {
    detail::check_option("sbora::adapter", "the multiplier", detail::option_range::number, multiplier);
    static_cast<void>(detail::as_used<T>("sbora::adapter", "the multiplier * alpha / rank",
                                         detail::option_range::number, scale_without_multiplier() * multiplier));
  }

  /// A disabled adapter takes no part in forward and backward.
  bool enabled() const noexcept { return enabled_; }
  void set_enabled(bool enabled) noexcept { enabled_ = enabled; }

  /// The number of the next training forward's dropout mask. Set it back to repeat a forward with the
  /// same mask (recomputation, resuming).
  std::uint64_t dropout_step() const noexcept { return dropout_step_; }
  void set_dropout_step(std::uint64_t step) noexcept { dropout_step_ = step; }
  std::uint64_t next_dropout_step() noexcept { return dropout_step_++; }

  /// What layers, overlays and mergers take. Requires that the adapter wasn't moved from: SBORA_ASSERT.
  weight_delta<T> delta() const& {
    SBORA_ASSERT(rank() > 0, "the adapter was moved from, and has no parameters any more");
    return {Kind,
            &target_,
            this->parameters().data(),
            this->gradient_of_delta(),
            d_out_,
            d_in_,
            static_cast<T>(scale()),
            enabled_,
            options_.dropout,
            options_.dropout_seed};
  }
  weight_delta<T> delta() const&& = delete;  // would dangle: name the adapter

 private:
  double scale_without_multiplier() const noexcept {
    const auto r = static_cast<double>(rank());
    return options_.alpha / (options_.rslora ? std::sqrt(r) : r);
  }
  detail::region_geometry geometry() const noexcept { return {Kind, d_out_, d_in_, rank()}; }
  index_t count() const noexcept { return rank() * geometry().lines; }
  template <class Element>
  detail::row_major_map<Element> map_of(Element* data) const noexcept {
    return detail::map_rows<Element>(data, geometry().rows(), geometry().cols());
  }

  struct checked {};

  basic_adapter(checked, index_t d_out, index_t d_in, region target, adapter_options options)
      : target_(std::move(target)), d_out_(d_out), d_in_(d_in), options_(options) {
    if (d_out_ < 1 || d_in_ < 1) {
      throw shape_error(
          detail::message({name(), "a weight of ", detail::shape_text(d_out_, d_in_), ", both must be at least 1"}));
    }
    const detail::region_geometry of = geometry();
    if (target_.dim() != of.dim) {
      throw shape_error(detail::message(
          {name(), "the region is of [0, ", target_.dim(), "), ", detail::dim_name(Kind), " is ", of.dim}));
    }
    if (!detail::size_product({2 * sizeof(T), of.rank, of.lines})) {
      throw shape_error(detail::message({name(), "rank ", rank(), " for a weight of ",
                                         detail::shape_text(d_out_, d_in_), ": more parameters than can be counted"}));
    }
    using enum detail::option_range;
    detail::check_option(who, "alpha", positive, options_.alpha);
    static_cast<void>(detail::as_used<T>(who, options_.rslora ? "alpha / sqrt(rank)" : "alpha / rank", positive,
                                         scale_without_multiplier()));
    detail::check_option(who, "dropout", below_one, options_.dropout);
  }

  static constexpr const char* who = detail::adapter_name(Kind);
  static std::string name() { return detail::message({who, ": "}); }

  region target_;
  index_t d_out_;
  index_t d_in_;
  adapter_options options_;
  double multiplier_ = 1;
  std::uint64_t dropout_step_ = 0;
  bool enabled_ = true;
};

/// SBoRA-FA: the region is of columns (input features), B is trained.
template <class T>
using fa_adapter = basic_adapter<adapter_kind::fa, T>;

/// SBoRA-FB: the region is of rows (output features), A is trained.
template <class T>
using fb_adapter = basic_adapter<adapter_kind::fb, T>;

}  // namespace sbora::inline SBORA_ABI
