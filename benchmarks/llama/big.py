"""What PyTorch, PEFT and bitsandbytes need for a training step that bench_llama_big measures, extrapolated: models of
one layer and of three, in processes of their own, whose difference, halved, is a layer's.
usage: big.py llama_7b|llama3_8b SEQUENCES 0|1 [--threads N]
Prints one line: MODEL SEQUENCES CHECKPOINTING GIBIBYTES SECONDS. LoRA of rank 32 on q, k, v, up and down, NF4 with
double quantisation, float32 activations; embedding and head in float32, since PyTorch takes minutes for a head in
bfloat16 on a processor that can't multiply it."""

import argparse
import resource
import subprocess
import sys
import time

SHAPES = {"llama_7b": dict(vocab_size=32000, intermediate_size=11008, num_key_value_heads=32),
          "llama3_8b": dict(vocab_size=128256, intermediate_size=14336, num_key_value_heads=8)}
LAYERS = 32


def measure(chosen, layers):
    """In this process: peak gibibytes, and seconds of the second step."""
    import bitsandbytes as bnb
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(chosen.threads)
    config = LlamaConfig(hidden_size=4096, num_attention_heads=32, num_hidden_layers=layers,
                         tie_word_embeddings=False, attn_implementation="sdpa", **SHAPES[chosen.model])
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and not name.endswith("lm_head"):
            four_bit = bnb.nn.Linear4bit(module.in_features, module.out_features, bias=False,
                                         compute_dtype=torch.float32, quant_type="nf4", compress_statistics=True)
            weight = torch.randn(module.out_features, module.in_features) * 0.02
            four_bit.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4",
                                                compress_statistics=True)
            parent = model.get_submodule(name.rsplit(".", 1)[0])
            setattr(parent, name.rsplit(".", 1)[1], four_bit.to("cpu"))
    for name, values in list(model.named_parameters()) + list(model.named_buffers()):
        if not values.is_meta:
            continue
        parent = model.get_submodule(name.rsplit(".", 1)[0])
        leaf = name.rsplit(".", 1)[1]
        if leaf in parent._buffers:
            continue
        filled = torch.empty(values.shape).normal_(std=0.02) if values.dim() == 2 else torch.ones(values.shape)
        parent._parameters[leaf] = torch.nn.Parameter(filled, requires_grad=False)
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    model = get_peft_model(model, LoraConfig(r=32, lora_alpha=64, lora_dropout=0.05, task_type="CAUSAL_LM",
                                             target_modules=["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]))
    if chosen.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    optimiser = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=3e-4, fused=True)
    tokens = torch.randint(config.vocab_size, (chosen.sequences, 256))
    for _ in range(2):
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        optimiser.step()
        seconds = time.perf_counter() - start
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=SHAPES)
    parser.add_argument("sequences", type=int)
    parser.add_argument("checkpointing", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.layers:
        measure(chosen, chosen.layers)
        return
    found = []
    for layers in (1, 3):
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--layers", str(layers)], check=True,
                              stdout=subprocess.PIPE, text=True)
        found.append([float(word) for word in done.stdout.split()])
    whole = [one + (LAYERS - 1) * (three - one) / 2 for one, three in zip(*found)]
    print(chosen.model, chosen.sequences, chosen.checkpointing, f"{whole[0]:.2f} {whole[1]:.1f}")


if __name__ == "__main__":
    main()
