"""Prints "ratio NAME VALUE" for a training step of a LLaMA-shaped model of 103 M parameters, 4 x 256 tokens, SBoRA-FA
of rank 32 on q, k, v, up and down: PyTorch's time over examples/llama's (llama_step_vs_torch), or its peak resident
memory over ours (llama_memory_vs_torch). PyTorch's side is transformers' LlamaForCausalLM with the official layer's
arithmetic. Two processes that take turns. usage: step.py NAME BENCH_LLAMA_STEP FOLDER [--threads N]"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

SEQUENCES, LENGTH, RANK, ALPHA, LEARNING_RATE = 4, 256, 32, 64.0, 1e-3
PAIRS = 3
TARGETS = ("q_proj", "k_proj", "v_proj", "up_proj", "down_proj")
# Deep and narrow with grouped queries, as models of this size are (SmolLM, MobileLLM).
CONFIG = dict(vocab_size=32000, hidden_size=576, intermediate_size=1536, num_hidden_layers=24, num_attention_heads=9,
              num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True)


class FaLinear(torch.nn.Module):
    """The arithmetic of the paper's code: gather the region's features, thin product, scale, add."""

    def __init__(self, base, index):
        super().__init__()
        self.weight, self.index = base.weight, index
        self.lora_B = torch.nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, x):
        result = F.linear(x, self.weight)
        result += F.linear(x[:, :, self.index], self.lora_B) * (ALPHA / RANK)
        return result


def make_model(folder):
    """A checkpoint of random weights, made once."""
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(**CONFIG)).save_pretrained(folder)


class Theirs:
    def __init__(self, folder, adapter):
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model.config.use_cache = False
        self.model.train()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        regions = load_file(adapter / "adapter_model.safetensors")
        halves = []
        for name, module in list(self.model.named_modules()):
            if name.endswith(TARGETS):
                parent, _, child = name.rpartition(".")
                layer = FaLinear(module, regions[f"base_model.model.{name}.lora_A"])
                setattr(self.model.get_submodule(parent), child, layer)
                halves.append(layer.lora_B)
        self.optimiser = torch.optim.AdamW(halves, lr=LEARNING_RATE, weight_decay=0.01, fused=True)

    def step(self, ids):
        begin = time.perf_counter()
        loss = self.model(input_ids=ids, labels=ids).loss
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.item(), time.perf_counter() - begin

    @staticmethod
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Ours:
    def __init__(self, program, folder, adapter, threads, dropout=0.0):
        words = [program, folder, adapter, threads, SEQUENCES, RANK, ALPHA, LEARNING_RATE, dropout]
        self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        if self.process.stdout.readline().strip() != "ready":
            sys.exit("step.py: bench_llama_step did not start")

    def step(self, ids):
        self.process.stdin.write(" ".join(map(str, ids.flatten().tolist())) + "\n")
        self.process.stdin.flush()
        loss, seconds, self.peak = map(float, self.process.stdout.readline().split())
        return loss, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["llama_step_vs_torch", "llama_memory_vs_torch"])
    parser.add_argument("program", help="bench_llama_step")
    parser.add_argument("folder", type=pathlib.Path, help="for the checkpoint and the adapter")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    model, adapter = args.folder / "model", args.folder / "adapter"
    if not (model / "model.safetensors").exists():
        # In a process of its own, whose memory isn't counted.
        subprocess.run([sys.executable, "-c", "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import step; "
                        "step.make_model(pathlib.Path(sys.argv[2]))", pathlib.Path(__file__).parent, model], check=True)
    ours = Ours(args.program, model, adapter, args.threads)
    theirs = Theirs(model, adapter)
    generator = torch.Generator().manual_seed(1)
    draw = lambda: torch.randint(CONFIG["vocab_size"], (SEQUENCES, LENGTH), generator=generator)

    # Two steps of each on the same tokens must agree before anything is compared: the second one's loss sees what the
    # first one trained.
    ids = draw()
    for _ in range(2):
        expected, _ = theirs.step(ids)
        loss, _ = ours.step(ids)
        if not abs(loss - expected) < 1e-5 * expected:
            sys.exit(f"step.py: a loss of {loss}, PyTorch has {expected}")

    if args.name == "llama_memory_vs_torch":
        print(f"  peak resident memory, {args.threads} threads: PyTorch {torch.__version__} {theirs.peak():.0f} MiB, "
              f"examples/llama {ours.peak:.0f} MiB", file=sys.stderr)
        ratio = theirs.peak() / ours.peak
    else:
        pairs = []
        for _ in range(PAIRS):
            ids = draw()
            pairs.append((theirs.step(ids)[1], ours.step(ids)[1]))
        ratios = [a / b for a, b in pairs]
        ratio = statistics.median(ratios)
        print(f"  {args.threads} threads: PyTorch {torch.__version__} {statistics.median(a for a, _ in pairs):.3g} s, "
              f"examples/llama {statistics.median(b for _, b in pairs):.3g} s, ratios {min(ratios):.3g} to "
              f"{max(ratios):.3g}", file=sys.stderr)
    print(f"ratio {args.name} {ratio:.4g}")


if __name__ == "__main__":
    main()
