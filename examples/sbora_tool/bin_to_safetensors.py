"""Converts the pickles that the official SBoRA code and old versions of PEFT write to safetensors.

Of each PATH, a folder with adapter_model.bin or a file of that kind, it makes the .safetensors beside it: the same
names, types and bits, a prefix such as DistributedDataParallel's "module." included. A state dictionary below
"state_dict", "model" or "module" is taken out of there; what isn't a tensor is left out; both are said. Nothing in
the pickle is executed (weights_only). Each file is written whole or not at all.

Needs torch and safetensors: pip install torch safetensors
Exit codes: 0 done; 1 failed (no space, no permission); 2 wrong input or usage.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile

NAME = "adapter_model"
WRAPPERS = ("state_dict", "model", "module")


class Refused(Exception):
    """The input is wrong; the text says how, and what to do."""


def some(names):
    """At most five of them."""
    names = [str(name) for name in names]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def pickle_of(path):
    """The file that a PATH of the command line means."""
    if path.is_dir():
        found = path / f"{NAME}.bin"
        if found.is_file():
            return found
        others = sorted(file.name for file in path.iterdir() if file.suffix in (".bin", ".pt", ".pth"))
        raise Refused(f"no {NAME}.bin in it" + (f"; name the file that is meant: {some(others)}" if others else ""))
    if not path.is_file():
        raise Refused("no such file or folder")
    if path.suffix == ".safetensors":
        raise Refused("this is a safetensors file already")
    return path


def unpickled(path):
    import torch

    with open(path, "rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise Refused("a Git LFS pointer instead of the file: fetch it with `git lfs pull`")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as problem:  # a pickle may raise whatever it likes
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise Refused("PyTorch can't load it as tensors alone: damaged, or it holds other Python objects: "
                      + first[:200]) from None


def state_dictionary(loaded, say):
    """The names and tensors in what was unpickled."""
    import torch

    where = ""
    while True:
        if not isinstance(loaded, dict):
            raise Refused(f"expected a dictionary of tensors{where}, found {type(loaded).__name__}")
        wrapped = [key for key in WRAPPERS if isinstance(loaded.get(key), dict)]
        if not wrapped or any(isinstance(value, torch.Tensor) for value in loaded.values()):
            break
        if len(wrapped) > 1:
            raise Refused(f"several dictionaries that could be meant{where}: {some(wrapped)}; save one of them alone")
        left = [key for key in loaded if key != wrapped[0]]
        say(f"taken from '{wrapped[0]}'" + (f"; left out: {some(left)}" if left else ""))
        loaded, where = loaded[wrapped[0]], f" in '{wrapped[0]}'"

    nested = [name for name, value in loaded.items() if isinstance(value, (dict, list, tuple))]
    if nested:
        raise Refused(f"expected names of tensors{where}; these hold dictionaries or lists: {some(nested)}; save what "
                      "model.state_dict() gives")
    unnamed = [repr(name) for name in loaded if not isinstance(name, str)]
    if unnamed:
        raise Refused(f"expected names of tensors{where}, found keys that aren't text: {some(unnamed)}")
    tensors = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    others = [f"{name} ({type(value).__name__})" for name, value in loaded.items() if name not in tensors]
    if not tensors:
        raise Refused(f"no tensors{where}" + (f", only {some(others)}" if others else ": an empty dictionary"))
    if others:
        say(f"left out, no tensors: {some(others)}")
    return tensors


def kind_that_no_file_has(tensor):
    """Why a tensor isn't plain numbers, or None."""
    import torch

    if tensor.is_nested:
        return "nested"
    if tensor.is_quantized:
        return "quantised by PyTorch"
    if tensor.layout is not torch.strided:
        return "sparse"
    if tensor.device.type == "meta":
        return "without data (meta)"
    return None


def plain(tensors):
    """The tensors as safetensors takes them: contiguous, each with memory of its own."""
    problems = [f"{name} ({kind})" for name, tensor in tensors.items() if (kind := kind_that_no_file_has(tensor))]
    if problems:
        raise Refused(f"safetensors has dense tensors only; make these dense and save again: {some(problems)}")
    result, seen = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.numel() * tensor.element_size():
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        result[name] = tensor
    return result


def write(tensors, path, like):
    """Beside the file first, so that there is the old file or the whole new one."""
    from safetensors.torch import save_file

    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        os.close(handle)
        try:
            save_file(tensors, partial, metadata={"format": "pt"})
        except OSError:
            raise
        except Exception as problem:
            if "I/O error" in str(problem) or "IoError" in str(problem):
                raise OSError(str(problem)) from None
            raise Refused(f"safetensors can't hold it: {str(problem).strip().splitlines()[0][:200]}") from None
        shutil.copymode(like, partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        pathlib.Path(partial).unlink(missing_ok=True)
        raise


def convert(path, force):
    source = pickle_of(path)
    target = source.with_suffix(".safetensors")
    if target.exists() and not force:
        raise Refused(f"{target} exists; --force replaces it")
    say = lambda text: print(f"{source}: {text}", file=sys.stderr)
    write(plain(state_dictionary(unpickled(source), say)), target, source)
    print(target)


def main():
    about, rest = __doc__.split("\n", 1)
    parser = argparse.ArgumentParser(description=about, epilog=rest,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="+", type=pathlib.Path, metavar="PATH",
                        help=f"a folder with {NAME}.bin, or a file")
    parser.add_argument("--force", action="store_true", help="replace a .safetensors that is there")
    options = parser.parse_args()
    try:
        import safetensors.torch  # noqa: F401
    except ImportError as problem:
        print(f"bin_to_safetensors.py: {problem}; it needs torch and safetensors: pip install torch safetensors",
              file=sys.stderr)
        return 1
    status = 0
    for path in options.path:
        try:
            convert(path, options.force)
        except Refused as problem:
            print(f"{path}: {problem}", file=sys.stderr)
            status = max(status, 2)
        except OSError as problem:
            print(f"{path}: {problem}", file=sys.stderr)
            status = max(status, 1)
    return status


if __name__ == "__main__":
    sys.exit(main())
