// A frozen linear layer over an array, with adapters.

#include <optional>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <sbora/layers/linear.hpp>

#include "adapter.hpp"
#include "arrays.hpp"
#include "module.hpp"
#include "threads.hpp"

namespace python {
namespace {

using sbora::adapter_kind;

/// The adapter for one call: with dropout by the number of its mask or without any, its gradient where that is to be.
template <adapter_kind Kind>
sbora::basic_adapter<Kind, float> for_call(sbora::basic_adapter<Kind, float>& of, std::optional<std::uint64_t> step,
                                           std::span<float> gradient) {
  sbora::adapter_options options = of.options();
  if (!step) options.dropout = 0;
  sbora::basic_adapter<Kind, float> call(of.d_out(), of.d_in(), of.target(), options, of.parameters(), gradient);
  call.set_multiplier(of.multiplier());
  call.set_enabled(of.enabled());
  call.set_dropout_step(step.value_or(0));
  return call;
}

sbora::delta_list<float> deltas_of(const std::vector<const adapter*>& adapters) {
  sbora::delta_list<float> deltas;
  for (const adapter* a : adapters) deltas.push_back(a->visit([](auto& part) { return part.delta(); }));
  return deltas;
}

/// f(view of a, view of b), both of float32 or both of bfloat16.
template <class A, class B, class Function>
void with_activations(const char* name_a, const A& a, const char* name_b, const B& b, const Function& f) {
  const bool bf16 = is_bf16(name_a, a);
  if (is_bf16(name_b, b) != bf16) {
    throw nb::type_error(("sbora: " + std::string(name_a) + " and " + name_b + " have to be of one dtype").c_str());
  }
  if (bf16) f(activation<Eigen::bfloat16>(name_a, a), activation<Eigen::bfloat16>(name_b, b));
  else f(activation<float>(name_a, a), activation<float>(name_b, b));
}

/// sbora::linear over an array, which it keeps, as it does the bias.
class linear {
 public:
  linear(nb::handle weight, nb::handle bias)
      : weight_(take<readable>("weight", weight)),
        bias_(bias.is_none() ? std::nullopt : std::optional(take<readable>("bias", bias))),
        layer_(over(weight_, bias_)) {}

  index_t d_out() const {
    return std::visit([](const auto& layer) { return layer.d_out(); }, layer_);
  }
  index_t d_in() const {
    return std::visit([](const auto& layer) { return layer.d_in(); }, layer_);
  }

  /// y = x·(W + ΔW₁ + …)ᵀ + bias, without dropout.
  void forward(nb::handle x, nb::handle y, const std::vector<const adapter*>& adapters) const {
    const sbora::delta_list<float> deltas = deltas_of(adapters);
    const readable in = take<readable>("x", x);
    const writable out = take<writable>("y", y);
    with_activations("x", in, "y", out, [&](auto x_view, auto y_view) {
      run([&](const auto& layer) { layer.forward(x_view, y_view, std::span(deltas), scratch(), threads()); });
    });
  }

  /// The same with one adapter that is trained. FA writes the inputs that its backward needs into `saved`, tokens ×
  /// rank of float32; FB's backward needs x, and `saved` isn't looked at. dropout_step: the number of the mask; None:
  /// no dropout.
  void training_forward(nb::handle x, nb::handle y, const adapter& a, nb::handle saved,
                        std::optional<std::uint64_t> dropout_step) const {
    const readable in = take<readable>("x", x);
    const writable out = take<writable>("y", y);
    with_activations("x", in, "y", out, [&](auto x_view, auto y_view) {
      a.visit([&]<adapter_kind Kind>(sbora::basic_adapter<Kind, float>& part) {
        auto call = for_call(part, dropout_step, {});
        if constexpr (Kind == adapter_kind::fa) {
          const writable memory = take<writable>("saved", saved);
          sbora::fa_saved<float> kept(numbers("saved", memory, x_view.tokens * part.rank()));
          run([&](const auto& layer) { layer.forward(x_view, y_view, call, kept, scratch(), threads()); });
        } else {
          fb_saved_of<decltype(x_view)> kept;
          run([&](const auto& layer) { layer.forward(x_view, y_view, call, kept, scratch(), threads()); });
        }
      });
    });
  }

  /// dx = dy·(W + ΔW₁ + …).
  void backward(nb::handle dy, nb::handle dx, const std::vector<const adapter*>& adapters) const {
    const sbora::delta_list<float> deltas = deltas_of(adapters);
    const readable out = take<readable>("dy", dy);
    const writable in = take<writable>("dx", dx);
    with_activations("dy", out, "dx", in, [&](auto dy_view, auto dx_view) {
      run([&](const auto& layer) { layer.backward(dy_view, dx_view, std::span(deltas), scratch(), threads()); });
    });
  }

  /// dx = dy·(W + ΔW), unless dx is None; `gradient`, or the adapter's own, += its gradient. `saved` is what
  /// training_forward wrote (FA), or its x (FB).
  void training_backward(nb::handle dy, nb::handle dx, const adapter& a, nb::handle saved, nb::handle gradient,
                         std::optional<std::uint64_t> dropout_step) const {
    const readable out = take<readable>("dy", dy);
    const auto with = [&](auto dy_view, auto dx_view) {
      train_backward(dy_view, dx_view, a, saved, gradient, dropout_step);
    };
    if (!dx.is_none()) return with_activations("dy", out, "dx", take<writable>("dx", dx), with);
    if (is_bf16("dy", out)) with(activation<Eigen::bfloat16>("dy", out), sbora::no_dx);
    else with(activation<float>("dy", out), sbora::no_dx);
  }

 private:
  template <class Scalar>
  using layer_over = sbora::linear<sbora::weight_view<const Scalar>>;
  using any_layer = std::variant<layer_over<float>, layer_over<Eigen::bfloat16>>;

  template <class View>
  struct input_of;
  template <class T>
  struct input_of<sbora::activation_view<T>> {
    using type = std::remove_const_t<T>;
  };
  template <class View>
  using fb_saved_of = sbora::fb_saved<float, typename input_of<View>::type>;

  static any_layer over(const readable& array, const std::optional<readable>& bias) {
    const auto make = [&](auto view) -> any_layer {
      if (!bias) return sbora::linear(view);
      if (bias->ndim() != 1 || bias->dtype() != nb::dtype<float>() || (bias->size() > 1 && bias->stride(0) != 1)) {
        throw nb::type_error("sbora: bias has to be a contiguous vector of float32");
      }
      return sbora::linear<decltype(view)>(view, std::span(static_cast<const float*>(bias->data()), bias->size()));
    };
    if (is_bf16("weight", array)) return make(weight<const Eigen::bfloat16>(array));
    return make(weight<const float>(array));
  }

  /// f(layer), while other threads of Python run.
  template <class Function>
  void run(const Function& f) const {
    const nb::gil_scoped_release others_run;
    std::visit(f, layer_);
  }

  template <class Dy, class Dx>
  void train_backward(Dy dy, Dx dx, const adapter& a, nb::handle saved, nb::handle gradient,
                      std::optional<std::uint64_t> dropout_step) const {
    const readable input = take<readable>("saved", saved);
    a.visit([&]<adapter_kind Kind>(sbora::basic_adapter<Kind, float>& part) {
      std::optional<writable> memory;
      if (!gradient.is_none()) memory = take<writable>("gradient", gradient);
      auto call =
          for_call(part, dropout_step, memory ? numbers("gradient", *memory, part.parameter_count()) : part.gradient());
      const auto with = [&](const auto& kept) {
        run([&](const auto& layer) { layer.backward(dy, dx, call, kept, scratch(), threads()); });
      };
      const std::uint64_t step = dropout_step.value_or(0);
      if constexpr (Kind == adapter_kind::fa) {
        const auto view = activation<float>("saved", input);
        const std::span<const float> values(view.data, static_cast<std::size_t>(view.tokens * view.features));
        with(sbora::fa_saved<float>::from(values, view.tokens, view.features, step));
      } else if (is_bf16("saved", input)) {
        with(sbora::fb_saved<float, Eigen::bfloat16>::from(
            sbora::detail::as_stored_activation<const float>(activation<Eigen::bfloat16>("saved", input)), step));
      } else {
        with(sbora::fb_saved<float>::from(activation<float>("saved", input), step));
      }
    });
  }

  readable weight_;
  std::optional<readable> bias_;
  any_layer layer_;
};

}  // namespace

void add_layers(nb::module_& module) {
  const std::vector<const adapter*> none;
  nb::class_<linear>(module, "Linear")
      .def(nb::init<nb::handle, nb::handle>(), nb::arg("weight"), nb::arg("bias") = nb::none())
      .def_prop_ro("d_out", &linear::d_out)
      .def_prop_ro("d_in", &linear::d_in)
      .def("forward", &linear::forward, nb::arg("x"), nb::arg("y"), nb::arg("adapters") = none)
      .def("backward", &linear::backward, nb::arg("dy"), nb::arg("dx"), nb::arg("adapters") = none)
      .def("training_forward", &linear::training_forward, nb::arg("x"), nb::arg("y"), nb::arg("adapter"),
           nb::arg("saved").none(), nb::arg("dropout_step") = nb::none())
      .def("training_backward", &linear::training_backward, nb::arg("dy"), nb::arg("dx").none(), nb::arg("adapter"),
           nb::arg("saved"), nb::arg("gradient") = nb::none(), nb::arg("dropout_step") = nb::none());
}

}  // namespace python
