#include <algorithm>
#include <cstring>
#include <new>

#include <sbora/plugs/c_adapter.hpp>
#include <sbora/regions/sample.hpp>

// A library may hide all but these.
#pragma GCC visibility push(default)
#include <sbora/plugs/c.h>
#pragma GCC visibility pop

struct sbora_adapter {
  sbora::detail::c_adapter it;
};
struct sbora_threads {
  sbora::thread_pool pool;
};

namespace sbora::inline SBORA_ABI::detail {

/// An argument of c.h that nothing can be made of.
class c_argument_error : public error {
 public:
  using error::error;
};

/// Of a fixed size: to keep an error must not fail.
inline thread_local char c_last_error[2048] = "";

inline sbora_status c_failure(sbora_status status, const char* text) noexcept {
  const std::size_t length = std::min(std::strlen(text), sizeof c_last_error - 1);
  std::memcpy(c_last_error, text, length);
  c_last_error[length] = '\0';
  return status;
}

/// f(), and what it throws as a status.
template <class Function>
sbora_status c_guarded(const Function& f) noexcept {
  try {
    f();
    return sbora_ok;
  } catch (const c_argument_error& e) {
    return c_failure(sbora_wrong_argument, e.what());
  } catch (const region_error& e) {
    return c_failure(sbora_wrong_region, e.what());
  } catch (const config_error& e) {
    return c_failure(sbora_wrong_option, e.what());
  } catch (const c_order_error& e) {
    return c_failure(sbora_wrong_order, e.what());
  } catch (const not_finite_error& e) {
    return c_failure(sbora_not_finite, e.what());
  } catch (const error& e) {  // shapes, and the layers' assertions about them
    return c_failure(sbora_wrong_shape, e.what());
  } catch (const std::bad_alloc&) {
    return c_failure(sbora_no_memory, "sbora: not enough memory");
  } catch (const std::exception& e) {
    return c_failure(sbora_failed, e.what());
  } catch (...) {
    return c_failure(sbora_failed, "sbora: an exception of an unknown type");
  }
}

/// Errors: c_argument_error for null; `name` is c.h's.
template <class T>
T& c_required(const char* name, T* pointer) {
  if (pointer == nullptr) throw c_argument_error(std::string("sbora: ") + name + " is NULL");
  return *pointer;
}

inline plugged_matrix c_matrix(const char* name, const sbora_matrix* given) {
  const sbora_matrix& m = c_required(name, given);
  if (m.type != sbora_f32 && m.type != sbora_bf16) {
    throw c_argument_error(std::string("sbora: ") + name + ": type " + std::to_string(m.type) +
                           " is neither sbora_f32 nor sbora_bf16");
  }
  if (m.rows < 0 || m.cols < 0 || m.stride < 0 || !size_product({m.rows, std::max(m.cols, m.stride)})) {
    throw shape_error(std::string("sbora: ") + name + " is " + shape_text(m.rows, m.cols) + " with a stride of " +
                      std::to_string(m.stride) + ", which no memory has");
  }
  return {m.data, m.type == sbora_f32 ? plugged_type::f32 : plugged_type::bf16, m.rows, m.cols,
          m.stride == 0 ? m.cols : m.stride};
}

/// f(any_executor).
template <class Function>
void c_with_threads(sbora_threads* threads, const Function& f) {
  threads == nullptr ? f(any_executor()) : f(any_executor(threads->pool));
}

}  // namespace sbora::inline SBORA_ABI::detail

extern "C" {

const char* sbora_last_error(void) { return sbora::detail::c_last_error; }

sbora_status sbora_threads_new(int32_t count, sbora_threads** threads) {
  return sbora::detail::c_guarded([&] {
    sbora_threads*& made = sbora::detail::c_required("threads", threads);
    made = new sbora_threads{sbora::thread_pool(count)};
  });
}
void sbora_threads_free(sbora_threads* threads) { delete threads; }

sbora_status sbora_adapter_new(int32_t kind, int64_t d_out, int64_t d_in, int64_t rank, double alpha,
                               const int64_t* indices, uint64_t seed, sbora_adapter** adapter) {
  using namespace sbora::detail;
  return c_guarded([&] {
    sbora_adapter*& made = c_required("adapter", adapter);
    if (kind != sbora_fa && kind != sbora_fb) {
      throw c_argument_error("sbora_adapter_new: kind " + std::to_string(kind) + " is neither sbora_fa nor sbora_fb");
    }
    const auto as = kind == sbora_fa ? sbora::adapter_kind::fa : sbora::adapter_kind::fb;
    const region_geometry geometry(as, d_out, d_in, rank);
    check_rank("sbora_adapter_new", geometry.dim, rank);
    sbora::region target = indices == nullptr
                               ? sbora::sample_region(geometry.dim, rank, seed)
                               : sbora::region(geometry.dim, std::vector<sbora::index_t>(indices, indices + rank));
    made = new sbora_adapter{c_adapter(as, d_out, d_in, std::move(target), alpha)};
  });
}
void sbora_adapter_free(sbora_adapter* adapter) { delete adapter; }

int64_t sbora_adapter_rank(const sbora_adapter* adapter) {
  return adapter == nullptr ? 0 : adapter->it.visit([](const auto& a) { return a.rank(); });
}
int64_t sbora_adapter_parameter_count(const sbora_adapter* adapter) {
  return adapter == nullptr ? 0 : adapter->it.visit([](const auto& a) { return a.parameter_count(); });
}
const int64_t* sbora_adapter_indices(const sbora_adapter* adapter) {
  static_assert(sizeof(sbora::index_t) == sizeof(int64_t));
  return adapter == nullptr ? nullptr : adapter->it.visit([](const auto& a) { return a.target().indices().data(); });
}
float* sbora_adapter_parameters(sbora_adapter* adapter) {
  return adapter == nullptr ? nullptr : adapter->it.visit([](auto& a) { return a.parameters().data(); });
}
float* sbora_adapter_gradient(sbora_adapter* adapter) {
  return adapter == nullptr ? nullptr : adapter->it.visit([](auto& a) { return a.gradient().data(); });
}

sbora_status sbora_forward(sbora_adapter* adapter, const sbora_matrix* weight, const float* bias, const sbora_matrix* x,
                           const sbora_matrix* y, int32_t training, sbora_threads* threads) {
  using namespace sbora::detail;
  return c_guarded([&] {
    c_adapter& it = c_required("adapter", adapter).it;
    const plugged_matrix w = c_matrix("weight", weight);
    const sbora::lasting_span<float> biases(bias, bias == nullptr ? 0 : static_cast<std::size_t>(w.rows));
    c_with_threads(threads, [&](sbora::any_executor pool) {
      it.forward(w, biases, c_matrix("x", x), c_matrix("y", y), training != 0, pool);
    });
  });
}

sbora_status sbora_backward(sbora_adapter* adapter, const sbora_matrix* weight, const sbora_matrix* dy,
                            const sbora_matrix* dx, sbora_threads* threads) {
  using namespace sbora::detail;
  return c_guarded([&] {
    c_adapter& it = c_required("adapter", adapter).it;
    const plugged_matrix w = c_matrix("weight", weight), out = c_matrix("dy", dy);
    const plugged_matrix in = dx == nullptr ? out : c_matrix("dx", dx);
    c_with_threads(threads,
                   [&](sbora::any_executor pool) { it.backward(w, out, dx == nullptr ? nullptr : &in, pool); });
  });
}

sbora_status sbora_zero_gradient(sbora_adapter* adapter) {
  using namespace sbora::detail;
  return c_guarded([&] { c_required("adapter", adapter).it.visit([](auto& a) { a.zero_gradient(); }); });
}

sbora_status sbora_adamw_step(sbora_adapter* adapter, const sbora_adamw_rates* rates, sbora_threads* threads) {
  using namespace sbora::detail;
  return c_guarded([&] {
    c_adapter& it = c_required("adapter", adapter).it;
    const sbora_adamw_rates& r = c_required("rates", rates);
    c_with_threads(threads, [&](sbora::any_executor pool) {
      it.adamw_step({r.learning_rate, r.beta1, r.beta2, r.epsilon, r.weight_decay}, pool);
    });
  });
}

sbora_status sbora_merge(sbora_adapter* adapter, const sbora_matrix* weight, sbora_threads* threads) {
  using namespace sbora::detail;
  return c_guarded([&] {
    c_adapter& it = c_required("adapter", adapter).it;
    const plugged_matrix w = c_matrix("weight", weight);
    c_with_threads(threads, [&](sbora::any_executor pool) { it.merge(w, pool); });
  });
}

sbora_status sbora_unmerge(sbora_adapter* adapter, sbora_threads* threads) {
  using namespace sbora::detail;
  return c_guarded([&] {
    c_adapter& it = c_required("adapter", adapter).it;
    c_with_threads(threads, [&](sbora::any_executor pool) { it.unmerge(pool); });
  });
}

}  // extern "C"
