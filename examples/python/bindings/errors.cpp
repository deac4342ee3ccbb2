// sbora's exceptions as Python's, with the same texts: shape_error is sbora.ShapeError, and so on.

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <sbora/io/errors.hpp>

#include "module.hpp"

namespace python {
namespace {

/// Raises `type`, with attributes (name, value, name, value …).
template <class... Attributes>
void raise(nb::handle type, const std::exception& error, const Attributes&... attributes) {
  nb::object raised = type(error.what());
  if constexpr (sizeof...(attributes) > 0) {
    const auto set = [&](auto& self, const char* name, const auto& value, const auto&... rest) -> void {
      raised.attr(name) = nb::cast(value);
      if constexpr (sizeof...(rest) > 0) self(self, rest...);
    };
    set(set, attributes...);
  }
  PyErr_SetObject(type.ptr(), raised.ptr());
}

/// By the attribute of the module, which outlives all calls.
void translate(const std::exception_ptr& thrown, void* module) {
  const auto type = [&](const char* name) { return nb::handle(static_cast<PyObject*>(module)).attr(name); };
  try {
    std::rethrow_exception(thrown);
  } catch (const sbora::not_finite_error& e) {
    raise(type("NotFiniteError"), e, "row", e.row(), "col", e.col());
  } catch (const sbora::checkpoint_error& e) {
    raise(type("CheckpointError"), e, "problems", e.problems(), "cause", e.cause());
  } catch (const sbora::file_error& e) {
    raise(type("FileError"), e, "path", e.path(), "errno", e.code());
  } catch (const sbora::format_error& e) {
    raise(type("FormatError"), e, "path", e.path(), "fault", std::string(to_string(e.kind())));
  } catch (const sbora::region_error& e) {
    raise(type("RegionError"), e);
  } catch (const sbora::shape_error& e) {
    raise(type("ShapeError"), e);
  } catch (const sbora::quantization_error& e) {
    raise(type("QuantizationError"), e);
  } catch (const sbora::config_error& e) {
    raise(type("ConfigError"), e);
  } catch (const sbora::merge_error& e) {
    raise(type("MergeError"), e);
  } catch (const sbora::workspace_error& e) {
    raise(type("WorkspaceError"), e);
  } catch (const sbora::assertion_error& e) {
    raise(type("AssertionError"), e);
  } catch (const sbora::error& e) {
    raise(type("Error"), e);
  }
}

}  // namespace

void add_errors(nb::module_& module) {
  const auto add = [&](const char* name, nb::handle base) {
    const std::string full = "sbora." + std::string(name);
    nb::object type = nb::steal(PyErr_NewException(full.c_str(), base.ptr(), nullptr));
    module.attr(name) = type;
    return type;
  };
  const nb::object base = add("Error", PyExc_Exception);
  for (const char* name :
       {"RegionError", "ShapeError", "QuantizationError", "ConfigError", "MergeError", "WorkspaceError",
        "NotFiniteError", "AssertionError", "CheckpointError", "FileError", "FormatError"}) {
    add(name, base);
  }
  nb::register_exception_translator(translate, module.ptr());
}

}  // namespace python
