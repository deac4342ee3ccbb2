"""The fine-tuner's model (examples/llama) against transformers: logits, gradients of adapters, a training run."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig, Trainer, TrainingArguments

import official
from driver import Refused
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
# What is a LLaMA with differences; each with all of them in use.
ARCHITECTURES = {
    "llama with biases": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"model_type": "mistral", "sliding_window": 5, "head_dim": 20},
    "mistral without window": {"model_type": "mistral", "sliding_window": None},
    "qwen2": {"model_type": "qwen2"},
    "qwen2 with windows": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4,
                           "max_window_layers": 1},
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
    "qwen3 with biases and windows": {"model_type": "qwen3", "head_dim": 16, "attention_bias": True,
                                      "use_sliding_window": True, "sliding_window": 3,
                                      "layer_types": ["sliding_attention", "full_attention"]},
    "smollm3": {"model_type": "smollm3", "num_hidden_layers": 5},
    "smollm3 by lists": {"model_type": "smollm3", "no_rope_layers": [0, 1], "use_sliding_window": True,
                         "sliding_window": 6, "attention_bias": True},
    "phi3": {"model_type": "phi3", "sliding_window": 7},
    "phi3 in bf16": {"model_type": "phi3", "dtype": torch.bfloat16},
    "granite": {"model_type": "granite", "embedding_multiplier": 5.0, "attention_multiplier": 0.4,
                "residual_multiplier": 0.6, "logits_scaling": 3.0, "attention_bias": True, "tie_word_embeddings": True},
    "granite without multipliers": {"model_type": "granite", "mlp_bias": True},
}
MODELS |= ARCHITECTURES
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


def plan_for(method, name):
    """PLAN for a model of MODELS."""
    plan = PLAN | {"method": method}
    if MODELS[name].get("model_type") == "phi3":
        plan["target_modules"] = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    return plan


@pytest.mark.parametrize("name", ["llama3 rope", *ARCHITECTURES])
def test_what_is_saved_is_the_same_model(sbora, name):
    folder = sbora.folder / "model"
    model = make_llama(folder, **MODELS[name])
    sbora("llama-save", folder, sbora.folder / "saved")
    saved = load_llama(sbora.folder / "saved")
    assert type(saved) is type(model)
    tokens = make_batch(1, padded=False)["tokens"]
    assert torch.equal(logits(saved, tokens), logits(load_llama(folder), tokens))


def attached(sbora, folder, plan):
    """PyTorch's and sbora's model with the same adapters, which aren't zero."""
    plan_file, parameters_file = write_json(sbora, "plan", plan), sbora.folder / "parameters"
    slots = json.loads(sbora("llama-attach", folder, plan_file, parameters_file))
    initial = sbora.read("parameters", torch.float32)
    parameters = initial + 0.05 * torch.randn(initial.shape, generator=torch.Generator().manual_seed(4))
    sbora.write("parameters", parameters)
    model = load_llama(folder)
    return model, official.adapt(model, plan, slots, parameters), plan_file, parameters_file


@pytest.mark.parametrize("name", ["grouped-query", "tied", "llama3 rope", "bf16", *ARCHITECTURES])
@pytest.mark.parametrize("method", ["fa", "fb", "lora"])
def test_gradients(sbora, method, name):
    folder = sbora.folder / "model"
    make_llama(folder, **MODELS[name])
    model, adapted, plan, parameters = attached(sbora, folder, plan_for(method, name))
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


class RecordingTrainer(Trainer):
    """transformers' Trainer over batches as they come; notes every step's loss, as it is backpropagated, and norm."""

    def __init__(self, *rest, **options):
        super().__init__(*rest, **options)
        self.losses, self.norms = [], []

    def _get_train_sampler(self, dataset=None):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self.state.global_step == len(self.losses):
            self.losses.append(0.0)
        self.losses[-1] += loss.item()
        return loss

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        self.norms.append(float(norm))
        return norm


def rows_of(batches):
    """One row of a data set for each sequence, with the positions that transformers needs to be told."""
    return [{"input_ids": batch["tokens"][i], "attention_mask": batch["mask"][i], "labels": batch["labels"][i],
             "position_ids": (batch["mask"][i].cumsum(-1) - 1).clamp(min=0)}
            for batch in batches for i in range(len(batch["tokens"]))]


def stacked(rows):
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def follow_trainer(sbora, name, method, epochs, max_norm):
    """AdamW, warm-up and linear decay, three micro-batches a step and what is left at an epoch's end, clipping that
    clips, sequences and whole micro-batches without scored tokens; three steps an epoch. Returns Trainer's losses."""
    accumulation, rate, warmup, decay = 3, 5e-3, 10, 0.01
    folder = sbora.folder / "model"
    make_llama(folder, **MODELS[name])
    model, adapted, plan_file, parameters_file = attached(sbora, folder, plan_for(method, name))
    batches = [make_batch(100 + number) for number in range(7)]
    batches[1]["labels"][:3] = -100  # one sequence is left
    batches[3]["labels"][:] = -100
    validation = [make_batch(200 + number) for number in range(3)]
    validation[0]["labels"][1:, :-1] = -100
    validation[2] = {name: values[:1] for name, values in validation[2].items()}  # a short last batch

    settings = TrainingArguments(
        output_dir=sbora.folder / "trainer", per_device_train_batch_size=4, per_device_eval_batch_size=4,
        gradient_accumulation_steps=accumulation, num_train_epochs=epochs, learning_rate=rate, warmup_steps=warmup,
        lr_scheduler_type="linear", weight_decay=decay, max_grad_norm=max_norm, optim="adamw_torch", use_cpu=True,
        save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True, seed=1)
    trainer = RecordingTrainer(model=model, args=settings, train_dataset=rows_of(batches),
                               eval_dataset=rows_of(validation), data_collator=stacked)
    trainer.train()
    evaluated = trainer.evaluate()["eval_loss"]

    run = {"epochs": epochs, "accumulation": accumulation, "learning_rate": rate, "warmup": warmup,
           "weight_decay": decay, "max_norm": max_norm, "batches": [described(batch) for batch in batches],
           "validation": [described(batch) for batch in validation]}
    ours = json.loads(sbora("llama-train", folder, plan_file, parameters_file, write_json(sbora, "run", run),
                            sbora.folder / "trained"))
    theirs = trainer.losses
    assert len(theirs) == 3 * epochs
    assert max(trainer.norms) > max_norm  # it clips
    for step, (own, other) in enumerate(zip(ours["losses"], theirs, strict=True)):
        assert abs(own - other) < 1e-4 * other, f"step {step}: {own}, Trainer {other}"
    for step, (own, other) in enumerate(zip(ours["norms"], trainer.norms, strict=True)):
        assert abs(own - other) < 1e-2 * other, f"step {step}: norm {own}, Trainer {other}"
    assert abs(ours["eval_loss"] - evaluated) < 1e-4 * evaluated
    trained = official.flat(adapted, lambda half: half.detach())
    assert relative(sbora.read("trained", torch.float32), trained) < 1e-2
    return theirs


@pytest.mark.parametrize("method", ["fa", "fb", "lora"])
def test_fifty_steps_follow_trainer(sbora, method):
    losses = follow_trainer(sbora, "grouped-query", method, 17, 1.0)
    assert losses[-1] < 0.9 * losses[2]  # it learns


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_twenty_one_steps_of_each_architecture(sbora, name):
    losses = follow_trainer(sbora, name, "fa", 7, 0.5)
    assert losses[-1] < losses[2]


def with_tensors(folder, change):
    """Changes the tensors of a saved model."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def same_logits(sbora, folder):
    batch = make_batch(1, padded=False)
    sbora("llama-logits", folder, write_json(sbora, "batch", described(batch)), sbora.folder / "logits")
    ours = sbora.read("logits", torch.float32, (4, 13, 96))
    return relative(ours, logits(load_llama(folder), batch["tokens"])) < 1e-5


EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
FREQUENCIES = "model.layers.0.self_attn.rotary_emb.inv_freq"
UNUSED = {
    "equal head": (lambda t: t.update({HEAD: t[EMBEDDING].clone()}), ""),
    "another head": (lambda t: t.update({HEAD: t[EMBEDDING].flip(0).contiguous()}), "lm_head.weight differs"),
    "another head in bf16": (lambda t: t.update({HEAD: t[EMBEDDING].flip(0).to(torch.bfloat16)}),
                             "lm_head.weight differs"),
    "head alone": (lambda t: t.update({HEAD: t.pop(EMBEDDING)}), ""),
    "frequencies": (lambda t: t.update({FREQUENCIES: 1e4 ** (-torch.arange(0, 12, 2) / 12)}), ""),
    "other frequencies": (lambda t: t.update({FREQUENCIES: torch.ones(6)}), "inv_freq isn't what config.json"),
}


@pytest.mark.parametrize("name", UNUSED)
def test_tensors_that_a_tied_model_may_not_use(sbora, name):
    folder = sbora.folder / "model"
    make_llama(folder, tie_word_embeddings=True)
    change, note = UNUSED[name]
    with_tensors(folder, change)
    assert same_logits(sbora, folder)
    said = sbora("llama-notes", folder)
    assert note in said and bool(note) == bool(said)


FIELDS = {  # and whether they are listed as unread
    "hidden_act": ("swish", False), "pretraining_tp": (2, False), "_attn_implementation_autoset": (True, False),
    "unk_token_id": (3, False), "gradient_checkpointing": (True, True), "is_decoder": (True, False),
    "logits_scaling": (3.0, True), "attn_logit_softcapping": (1.0, True), "tie_last_hidden_states": (False, True),
    "_name_or_path": ("x/y", False), "is_llama_config": (True, True), "auto_map": ({"AutoConfig": "x.Y"}, True),
    "transformers.js_config": ({"dtype": "q4"}, True),
    "architectures": (["LLaMAForCausalLM"], False), "per_layer_config": (None, False), "rope_scaling": ({}, False),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_that_change_nothing(sbora, name):
    folder = sbora.folder / "model"
    make_llama(folder)
    value, listed = FIELDS[name]
    config = json.loads((folder / "config.json").read_text()) | {name: value}
    (folder / "config.json").write_text(json.dumps(config))
    assert same_logits(sbora, folder)
    assert (name in sbora("llama-notes", folder)) == listed


@pytest.mark.parametrize("changes", [
    {"rope_scaling": {k: v for k, v in LLAMA3.items() if k != "original_max_position_embeddings"}},
    {"rope_scaling": LLAMA3, "original_max_position_embeddings": 8},
    {"rope_scaling": {"type": "default", "rope_theta": 77.0}, "rope_theta": 5.0}, {"rope_theta": 77.0}],
    ids=["length of the model", "length beside", "theta within", "theta beside"])
def test_rope_fields(sbora, changes):
    folder = sbora.folder / "model"
    make_llama(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    (folder / "config.json").write_text(json.dumps(config | changes))
    assert same_logits(sbora, folder)


@pytest.mark.parametrize("field", [{"is_causal": False}, {"attention_dropout": 0.1}, {"sliding_window": 4},
                                   {"per_layer_config": {"0": {"rms_norm_eps": 0.5}}}],
                         ids=lambda field: next(iter(field)))
def test_fields_that_change_the_computation_are_refused(sbora, field):
    folder = sbora.folder / "model"
    make_llama(folder)
    config = json.loads((folder / "config.json").read_text()) | field
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(Refused, match=next(iter(field))):
        sbora("llama-notes", folder)
