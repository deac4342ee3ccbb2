"""Fine-tunes a small random LLaMA of transformers with SBoRA by sbora's kernels, saves the adapter for PEFT and as
PaCA, and compares: PEFT's logits from the first, PaCA's formula from the second, with those that were trained."""

import argparse
import json
import pathlib
import random
import time

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

import sbora.torch

TARGETS = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--kind", choices=["FA", "FB"], default="FA", help="columns or rows are trained")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=8, help="sequences a step, of 64 bytes")
    parser.add_argument("--learning_rate", type=float, default=1e-2)
    parser.add_argument("--hidden", type=int, default=128, help="the model's width")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="torch's and sbora's; 0: torch's choice")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path, default="sbora_python", help="a folder for what is saved")
    return parser.parse_args()


def make_model(options):
    torch.manual_seed(options.seed)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=256, hidden_size=options.hidden, intermediate_size=options.hidden * 3, num_attention_heads=4,
        num_key_value_heads=2, num_hidden_layers=options.layers, max_position_embeddings=128, initializer_range=0.1))


def batches(options):
    """Sums in words, as bytes."""
    random.seed(options.seed)
    while True:
        text = "".join(f"{a} and {b} is {a + b}. " for a, b in
                       ((random.randrange(50), random.randrange(50)) for _ in range(options.batch * 8)))
        data = text.encode()[:options.batch * 64]
        yield torch.tensor(list(data)).view(options.batch, 64)


def train(model, options):
    trained = [p for p in model.parameters() if p.requires_grad]
    count = sum(p.numel() for p in trained)
    print(f"{count} of {sum(p.numel() for p in model.parameters())} parameters are trained")
    optimiser = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=0)
    model.train()
    begin, data = time.time(), batches(options)
    for step in range(1, options.steps + 1):
        tokens = next(data)
        loss = model(input_ids=tokens, labels=tokens).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"step {step:3}/{options.steps}  loss {loss.item():.4f}  {(time.time() - begin) / step * 1e3:.0f} ms a step",
              flush=True)
    model.eval()


@torch.no_grad()
def logits(model, tokens):
    return model(input_ids=tokens).logits


def report(what, ours, theirs):
    """The greatest difference by the greatest element. Errors: SystemExit where it is above 1e-5."""
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    print(f"{what}: logits differ by {error:.1e}")
    if not error <= 1e-5:
        raise SystemExit(f"{what}: more than 1e-5")


@torch.no_grad()
def put_paca_on(model, folder):
    """PEFT's PaCA by its formula, W[:, indices] += s·delta: PyPI's PEFT has no PaCA yet."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    for name, delta in tensors.items():
        if name.endswith(".paca_delta"):
            module = name.removeprefix("base_model.model.").removesuffix(".paca_delta")
            indices = tensors[name.replace("paca_delta", "paca_indices")]
            model.get_submodule(module).weight[:, indices] += config["paca_alpha"] / config["r"] * delta


def main():
    options = parse_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = make_model(options)
    adapter = sbora.torch.adapt(
        model, {"r": options.rank, "lora_alpha": 2 * options.rank, "target_modules": TARGETS, "task_type": "CAUSAL_LM"},
        kind=options.kind, seed=options.seed)
    train(model, options)

    tokens = next(batches(options))
    expected = logits(model, tokens)
    layouts = ["native", "peft"] + (["paca"] if options.kind == "FA" else [])  # PaCA has no rows
    for layout in layouts:
        adapter.save(options.output / layout, layout)
        print(f"saved {options.output / layout}")

    import peft
    report("PEFT", logits(peft.PeftModel.from_pretrained(make_model(options), options.output / "peft"), tokens), expected)
    if "paca" in layouts:
        base = make_model(options)
        put_paca_on(base, options.output / "paca")
        report("PaCA's formula", logits(base, tokens), expected)
    again = make_model(options)
    sbora.torch.load(again, options.output / "native")
    sbora.torch.merge(again)
    report("loaded and merged", logits(again, tokens), expected)
    sbora.torch.unmerge(again)
    sbora.torch.unload(again)
    report("taken out again", logits(again, tokens), logits(make_model(options), tokens))


if __name__ == "__main__":
    main()
