#pragma once

#include <map>
#include <string>
#include <vector>

#include <sbora/io/atomic_file.hpp>
#include <sbora/io/tensor.hpp>

namespace sbora::inline SBORA_ABI::detail {

struct file_layout;

}  // namespace sbora::inline SBORA_ABI::detail

namespace sbora::inline SBORA_ABI {

/// What a file of these tensors begins with, up to their bytes: the length, and the JSON padded to 8. Their data
/// isn't looked at.
///
/// Effect      the bytes of the `safetensors` package: tensors by descending dtype, then name; metadata by key.
/// Errors      format_error naming the tensor: a name twice, or that is "__metadata__" or no UTF-8; a shape with a
///             negative dimension, too large, or of no whole bytes; more than 100 MB.
SBORA_IN_IO_INSTANCES std::string safetensors_header(std::span<const tensor_view> tensors,
                                                     const std::map<std::string, std::string>& metadata = {});

/// How tensors follow one another in a file: by descending dtype, so that all are aligned, and then by name, as the
/// `safetensors` package has them, or as they are given.
enum class tensor_order { by_name, as_given };

/// Writes a file whose tensors come in pieces, so that they needn't be in memory together.
///
/// Effect      what write_safetensors writes, by an atomic_file: the header when it is made, from names, types and
///             shapes; then pieces of tensors()[0], tensors()[1], ... each as many bytes as it has; then commit().
///             `like`: what it is made of, see atomic_file.
/// Cost        memory for the header only.
/// Thread      one call at a time.
/// Errors      file_error; format_error of safetensors_header, of a piece that isn't next or is too long, and of a
///             commit before all bytes are there. The file is as it was.
class safetensors_stream_writer {
 public:
  SBORA_IN_IO_INSTANCES safetensors_stream_writer(const std::filesystem::path& path,
                                                  std::span<const tensor_view> tensors,
                                                  const std::map<std::string, std::string>& metadata = {},
                                                  const std::filesystem::path& like = {},
                                                  tensor_order order = tensor_order::by_name);

  /// In the order in which their bytes are to come; without data.
  std::span<const tensor_view> tensors() const& noexcept { return tensors_; }
  std::span<const tensor_view> tensors() const&& = delete;  // would dangle: name the object

  SBORA_IN_IO_INSTANCES void write(std::string_view name, std::span<const std::byte> piece);

  /// See atomic_file.
  SBORA_IN_IO_INSTANCES void prepare();
  SBORA_IN_IO_INSTANCES void commit();

 private:
  safetensors_stream_writer(const std::filesystem::path& path, detail::file_layout layout,
                            const std::filesystem::path& like);
  void require_complete();
  void skip_complete() noexcept;

  atomic_file file_;
  std::vector<tensor_view> tensors_;
  std::vector<std::uint64_t> left_;  // bytes to come
  std::size_t next_ = 0;
};

/// Writes a safetensors file, whole or not at all (atomic_file).
///
/// Effect      the bytes that the `safetensors` package writes for these tensors and this metadata.
/// Errors      file_error; format_error of safetensors_header, and of data that hasn't the size of its shape. All
///             before a byte of the file has changed.
SBORA_IN_IO_INSTANCES void write_safetensors(const std::filesystem::path& path, std::span<const tensor_view> tensors,
                                             const std::map<std::string, std::string>& metadata = {});

}  // namespace sbora::inline SBORA_ABI
