// What is wrong with the arguments of a call, `found`; included into the body of a function that takes any. Here and
// not in a function of its own, whose instantiation compilers would report besides.
using sbora::detail::call_mistake;
static_assert(found != call_mistake::workspace,
              "sbora: the call lacks its workspace, an sbora::workspace that isn't const: forward(x, y, workspace), "
              "forward(x, y, adapter, workspace) or, to train, forward(x, y, adapter, saved, workspace); backward(dy, "
              "dx, ...) alike; delta_forward(adapter, x, y, ...)");
static_assert(found != call_mistake::order,
              "sbora: the arguments are x, y (dy, dx), then an adapter or a span of deltas, or, to train, the adapter "
              "and its saved; then the workspace, then an executor if there is one. delta_forward and delta_backward "
              "take the adapter first");
static_assert(found != call_mistake::executor,
              "sbora: an executor needs a member parallel_for(n, f) that calls f(i) for i in [0, n); see "
              "sbora/core/executor.hpp. Adapter and saved come before the workspace, the executor last");
static_assert(found != call_mistake::no_activation,
              "sbora: an activation is an Eigen matrix, vector, Map, Ref or Block, or an sbora::activation_view");
static_assert(found != call_mistake::indirect,
              "sbora: an activation must lie in memory with an inner stride of 1; an expression or a strided map "
              "would need a hidden copy: assign it to a matrix first");
static_assert(found != call_mistake::transposed,
              "sbora: a transposed matrix is taken for what the matrix itself is, since its storage order is the other "
              "one: pass the matrix, or say what is meant with sbora::tokens_by_features(m.transpose()) or "
              "sbora::features_by_tokens(m.transpose())");
static_assert(found != call_mistake::scalar,
              "sbora: an activation has to be of the scalar type that the weight computes in: float (also for "
              "bfloat16, half and quantised weights), or bfloat16 in its place (not of delta_forward's y), or double");
static_assert(found != call_mistake::read_only, "sbora: a result has to be writable");
static_assert(found != call_mistake::adapter_scalar,
              "sbora: the adapter's scalar has to be what the weight computes in: float for float, bfloat16, half and "
              "quantised weights, double for double weights");
static_assert(found != call_mistake::adapter_const,
              "sbora: a training call changes its adapter, which can't be const or a temporary");
static_assert(found != call_mistake::saved,
              "sbora: what was saved doesn't fit the adapter: an FA adapter needs an fa_saved, an FB adapter an "
              "fb_saved, of its scalar type; forward fills it, so it can't be const or a temporary there");
static_assert(found != call_mistake::saved_input,
              "sbora: an fb_saved refers to its input: of bfloat16 inputs it is an fb_saved<float, Eigen::bfloat16>");
static_assert(found != call_mistake::temporary,
              "sbora: an FB adapter refers to its input until the backward; a temporary matrix would dangle");
