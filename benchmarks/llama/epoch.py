"""Prints "ratio llama_epoch_vs_peft VALUE" and "ratio llama_epoch_memory_vs_peft VALUE": time for the same unpadded
tokens, and peak resident memory, of fine-tuning a model of SmolLM2-135M's shape with random weights by transformers and
PEFT (LoRA of rank 16) over examples/llama (SBoRA-FA of rank 32: about as many parameters), f32, dropout 0.05, on q, k,
v, up and down. Micro-batches of 4 rows, padded on the left to the longest as upstream's finetune.py pads them, each a
step of AdamW; every token of a row is scored. Two processes that take turns.
usage: epoch.py NAME BENCH_LLAMA_STEP FOLDER [--threads N] [--rows N]"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import step

CONFIG = step.CONFIG | dict(vocab_size=49152, num_hidden_layers=30, max_position_embeddings=8192)
RANK, DROPOUT = 16, 0.05
# Deciles of the tokens in a row of the paper's arithmetic data (3260 rows with upstream's prompt; words, digits and
# marks were counted).
DECILES = (76, 109, 122, 130, 137, 145, 154, 169, 189, 221, 432)
CUTOFF = 256


def make_model(folder):
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**CONFIG)).save_pretrained(folder)


def draw_rows(count):
    """Rows of token ids, whose lengths have those deciles."""
    generator = torch.Generator().manual_seed(1)
    rows = []
    for place in (torch.randperm(count, generator=generator) + 0.5) / count * (len(DECILES) - 1):
        low = int(place)
        length = DECILES[low] + (place - low) * (DECILES[low + 1] - DECILES[low])
        rows.append(torch.randint(CONFIG["vocab_size"], (min(round(length.item()), CUTOFF),), generator=generator))
    return rows


def padded(rows):
    """-1 on the left."""
    longest = max(len(row) for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (longest - len(row), 0), value=-1) for row in rows])


class Theirs:
    def __init__(self, folder):
        base = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        base.config.use_cache = False
        self.model = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=DROPOUT,
                                                     target_modules=list(step.TARGETS), task_type="CAUSAL_LM"))
        self.model.train()
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=step.LEARNING_RATE, weight_decay=0.01, fused=True)

    def step(self, ids):
        begin = time.perf_counter()
        mask = ids >= 0
        # A row's first token has nothing before it; upstream scores it after padding, examples/llama doesn't.
        first = ids.shape[1] - mask.sum(1)
        labels = ids.masked_fill(~mask, -100).index_put((torch.arange(len(ids)), first), torch.tensor(-100))
        loss = self.model(input_ids=ids.clamp(min=0), attention_mask=mask.long(), labels=labels).loss
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.item(), time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["llama_epoch_vs_peft"])
    parser.add_argument("program", help="bench_llama_step")
    parser.add_argument("folder", type=pathlib.Path, help="for the checkpoint and the adapter")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rows", type=int, default=64)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    model = args.folder / "model"
    if not (model / "model.safetensors").exists():
        # In a process of its own, whose memory isn't counted.
        subprocess.run([sys.executable, "-c", "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import epoch; "
                        "epoch.make_model(pathlib.Path(sys.argv[2]))", pathlib.Path(__file__).parent, model], check=True)
    ours = step.Ours(args.program, model, args.folder / "adapter", args.threads, DROPOUT)
    theirs = Theirs(model)
    rows = draw_rows(args.rows)
    batches = [padded(rows[first:first + step.SEQUENCES]) for first in range(0, args.rows, step.SEQUENCES)]

    # Both adapters are zero at first, so a step's loss must be the same; it warms both up too.
    expected, _ = theirs.step(batches[0])
    loss, _ = ours.step(batches[0])
    if not abs(loss - expected) < 1e-5 * expected:
        sys.exit(f"epoch.py: a loss of {loss}, PyTorch has {expected}")

    seconds = [sum(each) for each in zip(*((theirs.step(batch)[1], ours.step(batch)[1]) for batch in batches))]
    tokens, places = sum(len(row) for row in rows), sum(batch.numel() for batch in batches)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {args.threads} threads, {args.rows} rows, {tokens} tokens and {places - tokens} of padding: PyTorch "
          f"{torch.__version__} {seconds[0]:.4g} s, {tokens / seconds[0]:.4g} tokens/s, {peak:.0f} MiB; examples/llama "
          f"{seconds[1]:.4g} s, {tokens / seconds[1]:.4g} tokens/s, {ours.peak:.0f} MiB", file=sys.stderr)
    print(f"ratio {args.name} {seconds[0] / seconds[1]:.4g}")
    print(f"ratio llama_epoch_memory_vs_peft {peak / ours.peak:.4g}")


if __name__ == "__main__":
    main()
