#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>

#include <sbora/adapters/parameter_block.hpp>
#include <sbora/core/aligned_memory.hpp>
#include <sbora/core/checked_size.hpp>
#include <sbora/core/misuse.hpp>
#include <sbora/core/option.hpp>
#include <sbora/kernels/dispatch.hpp>
#include <sbora/optimisers/optimiser.hpp>

namespace sbora::inline SBORA_ABI::detail {

/// Elements per optimiser task: 448 KiB of traffic at 28 bytes each.
inline constexpr index_t task_elements = 16384;

/// Parameters of those blocks. Errors: shape_error where they aren't one after another from 0 on.
inline index_t count_of(const char* who, std::span<const parameter_block> blocks) {
  index_t count = 0;
  for (const parameter_block& block : blocks) {
    const auto size = block.rows < 1 || block.cols < 1 ? std::nullopt : size_product({block.rows, block.cols});
    if (block.offset != count || !size || __builtin_add_overflow(count, *size, &count)) {
      throw shape_error(message({who, ": a block of ", shape_text(block.rows, block.cols), " at ", block.offset,
                                 "; blocks follow one another without gaps, the next at ", count}));
    }
  }
  return count;
}

/// How many parameters an optimiser is made for: a number, or blocks that add up to it.
struct parameter_total {
  index_t count = 0;
  std::span<const parameter_block> blocks = {};

  template <class Count>
    requires std::is_integral_v<Count>
  parameter_total(Count parameters) : count(static_cast<index_t>(parameters)) {}
  template <class Blocks>
    requires std::is_convertible_v<const Blocks&, std::span<const parameter_block>>
  parameter_total(const Blocks& shapes) : blocks(shapes) {}

  /// Errors: shape_error where there are none.
  index_t checked(const char* who) const {
    const index_t total = blocks.empty() ? count : count_of(who, blocks);
    if (total < 1) throw shape_error(message({who, ": no parameters"}));
    return total;
  }
};

/// A step that was begun: each range of the flat span has to be done once, in any order and on any thread.
template <class Arguments>
struct started_step {
  Arguments args;
  void (*kernel)(const Arguments&) noexcept;

  void operator()(index_t begin, index_t end) const noexcept {
    Arguments range = args;
    range.begin = begin;
    range.end = end;
    kernel(range);
  }
};

/// The kernel of those rates. Errors: what active_isa() throws.
template <class Rates>
started_step<step_args<Rates>> start_with(const step_args<Rates>& args) {
  return {args, get_kernels<step_kernels<Rates>>().step};
}

template <class T>
aligned_array<T> make_zeroed_array(index_t size) {
  aligned_array<T> array = make_aligned_array<T>(size);
  std::fill_n(array.get(), size, T{0});
  return array;
}

/// Of step: (parameters, gradient, rate or step_options, executor), of which the last two may be missing.
template <class T, class... Arguments>
inline constexpr misuse misuse_of_step = misuse::step_call;
template <class T, class Parameters, class Gradient>
  requires(std::is_convertible_v<Parameters, std::span<T>> && std::is_convertible_v<Gradient, std::span<const T>>)
inline constexpr misuse misuse_of_step<T, Parameters, Gradient> = misuse::none;
template <class T, class Parameters, class Gradient, class Rate, class... Rest>
  requires(std::is_arithmetic_v<std::remove_cvref_t<Rate>> || std::is_convertible_v<Rate, step_options>)
inline constexpr misuse misuse_of_step<T, Parameters, Gradient, Rate, Rest...> =
    misuse_of_step<T, Parameters, Gradient> != misuse::none ? misuse::step_call
                                                            : misuse_of_rest<Rest...>(misuse::step_call);

/// What the optimisers share: see the concept `optimiser`. Self has
///   name                                   static, "sbora::adamw"
///   check(options)                         static; throws what is wrong with them
///   state()                                an array of optimiser_state
/// and one of
///   begin(parameters, gradient, now, step) a started_step; by ranges that start at multiples of `range_multiple`
///   carry_out(parameters, gradient, now, pool)
/// where step is 1 at first. All throw before they write.
template <class Self, class T, class Options>
class optimiser_base {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>,
                "sbora: an optimiser's numbers are float or double; keep a bfloat16 or half adapter's in float");

 public:
  using scalar = T;

  optimiser_base(parameter_total parameters, const Options& options)
      : options_(options), count_(parameters.checked(Self::name)) {
    static_cast<void>(as_used<T>(Self::name, "learning_rate", option_range::positive, options.learning_rate));
    Self::check(options);
  }

  template <class Executor = serial_executor>
  void step(std::span<T> parameters, std::span<const T> gradient, step_options now, Executor&& pool = Executor{}) {
    constexpr auto found = misuse_of_rest<Executor>(misuse::step_call);
#include <sbora/core/misuse.inl>
    if constexpr (found == misuse::none) take_step(parameters, gradient, now, pool);
  }
  /// With that learning rate, or the options'.
  template <class Rate, executor_argument Executor = serial_executor>
    requires std::is_arithmetic_v<Rate>
  void step(std::span<T> parameters, std::span<const T> gradient, Rate learning_rate, Executor&& pool = Executor{}) {
    step(parameters, gradient, step_options{static_cast<double>(learning_rate)}, pool);
  }
  void step(std::span<T> parameters, std::span<const T> gradient) {
    step(parameters, gradient, step_options{options_.learning_rate});
  }

  /// Any other arguments don't compile, and this says why.
  template <class... Arguments>
    requires(misuse_of_step<T, Arguments...> != misuse::none)
  void step(Arguments&&...) {
    constexpr auto found = misuse_of_step<T, Arguments...>;
#include <sbora/core/misuse.inl>
  }

  /// Begins a step that the caller carries out, by calling what this returns for ranges that make up
  /// [0, parameter_count). For fusing it with other passes over the parameters; see merged_step.
  template <class Optimiser = Self>
    requires(Optimiser::range_multiple == 1)
  auto start_step(std::span<T> parameters, std::span<const T> gradient, step_options now) & {
    return begin_checked(parameters, gradient, now);
  }

  index_t parameter_count() const noexcept { return count_.value; }
  const Options& options() const& noexcept { return options_; }
  Options options() && noexcept { return options_; }
  index_t steps() const noexcept { return steps_; }
  /// For resuming: put the state and the step count back. Errors: config_error where it is negative.
  void set_steps(index_t steps) {
    check_option(Self::name, "steps", option_range::not_negative, static_cast<double>(steps));
    steps_ = steps;
  }
  std::size_t state_bytes() const noexcept {
    std::size_t sum = 0;
    for (const optimiser_state& part : const_cast<optimiser_base*>(this)->self().state()) sum += part.bytes();
    return sum;
  }

 protected:
  /// Of `values`, which are one for each parameter.
  template <class Value>
  std::span<Value> span_of(Value* values) const noexcept {
    return {values, values != nullptr ? static_cast<std::size_t>(count_.value) : 0};
  }

 private:
  Self& self() noexcept { return static_cast<Self&>(*this); }

  void check_sizes(std::size_t parameters, std::size_t gradient) const {
    const auto count = static_cast<std::size_t>(count_.value);
    if (parameters != count || gradient != count) {
      throw shape_error(message(
          {Self::name, ": made for ", count, " parameters, got ", parameters, " and ", gradient, " gradients"}));
    }
  }

  /// The greatest number stays: what depends on the count is constant long before.
  index_t next_step() const noexcept { return steps_ < std::numeric_limits<index_t>::max() ? steps_ + 1 : steps_; }

  auto begin_checked(std::span<T> parameters, std::span<const T> gradient, const step_options& now) {
    check_sizes(parameters.size(), gradient.size());
    const auto started = self().begin(parameters, gradient, now, next_step());
    steps_ = next_step();
    return started;
  }

  template <class Executor>
  void take_step(std::span<T> parameters, std::span<const T> gradient, const step_options& now, Executor& pool) {
    if constexpr (requires { self().begin(parameters, gradient, now, steps_); }) {
      static_assert(task_elements % Self::range_multiple == 0);
      for_ranges(count_.value, task_elements, pool, begin_checked(parameters, gradient, now));
    } else {
      check_sizes(parameters.size(), gradient.size());
      self().carry_out(parameters, gradient, now, pool);
      steps_ = next_step();
    }
  }

  Options options_;
  reset_on_move<index_t> count_;
  index_t steps_ = 0;
};

}  // namespace sbora::inline SBORA_ABI::detail
