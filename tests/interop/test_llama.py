"""The fine-tuner's model (examples/llama) against transformers: logits, gradients of adapters, a training run."""

import json

import pytest
import torch
from transformers import BitsAndBytesConfig, get_linear_schedule_with_warmup

import official
from models import load_llama, logits, make_llama, relative

LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
MODELS = {
    "grouped-query": {},
    "one head for keys": {"num_key_value_heads": 1},
    "multi-head": {"num_key_value_heads": 4},
    "tied": {"tie_word_embeddings": True},
    "llama3 rope": {"rope_parameters": LLAMA3},
    "theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}},
    "wide heads": {"head_dim": 20},
    "bf16": {"dtype": torch.bfloat16},
    "f16": {"dtype": torch.float16},
    "bf16, tied, llama3 rope": {"dtype": torch.bfloat16, "tie_word_embeddings": True, "rope_parameters": LLAMA3},
}
PLAN = {"rank": 6, "alpha": 12, "seed": 9,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}


def make_batch(seed, vocab=96, sequences=4, length=13, padded=True):
    """Left-padded sequences, whose first tokens aren't scored."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda low, high, shape: torch.randint(low, high, shape, generator=generator)
    tokens = draw(1, vocab, (sequences, length))
    mask = torch.ones_like(tokens)
    if padded:
        mask = (torch.arange(length) >= draw(0, length // 2, (sequences, 1))).long()
        mask[0] = 1
    # Not a sequence's first token, which transformers predicts from padding: README.
    first_scored = (length - mask.sum(1, keepdim=True)) + draw(1, 5, (sequences, 1))
    labels = torch.where(torch.arange(length) >= first_scored, tokens, -100)
    return {"tokens": tokens * mask, "mask": mask, "labels": labels}


def described(batch):
    sequences, length = batch["tokens"].shape
    return {"sequences": sequences, "length": length} | {name: batch[name].reshape(-1).tolist() for name in batch}


def forward(model, batch):
    # transformers counts positions from the first token that isn't padding where it is told to.
    positions = (batch["mask"].cumsum(-1) - 1).clamp(min=0)
    return model(input_ids=batch["tokens"], attention_mask=batch["mask"], position_ids=positions)


def mean_loss(model, batch):
    """Over scored tokens, each predicted from those before it."""
    predicted = forward(model, batch).logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(predicted.reshape(-1, predicted.shape[-1]),
                                             batch["labels"][:, 1:].reshape(-1), ignore_index=-100)


def write_json(sbora, name, value):
    path = sbora.folder / name
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("name", MODELS)
def test_logits(sbora, name, padded):
    folder = sbora.folder / "model"
    make_llama(folder, **MODELS[name])
    batch = make_batch(1, padded=padded)
    sbora("llama-logits", folder, write_json(sbora, "batch", described(batch)), sbora.folder / "logits")
    ours = sbora.read("logits", torch.float32, (4, 13, 96))
    with torch.no_grad():
        theirs = forward(load_llama(folder), batch).logits
    real = batch["mask"].bool()
    assert relative(ours[real], theirs[real]) < 1e-5


def test_a_sharded_checkpoint(sbora):
    folder = sbora.folder / "model"
    model = make_llama(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    batch = make_batch(2, padded=False)
    sbora("llama-logits", folder, write_json(sbora, "batch", described(batch)), sbora.folder / "logits")
    assert relative(sbora.read("logits", torch.float32, (4, 13, 96)), logits(model, batch["tokens"])) < 1e-5


@pytest.mark.parametrize("options", [{"load_in_8bit": True}, {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
                                     {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4",
                                      "bnb_4bit_use_double_quant": True}], ids=["int8", "nf4", "fp4 nested"])
def test_a_checkpoint_of_bitsandbytes_as_it_is(sbora, options):
    base, folder = sbora.folder / "base", sbora.folder / "model"
    # Rows of whole blocks: see test_bitsandbytes.py for what upstream makes of others.
    make_llama(base, hidden_size=64, intermediate_size=128)
    load_llama(base, quantization_config=BitsAndBytesConfig(**options), device_map="cpu").save_pretrained(folder)
    batch = make_batch(3, padded=False)
    sbora("llama-logits", folder, write_json(sbora, "batch", described(batch)), sbora.folder / "logits")
    ours = sbora.read("logits", torch.float32, (4, 13, 96))
    # The values that the codes stand for, in plain layers: bitsandbytes' own int8 product rounds its inputs too.
    dense = load_llama(base)
    sbora("dequantise-checkpoint", folder / "model.safetensors", sbora.folder)
    for name, module in dense.named_modules():
        values = sbora.folder / f"{name}.weight"
        if isinstance(module, torch.nn.Linear) and values.exists():
            module.weight.data = sbora.read(values.name, torch.float32, module.weight.shape)
    assert relative(ours, logits(dense, batch["tokens"])) < 1e-5


def attached(sbora, folder, plan):
    """PyTorch's and sbora's model with the same adapters, which aren't zero."""
    plan_file, parameters_file = write_json(sbora, "plan", plan), sbora.folder / "parameters"
    slots = json.loads(sbora("llama-attach", folder, plan_file, parameters_file))
    initial = sbora.read("parameters", torch.float32)
    parameters = initial + 0.05 * torch.randn(initial.shape, generator=torch.Generator().manual_seed(4))
    sbora.write("parameters", parameters)
    model = load_llama(folder)
    return model, official.adapt(model, plan, slots, parameters), plan_file, parameters_file


@pytest.mark.parametrize("name", ["grouped-query", "tied", "llama3 rope", "bf16"])
@pytest.mark.parametrize("method", ["fa", "fb", "lora"])
def test_gradients(sbora, method, name):
    folder = sbora.folder / "model"
    make_llama(folder, **MODELS[name])
    model, adapted, plan, parameters = attached(sbora, folder, PLAN | {"method": method})
    batch = make_batch(3)
    loss = mean_loss(model, batch)
    loss.backward()
    batch_file = write_json(sbora, "batch", described(batch))
    for checkpointing in ([], ["checkpointing"]):
        printed = json.loads(sbora("llama-gradients", folder, plan, parameters, batch_file, sbora.folder / "gradient",
                                   *checkpointing))
        assert abs(printed["loss"] - loss.item()) < 1e-5 * loss.item()
        assert abs(printed["evaluated"] - loss.item()) < 1e-5 * loss.item()
        assert printed["count"] == (batch["labels"][:, 1:] != -100).sum()
        gradient = sbora.read("gradient", torch.float32)
        for slot, layer in adapted:
            theirs = official.flat([(slot, layer)], lambda half: half.grad)
            ours = gradient[slot["offset"] : slot["offset"] + len(theirs)]
            assert relative(ours, theirs) < 1e-5, slot["module"]


@pytest.mark.parametrize("method", ["fa", "fb", "lora"])
def test_fifty_steps_follow_pytorch(sbora, method):
    """AdamW, warm-up and linear decay, two micro-batches a step, clipping that clips."""
    steps, accumulation, rate, warmup, decay, max_norm = 50, 2, 5e-3, 10, 0.01, 1.0
    folder = sbora.folder / "model"
    make_llama(folder)
    plan = PLAN | {"method": method}
    model, adapted, plan_file, parameters_file = attached(sbora, folder, plan)
    batches = [make_batch(100 + number % 6) for number in range(steps * accumulation)]

    halves = [half for _, layer in adapted for half in (layer.a, layer.b) if half is not None]
    optimiser = torch.optim.AdamW(halves, lr=rate, weight_decay=decay)
    schedule = get_linear_schedule_with_warmup(optimiser, warmup, steps)
    theirs, norms = [], []
    for step in range(steps):
        total = 0.0
        for batch in batches[step * accumulation : (step + 1) * accumulation]:
            loss = mean_loss(model, batch) / accumulation
            loss.backward()
            total += loss.item()
        norms.append(torch.nn.utils.clip_grad_norm_(halves, max_norm).item())
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        theirs.append(total)

    run = {"steps": steps, "accumulation": accumulation, "learning_rate": rate, "warmup": warmup,
           "weight_decay": decay, "max_norm": max_norm, "batches": [described(batch) for batch in batches]}
    ours = json.loads(sbora("llama-train", folder, plan_file, parameters_file, write_json(sbora, "run", run),
                            sbora.folder / "trained"))
    assert theirs[-1] < 0.9 * theirs[0] and max(norms) > max_norm  # it learns, and clips
    for step, (own, other) in enumerate(zip(ours["losses"], theirs, strict=True)):
        assert abs(own - other) < 1e-4 * other, f"step {step}: {own}, PyTorch {other}"
    trained = official.flat(adapted, lambda half: half.detach())
    assert relative(sbora.read("trained", torch.float32), trained) < 1e-2
