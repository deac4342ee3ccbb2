#pragma once

#include <cmath>
#include <numbers>

#include <sbora/core/index.hpp>
#include <sbora/core/option.hpp>

namespace sbora::inline SBORA_ABI {

/// A learning rate for every step: a linear warm-up, then constant, linear or cosine decay to zero.
///
/// Effect      at(t), t = 0 for the first step: peak·t/warmup for t < warmup; then with
///             p = (t - warmup)/(total - warmup): peak, peak·(1 - p), or peak·(1 + cos πp)/2; 0 from
///             total on. Warm-up starts at 0, as in transformers' schedules.
/// Requires    peak > 0, warmup >= 0, total > warmup: checked. at() of a negative step is at(0).
/// Thread      immutable.
/// Errors      config_error.
/// Source      transformers.get_{constant,linear,cosine}_schedule_with_warmup.
class schedule {
 public:
  static schedule constant(double peak, index_t warmup = 0) { return schedule(shape::constant, peak, warmup, warmup); }
  static schedule linear(double peak, index_t warmup, index_t total) {
    return schedule(shape::linear, peak, warmup, total);
  }
  static schedule cosine(double peak, index_t warmup, index_t total) {
    return schedule(shape::cosine, peak, warmup, total);
  }

  double at(index_t step) const noexcept {
    if (step < 0) return at(0);
    if (step < warmup_) return peak_ * (static_cast<double>(step) / static_cast<double>(warmup_));
    if (shape_ == shape::constant) return peak_;
    if (step >= total_) return 0;
    const double progress = static_cast<double>(step - warmup_) / static_cast<double>(total_ - warmup_);
    return shape_ == shape::linear ? peak_ * (1 - progress) : peak_ * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }

 private:
  enum class shape { constant, linear, cosine };

  schedule(shape form, double peak, index_t warmup, index_t total)
      : shape_(form), peak_(peak), warmup_(warmup), total_(total) {
    constexpr const char* who = "sbora::schedule";
    detail::check_option(who, "the learning rate", detail::option_range::positive, peak);
    detail::check_option(who, "warmup", detail::option_range::not_negative, static_cast<double>(warmup));
    if (form != shape::constant && total <= warmup) {
      throw config_error(detail::message(
          {who, ": total must be above warmup, got ", detail::number_text(static_cast<double>(total))}));
    }
  }

  shape shape_;
  double peak_;
  index_t warmup_;
  index_t total_;  ///< no matter where constant
};

}  // namespace sbora::inline SBORA_ABI
