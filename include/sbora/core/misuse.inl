// What is wrong with the arguments of a call, `found`; included into the body of a function that takes any. Here and
// not in a function of its own, whose instantiation compilers would report besides.
using sbora::detail::misuse;
static_assert(found != misuse::executor,
              "sbora: an executor needs a member parallel_for(n, f) that calls f(i) for i in [0, n); see "
              "sbora/core/executor.hpp");
static_assert(found != misuse::adapter_scalar,
              "sbora: the adapter's scalar has to be what the weight computes in: float for float, bfloat16, half and "
              "quantised weights, double for double weights");
static_assert(found != misuse::merge_call,
              "sbora: what is merged is an adapter, sbora::fa_adapter or fb_adapter: merge(adapter), unmerge(adapter), "
              "swap(out, in), rewrite(adapter, before), whose before(begin, end) is called, or "
              "merge_requantized(four_bit_weight, adapter), which takes a span of deltas too, and before it a "
              "weight_part; an executor comes last, where there is one");
static_assert(found != misuse::merged_step_call,
              "sbora: the arguments are merged_step(merger, adapter, optimiser, learning rate or step_options), the "
              "first three not const and the optimiser of the adapter's scalar; an executor comes last");
static_assert(found != misuse::weight,
              "sbora: the weight is a view: sbora::weight_view{w} of a matrix, w.view() of a quantised weight");
static_assert(found != misuse::weight_scalar,
              "sbora: a weight is read row by row as floats (dequantize, export_merged, quantising): it has to be a "
              "float_weight, a view of float, bfloat16, half or codes of 4 or 8 bits, not of double");
static_assert(found != misuse::read_only, "sbora: a result has to be writable");
static_assert(
    found != misuse::export_call,
    "sbora: the arguments are export_merged(weight, deltas, out) or dequantize(weight, out); deltas are a span "
    "of sbora::weight_delta<float>, as overlay's deltas(); an executor comes last");
static_assert(found != misuse::quantise_call,
              "sbora: the arguments are four_bit_weight(weight, four_bit_options) or int8_weight(weight); an executor "
              "comes last");
static_assert(
    found != misuse::convert_call,
    "sbora: the arguments are convert(source, out), spans or containers of the same size, one of float and the "
    "other of Eigen::bfloat16 or Eigen::half, out not const; an executor comes last");
static_assert(found != misuse::step_call,
              "sbora: the arguments are step(parameters, gradient, learning rate or step_options), numbers of the "
              "optimiser's scalar as adapter.parameters() and adapter.gradient() are; an executor comes last");
