// Compiled twice with different flags and linked, the greater ones first; only the lesser unit is called. UNIT names
// its function. Kernels of the scalar level have no instructions but the flags' own.
#include <cstdint>

#include <sbora/kernels/scalar.hpp>

#if defined(CALLS)
extern "C" int greater();
extern "C" int (*volatile never_called)();
int (*volatile never_called)() = &greater;
#endif

extern "C" int UNIT() {
  using namespace sbora;
  namespace level = detail::scalar;
  using conversions = detail::conversion_kernels<float>;
  using optimisers = detail::step_kernels<detail::sgd_rates<float>>;
  constexpr index_t n = 100;
  float values[n], gathered[n] = {};
  bf16 stored[n];
  index_t index[n];
  for (index_t i = 0; i < n; ++i) {
    values[i] = static_cast<float>(i % 8);
    index[i] = n - 1 - i;
  }
  // Volatile: the copy that the linker keeps is called, not one inlined here.
  const conversions* volatile const convert = &level::table<conversions>::entries;
  convert->narrow_bf16(values, stored, n);
  convert->widen_bf16(stored, values, n);
  const detail::dense_kernels<float>* volatile const dense = &level::table<detail::dense_kernels<float>>::entries;
  dense->gather({values, n, index, n, gathered, n, 0, 1});
  dense->scatter_add({gathered, n, nullptr, n, 2.0F, values, n, 0, 1});
  const optimisers* volatile const optimiser = &level::table<optimisers>::entries;
  optimiser->step({.parameter = values,
                   .gradient = gathered,
                   .rates = {1.0F, 0.0F, 0.0F, 1.0F, 0.0F, false},
                   .begin = 0,
                   .end = n});
  float sum = 0;
  for (const float value : values) sum += value;
  return static_cast<int>(sum);
}

#if defined(CALLS)
int main() { return UNIT() == 3 * (12 * 28 + 6) ? 0 : 1; }
#endif
