#pragma once

#include <memory>
#include <variant>

#include <sbora/adapters/adapter.hpp>

namespace python {

/// One module's adapter, of its own or a part of a model's, which it keeps alive.
struct adapter {
  std::shared_ptr<void> owner;
  std::variant<sbora::fa_adapter<float>*, sbora::fb_adapter<float>*> part;

  template <class Function>
  decltype(auto) visit(Function&& f) const {
    return std::visit([&](auto* of) -> decltype(auto) { return f(*of); }, part);
  }
};

}  // namespace python
