#pragma once

#include <nanobind/nanobind.h>

namespace python {

namespace nb = nanobind;

void add_errors(nb::module_& module);
void add_adapters(nb::module_& module);
void add_layers(nb::module_& module);
void add_files(nb::module_& module);

}  // namespace python
