// Adapters of one module, and merging them into a weight.

#include "adapter.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <Eigen/Core>
#include <sbora/merge/merger.hpp>

#include "arrays.hpp"
#include "module.hpp"
#include "threads.hpp"

namespace python {
namespace {

template <class Adapter>
adapter make(index_t d_out, index_t d_in, std::vector<index_t> indices, sbora::adapter_options options) {
  const index_t dim = sbora::detail::region_geometry(Adapter::kind, d_out, d_in, 1).dim;
  auto made = std::make_shared<Adapter>(d_out, d_in, sbora::region(dim, std::move(indices)), options);
  return {made, made.get()};
}

template <class Adapter>
void add_kind(nb::module_& module, const char* name) {
  module.def(
      name,
      [](index_t d_out, index_t d_in, std::vector<index_t> indices, double alpha, bool rslora, double dropout,
         std::uint64_t dropout_seed) {
        return make<Adapter>(d_out, d_in, std::move(indices),
                             {.alpha = alpha, .rslora = rslora, .dropout = dropout, .dropout_seed = dropout_seed});
      },
      nb::arg("d_out"), nb::arg("d_in"), nb::arg("indices"), nb::kw_only(), nb::arg("alpha") = 8.0,
      nb::arg("rslora") = false, nb::arg("dropout") = 0.0, nb::arg("dropout_seed") = 0);
}

/// The trained half or its gradient, in the adapter's memory; `self` keeps that.
template <bool Gradient>
nb::ndarray<nb::array_api, float> matrix(nb::handle self) {
  return nb::cast<const adapter&>(self).visit([&](auto& part) {
    const std::span<float> values = Gradient ? part.gradient() : part.parameters();
    const auto [block] = part.blocks();
    return nb::ndarray<nb::array_api, float>(
        values.data(), {static_cast<std::size_t>(block.rows), static_cast<std::size_t>(block.cols)}, self);
  });
}

/// sbora::merger over an array, which it keeps.
class merger {
 public:
  explicit merger(nb::handle weight) : array_(take<writable>("weight", weight)), merger_(over(array_)) {}
  merger(const merger&) = delete;
  merger& operator=(const merger&) = delete;

  template <class... Adapters>
  void merge(const Adapters&... adapters) {
    call([](auto& into, auto&... parts) { into.merge(parts..., threads()); }, adapters...);
  }
  template <class... Adapters>
  void unmerge(const Adapters&... adapters) {
    call([](auto& from, auto&... parts) { from.unmerge(parts..., threads()); }, adapters...);
  }
  void swap(const adapter& out, const adapter& in) {
    call([](auto& of, auto& a, auto& b) { of.swap(a, b, threads()); }, out, in);
  }

 private:
  using any_merger = std::variant<sbora::merger<float>, sbora::merger<Eigen::bfloat16>>;

  static any_merger over(const writable& array) {
    if (is_bf16("weight", array)) return sbora::merger<Eigen::bfloat16>(weight<Eigen::bfloat16>(array));
    return sbora::merger<float>(weight<float>(array));
  }

  template <class Function, class... Adapters>
  void call(const Function& f, const Adapters&... adapters) {
    const nb::gil_scoped_release others_run;
    std::visit([&](auto& of, auto*... parts) { f(of, *parts...); }, merger_, adapters.part...);
  }

  writable array_;
  any_merger merger_;
};

}  // namespace

void add_adapters(nb::module_& module) {
  const auto property = [](auto of) { return [of](const adapter& a) { return a.visit(of); }; };
  nb::class_<adapter>(module, "Adapter")
      .def_prop_ro("kind", property([](auto& part) { return std::string(to_string(part.kind)); }))
      .def_prop_ro("d_out", property([](auto& part) { return part.d_out(); }))
      .def_prop_ro("d_in", property([](auto& part) { return part.d_in(); }))
      .def_prop_ro("rank", property([](auto& part) { return part.rank(); }))
      .def_prop_ro("indices", property([](auto& part) {
                     const auto indices = part.target().indices();
                     return std::vector<index_t>(indices.begin(), indices.end());
                   }))
      .def_prop_ro("alpha", property([](auto& part) { return part.options().alpha; }))
      .def_prop_ro("dropout", property([](auto& part) { return part.options().dropout; }))
      .def_prop_ro("scale", property([](auto& part) { return part.scale(); }))
      .def_prop_rw("multiplier", property([](auto& part) { return part.multiplier(); }),
                   [](const adapter& a, double m) { a.visit([&](auto& part) { part.set_multiplier(m); }); })
      .def_prop_rw("enabled", property([](auto& part) { return part.enabled(); }),
                   [](const adapter& a, bool on) { a.visit([&](auto& part) { part.set_enabled(on); }); })
      .def_prop_ro("parameters", &matrix<false>)
      .def_prop_ro("gradient", &matrix<true>)
      .def("zero_gradient", property([](auto& part) { part.zero_gradient(); }));
  add_kind<sbora::fa_adapter<float>>(module, "fa_adapter");
  add_kind<sbora::fb_adapter<float>>(module, "fb_adapter");

  nb::class_<merger>(module, "Merger")
      .def(nb::init<nb::handle>(), nb::arg("weight"))
      .def("merge", &merger::merge<adapter>, nb::arg("adapter"))
      .def("unmerge", &merger::unmerge<adapter>, nb::arg("adapter"))
      .def("swap", &merger::swap, nb::arg("out"), nb::arg("in_"));
}

}  // namespace python
