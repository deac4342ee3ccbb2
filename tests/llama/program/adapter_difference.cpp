// adapter_difference A B [MOST]: the largest difference of two saved adapters' numbers, relative to the largest
// number of its tensor; exit code 1 where it is above MOST (1e-5), or names, types or indices differ.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>

#include <sbora/io/safetensors/safetensors_file.hpp>

namespace {

/// NaN where they can't be compared.
double difference(const sbora::tensor_view& a, const sbora::tensor_view& b) {
  if (a.type != b.type || a.shape != b.shape) return NAN;
  if (a.type != sbora::dtype::f32) return std::ranges::equal(a.data, b.data) ? 0 : NAN;
  const auto x = a.copy<float>(), y = b.copy<float>();
  double largest = 0, apart = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(x[i])));
    apart = std::max(apart, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  }
  return largest > 0 ? apart / largest : apart;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 3) throw std::runtime_error("usage: adapter_difference DIR DIR [MOST]");
    const double most = argc > 3 ? std::atof(argv[3]) : 1e-5;
    const char* name = "adapter_model.safetensors";
    const auto a = sbora::safetensors_file::open(std::filesystem::path(argv[1]) / name);
    const auto b = sbora::safetensors_file::open(std::filesystem::path(argv[2]) / name);
    if (a.tensors().size() != b.tensors().size()) throw std::runtime_error("another number of tensors");
    bool good = true;
    double largest = 0;
    for (const sbora::tensor_view& tensor : a.tensors()) {
      const double apart = difference(tensor, b.at(tensor.name));
      if (!(apart <= most)) std::printf("%s: %g\n", tensor.name.c_str(), apart);
      good = good && apart <= most;
      largest = std::max(largest, apart);
    }
    std::printf("largest relative difference %g, at most %g\n", largest, most);
    return good ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "adapter_difference: %s\n", error.what());
    return 2;
  }
}
