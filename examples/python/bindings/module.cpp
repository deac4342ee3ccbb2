// The extension module: what each file adds to it.

#include "module.hpp"

NB_MODULE(_sbora, module) {
  nanobind::set_leak_warnings(false);  // torch frees no graphs when the interpreter ends, nor what they hold
  python::add_errors(module);
  python::add_adapters(module);
  python::add_layers(module);
  python::add_files(module);
}
