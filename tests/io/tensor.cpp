// Element types, and tensors seen as values, copies, weights and matrices.

#include <sbora/io/tensor.hpp>

#include "io/safetensors_text.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/message.hpp"

using namespace sbora_tests;
using sbora::dtype;
using sbora::tensor_view;

TEST_CASE("dtypes in the reference's order, names and sizes") {
  const std::pair<const char*, int> expected[] = {
      {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
      {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
      {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
      {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};
  int number = 0;
  for (const auto& [name, bits] : expected) {
    const auto type = static_cast<dtype>(number++);
    CHECK(std::string(to_string(type)) == name);
    CHECK(bits_of(type) == bits);
    CHECK(sbora::parse_dtype(name) == type);
  }
  CHECK(number == static_cast<int>(dtype::u64) + 1);
  for (const char* const name : {"", "F", "f32", "F32 ", "FLOAT"}) CHECK(!sbora::parse_dtype(name));
}

TEST_CASE("C++ types and their dtypes have the same size") {
  const auto check = [](auto scalar, dtype type) {
    CHECK(sbora::dtype_of<decltype(scalar)> == type);
    CHECK(8 * static_cast<int>(sizeof scalar) == bits_of(type));
  };
  check(false, dtype::boolean);
  check(std::uint8_t{}, dtype::u8);
  check(std::int8_t{}, dtype::i8);
  check(std::int16_t{}, dtype::i16);
  check(std::uint16_t{}, dtype::u16);
  check(Eigen::half{}, dtype::f16);
  check(Eigen::bfloat16{}, dtype::bf16);
  check(std::int32_t{}, dtype::i32);
  check(std::uint32_t{}, dtype::u32);
  check(0.0F, dtype::f32);
  check(std::complex<float>{}, dtype::c64);
  check(0.0, dtype::f64);
  check(std::int64_t{}, dtype::i64);
  check(std::uint64_t{}, dtype::u64);
}

TEST_CASE("in place where aligned, copied wherever") {
  alignas(16) std::byte memory[32] = {};
  const float numbers[] = {1, -2, 3, 4, 5, 6};
  std::memcpy(memory, numbers, sizeof numbers);
  tensor_view tensor = {"w", dtype::f32, {2, 3}, std::span(memory).first(24)};
  CHECK(static_cast<const void*>(tensor.values<float>().data()) == memory);
  CHECK(tensor.values<float>()[1] == -2);
  CHECK(tensor.as_weight<float>().d_out() == 2);
  CHECK(tensor.as_weight<float>().d_in() == 3);
  CHECK(tensor.as_matrix<float>()(1, 0) == 4);
  CHECK(tensor.as_matrix<float>().data() == tensor.values<float>().data());

  CHECK_ERROR(sbora::format_error, "wrong type: tensor 'w' is F32, expected BF16", tensor.values<Eigen::bfloat16>());
  CHECK_ERROR(sbora::format_error, "wrong type: tensor 'w' is F32, expected I32", tensor.copy<std::int32_t>());
  CHECK_ERROR(sbora::format_error, "wrong type: tensor 'w' is F32, expected F64", tensor.as_weight<double>());
  tensor.shape = {6};
  CHECK_ERROR(sbora::shape_error, "tensor 'w' has shape [6], expected two dimensions", tensor.as_weight<float>());
  CHECK_ERROR(sbora::shape_error, "has shape [6]", tensor.as_matrix<float>());
  tensor.shape = {};
  CHECK(tensor.elements() == 1);
  CHECK_ERROR(sbora::shape_error, "has shape []", tensor.as_matrix<float>());
  tensor.shape = {1, 2, 3};
  CHECK_ERROR(sbora::shape_error, "has shape [1, 2, 3]", tensor.as_matrix<float>());

  std::memcpy(memory + 3, numbers, sizeof numbers);
  tensor.shape = {3, 2};
  tensor.data = std::span(memory).subspan(3, 24);
  CHECK_ERROR(sbora::format_error, "unaligned data: tensor 'w' does not lie at a multiple of 4 bytes",
              tensor.values<float>());
  CHECK_ERROR(sbora::format_error, "unaligned data", tensor.as_weight<float>());
  CHECK_ERROR(sbora::format_error, "unaligned data", tensor.as_matrix<float>());
  CHECK(tensor.copy<float>() == std::vector<float>(numbers, numbers + 6));
}

TEST_CASE("a bool is 0 or 1") {
  std::byte bytes[3] = {std::byte{1}, std::byte{0}, std::byte{1}};
  const tensor_view tensor = {"mask", dtype::boolean, {3}, bytes};
  const auto values = tensor.values<bool>();
  CHECK(std::vector<bool>(values.begin(), values.end()) == std::vector<bool>{true, false, true});
  bytes[1] = std::byte{2};
  CHECK_ERROR(sbora::format_error, "tensor 'mask' is BOOL and has bytes other than 0 and 1", tensor.values<bool>());
}

TEST_CASE("a tensor without elements") {
  const tensor_view tensor = {"none", dtype::f64, {0, 7}, {}};
  CHECK(tensor.elements() == 0);
  CHECK(tensor.values<double>().empty());
  CHECK(tensor.copy<double>().empty());
  CHECK(tensor.as_matrix<double>().cols() == 7);
  CHECK_ERROR(sbora::shape_error, "0 x 7", tensor.as_weight<double>());
}

TEST_CASE("slices of a stack are weights in place") {
  const auto values = random_vector<float>(3 * 4 * 5, 1);
  const sbora::tensor_view stack = tensor_of("stack", values, {3, 4, 5});
  const sbora::tensor_view second = stack.slice(1);
  CHECK(second.name == "stack[1]");
  const auto w = second.as_weight<float>();
  CHECK((w.data() == values.data() + 20 && w.d_out() == 4 && w.d_in() == 5));
  const auto turned = second.as_weight<float>(sbora::storage::in_by_out);
  CHECK((turned.data() == w.data() && turned.d_out() == 5 && turned.d_in() == 4));
  CHECK((turned.order() == sbora::storage::in_by_out && turned.stride() == 5));
  CHECK(second.slice(3).shape == std::vector<index_t>{5});
  CHECK_ERROR(sbora::shape_error, "no slice 3", stack.slice(3));
  CHECK_ERROR(sbora::shape_error, "no slice -1", stack.slice(-1));
  CHECK_ERROR(sbora::shape_error, "expected two dimensions", stack.as_weight<float>());
  CHECK_ERROR(sbora::shape_error, "no slice 0", second.slice(0).slice(0).slice(0));
}
