// Quantising and dequantising: codes, scales and values as files.

#include <filesystem>

#include <Eigen/Core>

#include <sbora/quantized.hpp>
#include <sbora/sbora.hpp>

#include "commands.hpp"
#include "files.hpp"

namespace interop {
namespace {

using sbora::index_t;
using std::filesystem::path;

struct source_file {
  std::string scalar;  ///< f32, bf16 or f16
  index_t d_out;
  index_t d_in;
  path file;
};

/// The weight of a file, handed to f.
template <class F>
void with_weight(const source_file& source, F&& f) {
  const auto load = [&]<class Scalar>(Scalar) {
    const std::vector<Scalar> values = read_values<Scalar>(source.file);
    if (static_cast<index_t>(values.size()) != source.d_out * source.d_in) {
      throw std::runtime_error(source.file.string() + " doesn't hold a weight of that shape");
    }
    f(sbora::weight_view<const Scalar>(values.data(), source.d_out, source.d_in));
  };
  if (source.scalar == "f32") load(float{});
  else if (source.scalar == "bf16") load(Eigen::bfloat16{});
  else if (source.scalar == "f16") load(Eigen::half{});
  else throw std::runtime_error("scalar " + source.scalar);
}

/// The weight's elements in each of the three precisions.
template <class Weight>
void write_dequantised(const Weight& weight, const path& folder) {
  const auto write = [&]<class Scalar>(const char* name, Scalar) {
    std::vector<Scalar> values(static_cast<std::size_t>(weight.d_out() * weight.d_in()));
    sbora::dequantize(weight, sbora::weight_view<Scalar>(values.data(), weight.d_out(), weight.d_in()));
    write_values<Scalar>(folder / name, values);
  };
  write("values.f32", float{});
  write("values.bf16", Eigen::bfloat16{});
  write("values.f16", Eigen::half{});
}

sbora::four_bit_type parse_type(const std::string& name) {
  return name == "nf4" ? sbora::four_bit_type::nf4 : sbora::four_bit_type::fp4;
}

/// TYPE BLOCKSIZE SCALAR D_OUT D_IN WEIGHT FOLDER [nested [OFFSET]]. OFFSET: a float as strtof reads it.
void quantise_four_bit(arguments words) {
  sbora::four_bit_options options = {parse_type(words[0]), std::stol(words[1])};
  options.nested = words.size() > 7;
  if (words.size() > 8) options.nested_offset = std::stof(words[8]);
  const path folder = words[6];
  with_weight({words[2], std::stol(words[3]), std::stol(words[4]), words[5]}, [&](const auto& source) {
    const sbora::four_bit_weight weight(source, options);
    const sbora::four_bit_view view = weight.view();
    write_values(folder / "codes", view.codes());
    if (options.nested) {
      write_values(folder / "absmax_codes", view.scales().absmax_codes);
      write_values(folder / "nested_absmax", view.scales().nested_absmax);
      write_values(folder / "nested_table", view.scales().nested_table);
      write_values<float>(folder / "nested_offset", {&view.scales().nested_offset, 1});
    } else {
      write_values(folder / "absmax", view.scales().absmax);
    }
    write_dequantised(view, folder);
  });
}

/// TYPE BLOCKSIZE D_OUT D_IN FOLDER [nested]: the values of codes and scales that somebody else wrote, from and to
/// the files that quantise_four_bit writes.
void dequantise_four_bit(arguments words) {
  const path folder = words[4];
  const bool nested = words.size() > 5;
  const auto codes = read_values<std::uint8_t>(folder / "codes");
  std::vector<float> absmax, nested_absmax, table, offset;
  std::vector<std::uint8_t> absmax_codes;
  sbora::four_bit_scales scales = {std::stol(words[1])};
  if (nested) {
    scales.absmax_codes = absmax_codes = read_values<std::uint8_t>(folder / "absmax_codes");
    scales.nested_absmax = nested_absmax = read_values<float>(folder / "nested_absmax");
    scales.nested_table = table = read_values<float>(folder / "nested_table");
    scales.nested_offset = read_values<float>(folder / "nested_offset").at(0);
  } else {
    scales.absmax = absmax = read_values<float>(folder / "absmax");
  }
  write_dequantised(sbora::four_bit_view(parse_type(words[0]), codes, std::stol(words[2]), std::stol(words[3]), scales),
                    folder);
}

/// SCALAR D_OUT D_IN WEIGHT FOLDER
void quantise_int8(arguments words) {
  const path folder = words[4];
  with_weight({words[0], std::stol(words[1]), std::stol(words[2]), words[3]}, [&](const auto& source) {
    const sbora::int8_weight weight(source);
    write_values(folder / "codes", weight.view().codes());
    write_values(folder / "absmax", weight.view().absmax());
    write_dequantised(weight.view(), folder);
  });
}

}  // namespace

void add_quantise_commands(command_table& table) {
  table["quantise-4bit"] = quantise_four_bit;
  table["dequantise-4bit"] = dequantise_four_bit;
  table["quantise-int8"] = quantise_int8;
}

}  // namespace interop
