// mutated_folders tool|llama PROGRAM ORIGINALS SCRATCH: 200 folders broken in ways that people have met, each given to
// the program's commands. Whatever is wrong, a command ends with 0 or 2, says at most 20 lines in words of its own,
// with what helps, and on failure has written nothing; the folder is as it was.

#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>

#include <sbora/io/safetensors/safetensors_file.hpp>
#include <sbora/io/safetensors/safetensors_writer.hpp>
#include <sbora/core/random.hpp>

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;
using sbora::index_t;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(fs::file_size(path)), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  return text;
}
void write(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

/// A folder's files by name; directories and links by what they are.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    found[fs::relative(entry.path(), folder).string()] = entry.is_regular_file() ? read(entry.path()) : "no file";
  }
  return found;
}

/// One way after another of breaking a folder; each says what it did.
class mutator {
 public:
  mutator(const fs::path& folder, std::uint64_t seed) : folder_(folder), random_(seed) {}

  std::string mutate() {
    const std::vector<fs::path> files = files_of(folder_);
    if (files.empty()) return "left alone";
    const fs::path file = files[below(files.size())];
    const fs::path name = file.filename();
    switch (below(8)) {
      case 0: return name.string() + " " + replace(file);
      case 1: {
        const std::string text = read(file);
        write(file, text.substr(0, below(text.size() + 1)));
        return name.string() + " truncated";
      }
      case 2: {
        const fs::path other = files[below(files.size())];
        const std::string text = read(file);
        write(file, read(other));
        write(other, text);
        return name.string() + " swapped with " + other.filename().string();
      }
      case 3: return name.string() + " " + flip_bytes(file);
      default: return name.string() + " " + (file.extension() == ".json" ? change_json(file) : change_tensors(file));
    }
  }

 private:
  static std::vector<fs::path> files_of(const fs::path& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) {
      const fs::path& path = entry.path();
      if (entry.is_regular_file() && (path.extension() == ".json" || path.extension() == ".safetensors"))
        files.push_back(path);
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_.below(bound)); }
  template <class Value>
  Value one_of(std::initializer_list<Value> values) {
    return values.begin()[below(values.size())];
  }

  std::string replace(const fs::path& file) {
    switch (below(8)) {
      case 0: write(file, ""); return "empty";
      case 1: fs::remove(file); return "missing";
      case 2:
        fs::remove(file);
        fs::create_directory(file);
        return "a directory";
      case 3:
        fs::remove(file);
        fs::create_symlink("nowhere", file);
        return "a link to nowhere";
      case 4:
        write(file,
              "version https://git-lfs.github.com/spec/v1\noid sha256:"
              "4665a5ea423c2713d436b5ee50593a9640e0018c1550b5a0002f74190d6caea8\nsize 4976698672\n");
        return "a Git LFS pointer";
      case 5:
        write(file, "<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>\n");
        return "a web page";
      case 6:
        write(file, std::string("PK\x03\x04\x00\x00\x00\x00\x00\x00", 10) + read(file));
        return "a pickle in a zip";
      default: write(file, std::string("\x1f\x8b\x08\x00", 4) + read(file)); return "compressed";
    }
  }

  std::string flip_bytes(const fs::path& file) {
    std::string text = read(file);
    const std::size_t header = std::min<std::size_t>(text.size(), 600);
    for (int i = 0; i < 3 && header > 0; ++i) text[below(header)] = static_cast<char>(below(256));
    write(file, text);
    return "with some bytes changed";
  }

  std::string change_json(const fs::path& file) {
    json document = json::parse(read(file), nullptr, false);
    if (!document.is_object() || document.empty()) return "left alone";
    auto at = document.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(below(document.size())));
    const std::string key = at.key();
    std::string did = "with " + key;
    switch (below(4)) {
      case 0:
        document.erase(key);
        did += " removed";
        break;
      case 1:
        document[key] = one_of<json>({json(), json(-1), json(1e300), json("x"), json::array({1, "y"}), json::object()});
        did += " of another kind";
        break;
      case 2:
        document["r"] = one_of<json>({json(4), json(0), json(1 << 30)});
        did = "with another rank";
        break;
      default:
        document["target_modules"] = one_of<json>({json("("), json(".*"), json::array({"v_proj"}), json::array()});
        did = "with another choice of modules";
    }
    write(file, document.dump());
    return did;
  }

  std::string change_tensors(const fs::path& file) {
    std::vector<sbora::tensor_view> tensors;
    std::optional<sbora::safetensors_file> opened;
    const std::string bytes = read(file);
    try {
      opened.emplace(sbora::safetensors_file::from_memory(std::as_bytes(std::span(bytes))));
    } catch (const sbora::error&) {
      return "left alone";
    }
    tensors.assign(opened->tensors().begin(), opened->tensors().end());
    if (tensors.empty()) return "left alone";
    std::vector<std::vector<std::byte>> memory;
    const std::string did = change(tensors, memory);
    try {
      write_safetensors(file, tensors, {{"format", "pt"}});
    } catch (const sbora::error&) {
      return "left alone";
    }
    return did;
  }

  std::string change(std::vector<sbora::tensor_view>& tensors, std::vector<std::vector<std::byte>>& memory) {
    sbora::tensor_view& one = tensors[below(tensors.size())];
    switch (below(7)) {
      case 0: {
        const auto prefix =
            one_of<const char*>({"_orig_mod.", "module.", "base_model.model.", "model.", "x.", "a\nb."});
        for (sbora::tensor_view& tensor : tensors) tensor.name = prefix + tensor.name;
        return std::string("with ") + prefix + " before all names";
      }
      case 1: {
        const auto what =
            one_of<const char*>({"base_model.model.", "model.", "layers.", "lora_A", "lora_B", "weight", "proj"});
        const auto by = one_of<const char*>({"", "other.", "lora_C", ".default.weight", "\x1b[31m"});
        for (sbora::tensor_view& tensor : tensors) {
          const std::size_t at = tensor.name.find(what);
          if (at != std::string::npos) tensor.name.replace(at, std::string(what).size(), by);
        }
        return std::string("with ") + what + " in all names replaced";
      }
      case 2: one.name += "x"; return "with one tensor renamed";
      case 3: {
        const std::size_t kept = one_of<std::size_t>({0, 1, tensors.size() / 2, tensors.size() - 1});
        tensors.resize(kept);
        return "with " + std::to_string(kept) + " tensors";
      }
      case 4: {
        const auto type = one_of<sbora::dtype>({sbora::dtype::i32, sbora::dtype::u32, sbora::dtype::bf16,
                                                sbora::dtype::u8, sbora::dtype::i64, sbora::dtype::f8_e4m3});
        const index_t elements = one.elements() * bits_of(one.type) / bits_of(type);
        one.shape = {elements};
        if (elements % 2 == 0 && below(2) == 0) one.shape = {elements / 2, 2};
        one.type = type;
        return "with one tensor of another type";
      }
      case 5:
        if (one.shape.size() == 2) std::swap(one.shape[0], one.shape[1]);
        else one.shape.insert(one.shape.begin(), 1);
        return "with one tensor of another shape";
      default: {
        std::vector<std::byte>& changed = memory.emplace_back(one.data.begin(), one.data.end());
        for (std::byte& byte : changed) byte = std::byte{0xFF};  // NaN, -1
        one.data = changed;
        return "with one tensor of NaNs";
      }
    }
  }

  fs::path folder_;
  sbora::random_stream random_;
};

struct outcome {
  int code;  ///< -1: killed by a signal
  std::string out, err;
};

outcome call(std::vector<std::string> words, const fs::path& scratch) {
  const std::string out = scratch / "stdout", err = scratch / "stderr";
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addopen(&files, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  pid_t child = 0;
  if (::posix_spawn(&child, words.front().c_str(), &files, nullptr, pointers.data(), environ) != 0) {
    throw std::runtime_error("cannot run " + words.front());
  }
  posix_spawn_file_actions_destroy(&files);
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(out), read(err)};
}

/// Whether a message says what to do: a clause after a semicolon that begins with one of these verbs.
bool has_remedy(const std::string& message) {
  for (std::size_t at = message.find("; "); at != std::string::npos; at = message.find("; ", at + 2)) {
    const std::string clause = message.substr(at + 2);
    const std::string verb = clause.substr(0, clause.find_first_of(" ,"));
    for (const char* const known :
         {"check",  "choose", "close", "convert", "copy",   "download", "free", "get",  "git",
          "give",   "leave",  "make",  "mend",    "merge",  "name",     "put",  "read", "remove",
          "rename", "save",   "set",   "try",     "unpack", "use",      "wait"}) {
      if (verb == known) return true;
    }
  }
  return false;
}

/// What a user shouldn't have to read, or nothing.
std::string fault_of(const outcome& result) {
  if (result.code != 0 && result.code != 2) return "exit code " + std::to_string(result.code);
  if (std::count(result.err.begin(), result.err.end(), '\n') > 20) return "more than 20 lines";
  if (result.code != 0 && result.err.size() < 20) return "no message";
  if (result.code != 0 && !has_remedy(result.err)) return "no remedy";
  for (const char* const word : {"std::", "basic_string", "vector::", "json.exception", "bad_alloc", "_M_", "stoi",
                                 "map::at", "\x1b", "optional access", "variant"}) {
    if (result.err.find(word) != std::string::npos) return std::string("internal: ") + word;
  }
  return {};
}

class test_run {
 public:
  test_run(std::string program, fs::path scratch) : program_(std::move(program)), scratch_(std::move(scratch)) {}

  /// Calls the program and holds it to its promises. `outputs`: what mustn't be there after a failure.
  void check(const std::string& what, const fs::path& mutated, std::vector<std::string> words,
             const std::vector<fs::path>& outputs) {
    const auto before = contents(mutated);
    for (const fs::path& output : outputs) fs::remove_all(output);
    words.insert(words.begin(), program_);
    const outcome result = call(words, scratch_);
    std::string fault = fault_of(result);
    if (contents(mutated) != before) fault = "the folder has changed";
    for (const fs::path& output : outputs) {
      if (result.code != 0 && fs::exists(output)) fault = output.string() + " was written";
      for (const auto& entry : fs::directory_iterator(output.parent_path())) {
        if (entry.path().string().ends_with(".tmp")) fault = entry.path().string() + " was left";
      }
    }
    ++calls_;
    refused_ += result.code == 0 ? 0 : 1;
    if (!fault.empty()) {
      ++failures_;
      std::cout << "FAILED: " << fault << "\n  " << what << "\n ";
      for (const std::string& word : words) std::cout << ' ' << word;
      std::cout << "\n" << result.err << std::flush;
    } else if (std::getenv("SBORA_SHOW_MESSAGES") != nullptr && result.code != 0) {
      std::cout << what << "\n  " << result.err;
    }
  }

  int summary() const {
    std::cout << calls_ << " calls, " << refused_ << " refused, " << failures_ << " not as they should be\n";
    return failures_ == 0 && refused_ > calls_ / 4 ? 0 : 1;
  }

 private:
  std::string program_;
  fs::path scratch_;
  int calls_ = 0, refused_ = 0, failures_ = 0;
};

constexpr int folders = 200;

std::string mutate(const fs::path& from, const fs::path& to, std::uint64_t seed) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
  mutator broken(to, seed);
  std::string what = std::to_string(seed) + ": " + from.filename().string() + ": " + broken.mutate();
  if (seed % 4 == 0) what += ", " + broken.mutate();
  return what;
}

int test_tool(const std::string& tool, const fs::path& originals, const fs::path& scratch) {
  test_run test(tool, scratch);
  const char* const adapters[] = {"fa", "fa_official", "fb_rslora", "fb_official", "fb_peft", "dense_lora"};
  const char* const bases[] = {"base", "sharded", "base_nf4", "base_bf16"};
  for (std::uint64_t i = 0; i < folders; ++i) {
    const bool of_base = i % 3 == 0;
    const fs::path from = originals / (of_base ? bases[i / 3 % 4] : adapters[i % 6]), broken = scratch / "broken";
    const std::string what = mutate(from, broken, i);
    const std::string adapter = of_base ? originals / "fa" : broken, base = of_base ? broken : originals / "base";
    const fs::path out = scratch / "out", file = scratch / "out.safetensors", folder = scratch / "out_folder";
    test.check(what, broken, {"inspect", broken}, {});
    test.check(what, broken, {"inspect", adapter, "--base", base}, {});
    test.check(what, broken, {"convert", adapter, out, "--to", i % 2 == 0 ? "native" : "peft", "--base", base}, {out});
    test.check(what, broken, {"convert", adapter, out, "--to", "native", "--lenient"}, {out});
    test.check(what, broken, {"merge", adapter, "--base", base, "--output", file}, {file});
    test.check(what, broken, {"merge", adapter, "--base", base, "--output", folder, "--whole"}, {folder});
  }
  return test.summary();
}

/// ORIGINALS is one model. The data aren't there, so that what passes the checks ends too.
int test_fine_tuner(const std::string& llama, const fs::path& original, const fs::path& scratch) {
  test_run test(llama, scratch);
  for (std::uint64_t i = 0; i < folders; ++i) {
    const fs::path broken = scratch / "broken", out = scratch / "out";
    const std::string what = mutate(original, broken, i);
    test.check(what, broken,
               {"--base_model", broken, "--data_path", scratch / "nowhere.json", "--output_dir", out, "--threads", "1"},
               {});
    if (fs::exists(out) && !fs::is_empty(out)) throw std::runtime_error("something was written for " + what);
  }
  return test.summary();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  try {
    fs::create_directories(argv[4]);
    return std::string(argv[1]) == "tool" ? test_tool(argv[2], argv[3], argv[4])
                                          : test_fine_tuner(argv[2], argv[3], argv[4]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mutated_folders: %s\n", error.what());
    return 1;
  }
}
