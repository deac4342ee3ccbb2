#pragma once

#include <sys/file.h>

#include <charconv>
#include <optional>

#include <sbora/io/file_access.hpp>
#include <sbora/io/merge/tensor_merge.hpp>
#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>

/// What merging into a file overwrites, kept beside it as a safetensors file: of tensor NAME the rows that are
/// touched as a whole (NAME.rows, NAME.row_originals) and the columns (NAME.columns, NAME.column_originals), or those
/// of rows B to E alone (NAME@B:E.columns, NAME@B:E.column_originals). Of more than two dimensions, all but the last
/// count as rows.
namespace sbora::inline SBORA_ABI::detail {

/// Beside the file itself, whatever links lead to it.
inline std::filesystem::path originals_of(const std::filesystem::path& file) {
  std::error_code status;
  const std::filesystem::path itself = std::filesystem::canonical(file, status);
  return (status ? file : itself).string() + ".originals";
}

inline bool has_originals(const std::filesystem::path& file) {
  std::error_code status;
  const bool found = std::filesystem::exists(originals_of(file), status);
  if (status) throw file_error("looking for", originals_of(file), status.value());
  return found;
}

/// A file that is written where it lies. Not by a writable mapping, for which a full or failing disk is a SIGBUS
/// instead of an error.
class patched_file {
 public:
  explicit patched_file(const safetensors_file& file)
      : file_(&file), descriptor_(::open(file.path().c_str(), O_WRONLY | O_CLOEXEC)) {
    struct stat status;
    if (descriptor_.get() < 0 || ::fstat(descriptor_.get(), &status) != 0) fail();
    const auto mapped = mapped_files::instance().count({status.st_dev, status.st_ino});  // once by `file` itself
    if (mapped > 1) {
      throw file_error("merging into", file.path(), EBUSY,
                       "this program has it open, mapped into memory; close it first");
    }
    if (mapped < 1) throw file_error("merging into", file.path(), ESTALE, "another file was put there meanwhile");
    // As long as this object is there. Where the file system has no locks, there is none.
    if (::flock(descriptor_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw file_error("merging into", file.path(), EBUSY, "somebody else is merging into it or restoring it");
    }
    names_ = status.st_nlink;
  }

  /// Errors: merge_error where the file has several names. The originals are beside one, and nobody who comes by
  /// another would see that it is merged.
  void require_one_name() const {
    if (names_ == 1) return;
    throw merge_error("sbora: " + file_->path().string() + " has " + std::to_string(names_) +
                      " names (hard links), and merging in place would change the weights under all of them; copy it, "
                      "or write a merged copy");
  }

  const safetensors_file& file() const noexcept { return *file_; }

  /// Over the bytes of the mapping that begin at `target`.
  void write(const std::byte* target, std::span<const std::byte> bytes) {
    off_t offset = target - file_->bytes().data();
    while (!bytes.empty()) {
      const ssize_t written = ::pwrite(descriptor_.get(), bytes.data(), bytes.size(), offset);
      if (written < 0 && errno != EINTR) fail();
      if (written <= 0) continue;
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      offset += written;
    }
  }

  void sync() {
    if (::fdatasync(descriptor_.get()) != 0) fail();
  }

 private:
  [[noreturn]] void fail() const { throw file_error("merging into", file_->path(), errno); }

  const safetensors_file* file_;
  file_descriptor descriptor_;
  nlink_t names_;
};

/// What columns of those rows are kept under, before the suffix.
inline std::string name_of_rows(const tensor_view& tensor, index_range rows) {
  if (rows == index_range{0, rows_in(tensor)}) return tensor.name;
  return tensor.name + "@" + std::to_string(rows.begin) + ":" + std::to_string(rows.end);
}

/// The rows that such a name says, and the tensor's name in their place; nothing where it says none.
inline std::optional<index_range> rows_of_name(std::string& name) {
  const std::size_t at = name.rfind('@'), colon = name.rfind(':');
  if (at == std::string::npos || colon == std::string::npos || colon < at) return std::nullopt;
  index_range rows = {};
  const auto read = [&](std::size_t begin, std::size_t end, index_t& number) {
    const auto [stopped, error] = std::from_chars(name.data() + begin, name.data() + end, number);
    return error == std::errc() && stopped == name.data() + end;
  };
  if (!read(at + 1, colon, rows.begin) || !read(colon + 1, name.size(), rows.end)) return std::nullopt;
  name.resize(at);
  return rows;
}

/// f(place of the element in its row) for each column.
template <class Function>
void for_columns(std::span<const index_t> columns, std::size_t element, Function&& f) {
  for (const index_t column : columns) f(static_cast<std::size_t>(column) * element);
}

inline void write_originals(const safetensors_file& file, const std::vector<tensor_merge>& merges) {
  std::vector<tensor_view> kept;
  struct origin {
    const tensor_merge* merge;
    const touched_columns* columns;
  };
  std::map<std::string, origin> of_name;
  const auto announce = [&](const origin& of, std::string name, dtype type, std::vector<index_t> shape) {
    kept.push_back({std::move(name), type, std::move(shape), {}});
    of_name.emplace(kept.back().name, of);
  };
  for (const tensor_merge& merge : merges) {
    const tensor_view& tensor = merge.tensor();
    if (const auto rows = std::ssize(merge.rows()); rows > 0) {
      announce({&merge, nullptr}, tensor.name + ".rows", dtype::i64, {rows});
      announce({&merge, nullptr}, tensor.name + ".row_originals", tensor.type, {rows, width_of(tensor)});
    }
    for (const touched_columns& of : merge.columns()) {
      const std::string name = name_of_rows(tensor, of.rows);
      if (name != tensor.name && file.find(name) != nullptr) {
        throw merge_error("sbora: " + file.path().string() + " has a tensor '" + name +
                          "', which is what the originals of a part of '" + tensor.name +
                          "' would be called; write a merged copy");
      }
      const auto columns = std::ssize(of.columns);
      announce({&merge, &of}, name + ".columns", dtype::i64, {columns});
      announce({&merge, &of}, name + ".column_originals", tensor.type, {of.rows.size(), columns});
    }
  }
  safetensors_stream_writer out(originals_of(file.path()), kept, {{"format", "sbora originals"}}, file.path());
  for (const tensor_view& part : out.tensors()) {
    const origin& of = of_name.at(part.name);
    const tensor_view& tensor = of.merge->tensor();
    const std::size_t row_size = bytes_of_row(tensor);
    if (part.name.ends_with(".rows")) {
      out.write(part.name, std::as_bytes(std::span(of.merge->rows())));
    } else if (part.name.ends_with(".columns")) {
      out.write(part.name, std::as_bytes(std::span(of.columns->columns)));
    } else if (part.name.ends_with(".row_originals")) {
      for (const index_t row : of.merge->rows()) {
        out.write(part.name, tensor.data.subspan(static_cast<std::size_t>(row) * row_size, row_size));
      }
    } else {
      const std::size_t element = static_cast<std::size_t>(bits_of(tensor.type)) / 8;
      std::vector<std::byte> gathered;
      for_row_windows(file, tensor, of.columns->rows, [&](std::span<const std::byte> rows) {
        gathered.clear();
        for (std::size_t at = 0; at < rows.size(); at += row_size) {
          for_columns(of.columns->columns, element, [&](std::size_t place) {
            gathered.insert(gathered.end(), &rows[at + place], &rows[at + place] + element);
          });
        }
        out.write(part.name, gathered);
      });
    }
  }
  out.commit();
}

/// Rows or columns of a tensor, and what they were.
struct kept_lines {
  const tensor_view* tensor;
  bool rows;
  index_range of_rows;  ///< columns: those that they are touched in
  std::vector<index_t> touched;
  std::span<const std::byte> originals;
};

/// Errors: checkpoint_error with everything that doesn't fit the file.
inline std::vector<kept_lines> read_originals(const safetensors_file& file, const safetensors_file& kept) {
  problem_list problems;
  std::vector<kept_lines> lines;
  const auto format = kept.metadata().find("format");
  if (format == kept.metadata().end() || format->second != "sbora originals") problems.add("these are no originals");
  for (const tensor_view& part : kept.tensors()) {
    for (const bool rows : {true, false}) {
      const std::string suffix = rows ? ".row_originals" : ".column_originals";
      if (!part.name.ends_with(suffix)) continue;
      std::string name = part.name.substr(0, part.name.size() - suffix.size());
      const tensor_view* const touched = kept.find(name + (rows ? ".rows" : ".columns"));
      const tensor_view* tensor = file.find(name);
      std::optional<index_range> some;
      if (tensor == nullptr && !rows && (some = rows_of_name(name))) tensor = file.find(name);
      if (tensor == nullptr || touched == nullptr || touched->type != dtype::i64 || tensor->type != part.type ||
          !is_dense_dtype(part.type) || (tensor->shape.size() < 2 && !rows) || tensor->data.empty()) {
        problems.add("'" + part.name + "' isn't of a tensor of the file");
        continue;
      }
      const index_t all = rows_in(*tensor), width = width_of(*tensor);
      const index_range of = some.value_or(index_range{0, all});
      lines.push_back({tensor, rows, of, touched->copy<index_t>(), part.data});
      const index_t count = touched->elements(), dim = rows ? all : width;
      const std::vector<index_t> shape = {rows ? count : of.end - of.begin, rows ? width : count};
      const bool inside = of.is_inside(all) && std::all_of(lines.back().touched.begin(), lines.back().touched.end(),
                                                           [&](index_t line) { return line >= 0 && line < dim; });
      if (part.shape != shape || !inside) problems.add("'" + part.name + "' doesn't fit '" + name + "'");
    }
  }
  problems.throw_if_any("restoring " + file.path().string(),
                        "put back the file and its .originals as the merge left them");
  return lines;
}

inline void restore(patched_file& to, const kept_lines& kept) {
  const tensor_view& tensor = *kept.tensor;
  const std::size_t row_size = bytes_of_row(tensor);
  const std::size_t element = static_cast<std::size_t>(bits_of(tensor.type)) / 8;
  const std::byte* from = kept.originals.data();
  if (kept.rows) {
    for (const index_t row : kept.touched) {
      to.write(tensor.data.data() + static_cast<std::size_t>(row) * row_size, {from, row_size});
      from += row_size;
    }
    return;
  }
  std::vector<std::byte> restored;
  for_row_windows(to.file(), tensor, kept.of_rows, [&](std::span<const std::byte> rows) {
    restored.assign(rows.begin(), rows.end());
    for (std::size_t at = 0; at < rows.size(); at += row_size) {
      for_columns(kept.touched, element, [&](std::size_t place) {
        std::memcpy(&restored[at + place], from, element);
        from += element;
      });
    }
    to.write(rows.data(), restored);
  });
}

/// Puts the files' originals back, from the files beside them, and when all are back removes those.
/// Errors: checkpoint_error before anything is written.
inline void restore_files(std::span<patched_file* const> files) {
  std::vector<safetensors_file> kept;
  std::vector<std::vector<kept_lines>> lines;
  for (const patched_file* to : files) {
    kept.push_back(safetensors_file::open(originals_of(to->file().path())));
    lines.push_back(read_originals(to->file(), kept.back()));
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (const kept_lines& of : lines[i]) restore(*files[i], of);
    files[i]->sync();
  }
  for (const patched_file* to : files) {
    const std::filesystem::path path = originals_of(to->file().path());
    if (::unlink(path.c_str()) != 0 || !sync_directory(directory_of(path))) throw file_error("removing", path, errno);
  }
}

}  // namespace sbora::inline SBORA_ABI::detail
