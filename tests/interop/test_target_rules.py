"""Which modules a config chooses, and with which rank and alpha: PEFT's own functions on the same names."""

import peft
import pytest
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

from sbora import Error, TargetRules

PARTS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.gate_up_proj",
         "input_layernorm"]
NAMES = [
    *(f"model.layers.{layer}.{part}" for layer in (0, 1, 2, 10, 11, 21) for part in PARTS),
    # A base model's own checkpoint, whose modules are at the root; GPT-2, BERT, T5, GPT-NeoX, Falcon.
    *(f"layers.{layer}.{part}" for layer in (0, 1, 11) for part in PARTS),
    *(f"{root}h.{layer}.attn.{part}" for root in ("", "transformer.") for layer in (0, 1, 11)
      for part in ("c_attn", "c_proj")),
    *(f"{root}encoder.layer.{layer}.attention.self.query" for root in ("", "bert.") for layer in (0, 1, 11)),
    *(f"{side}.block.{layer}.layer.{sub}.SelfAttention.q" for side in ("encoder", "decoder") for layer in (0, 1)
      for sub in (0, 1)),
    "gpt_neox.layers.1.attention.query_key_value", "transformer.h.0.self_attention.query_key_value",
    # Experts, and other models inside of models.
    *(f"model.layers.{layer}.mlp.experts.{expert}.{part}" for layer in (0, 1) for expert in (0, 1, 10)
      for part in ("up_proj", "down_proj")),
    *(f"model.{tower}.layers.{layer}.self_attn.q_proj" for tower in ("visual", "vision_tower", "language_model")
      for layer in (0, 1)),
    "model.visual.blocks.0.attn.qkv", "visual.patch_embed.proj", "layers.3.layers.7.up", "m.layers.3.layers.7.up",
    "m.layers.1.experts.layers.0.up", "m.blocks.1.h.3.up", "m.h.3.up", "m.blocks.3.up", "m.other.3.up", "m.hh.3.up",
    # Numbers, dots and capitals in odd places.
    "0.q_proj", "3.q_proj", "a.3.q_proj", "a.b.3.q_proj", "a.b.03.q_proj", "a.b.3x.q_proj", "a.b.c.3.q_proj",
    "a..3.q_proj",
    ".x.3.q_proj", "a.b.3.", "a.b.33", "a.b.12345678901234567890123.q_proj", "model.layers.1.Q_PROJ", "q_proj",
    "xq_proj",
    "q_proj.inner", "model.q_proj.0", "model.layers.1.q-proj", "model.layers.1.q proj", "model.layers.1.self_attn",
    "lm_head", "model.lm_head", "score", "model.embed_tokens", "seq_proj", "model.layers_1.q_proj",
]

CONFIGS = {
    # target_modules
    "a list": {"target_modules": ["q_proj", "up_proj"]},
    "whole names": {"target_modules": ["model.layers.1.self_attn.q_proj", "lm_head", "q_proj.inner"]},
    "suffixes of several parts": {"target_modules": ["1.self_attn.q_proj", "self_attn.k_proj", "attn"]},
    "characters of regular expressions": {"target_modules": ["q.proj", ".q_proj", "layers.1", "q_proj$", "*"]},
    "an empty list": {"target_modules": []},
    "an empty text": {"target_modules": ""},
    "a text is for whole names": {"target_modules": "q_proj"},
    "all attention": {"target_modules": r".*self_attn\.(q|k|v|o)_proj"},
    "alternatives": {"target_modules": r".*q_proj|lm_head|.*\.1\..*up_proj"},
    "of old guides": {"target_modules": r".*(q_proj|v_proj)$"},
    "not the eyes": {"target_modules": r"^(?!.*(?:visual|vision_tower)).*(?:q_proj|k_proj|up_proj).*"},
    "LLaMA-Factory": {"target_modules": r"^(?!.*patch_embed).*(?:q_proj|qkv|proj).*"},
    "ms-swift": {"target_modules": r"^(model(?=\.).*\.(q_proj|k_proj)|lm_head)$"},
    "unsloth": {"target_modules": r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp).*?(?:k_proj|q_proj).*?)|"
                r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn|mlp)\.(?:(?:k_proj|q_proj)))"},
    "some layers": {"target_modules": r"model\.layers\.(?:[0-9]|1[0-5])\.self_attn\.[qk]_proj"},
    "classes": {"target_modules": r"[\w.]+\.[^.]*_proj"},
    "classes with signs": {"target_modules": r"[a-z.\d_]*[.][qk][_-]proj"},
    "a sign at a class's end": {"target_modules": r"[\w.-]+"},
    "counts": {"target_modules": r"(?:\w+\.){3}\d{1,2}\.\w+|.*\.\d{2,}\..*q_proj"},
    "lazy": {"target_modules": r".+?\.1\..*?_proj"},
    "word bounds": {"target_modules": r".*\bq_proj\b.*"},
    "not a word bound": {"target_modules": r".*\Bq_proj"},
    "anchors inside": {"target_modules": r"(^model|^layers)\..*q_proj$"},
    "no letter, no digit": {"target_modules": r"\D+\d\D+q\Wproj|\S+q\sproj"},
    # layers_to_transform
    "one layer": {"target_modules": ["q_proj"], "layers_to_transform": 1},
    "layers": {"target_modules": ["q_proj", "up_proj", "query", "c_attn", "q"], "layers_to_transform": [1, 11, 3]},
    "no layers": {"target_modules": ["q_proj"], "layers_to_transform": []},
    "layers and whole names": {"target_modules": ["lm_head", "layers.0.self_attn.q_proj"],
                               "layers_to_transform": [1]},
    # layers_pattern
    "a pattern": {"target_modules": ["q_proj", "up", "up_proj"], "layers_to_transform": [0, 1, 3],
                  "layers_pattern": "layers"},
    "a pattern in a list": {"target_modules": ["q_proj", "c_attn"], "layers_to_transform": [1],
                            "layers_pattern": ["h"]},
    "patterns": {"target_modules": ["up", "q_proj", "c_attn", "query"], "layers_to_transform": [1, 3],
                 "layers_pattern": ["blocks", "h", "layers", "layer"]},
    "the first pattern that matches": {"target_modules": ["up"], "layers_to_transform": [1],
                                       "layers_pattern": ["blocks", "h"]},
    "an empty pattern": {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ""},
    "an empty list of patterns": {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": []},
    "a pattern without layers": {"target_modules": ["q_proj"], "layers_to_transform": [], "layers_pattern": "layers"},
    "a pattern of experts": {"target_modules": ["up_proj"], "layers_to_transform": [1], "layers_pattern": "experts"},
    "a pattern of two parts": {"target_modules": ["q_proj"], "layers_to_transform": [1],
                               "layers_pattern": r"model.layers"},
    "groups in a pattern": {"target_modules": ["q_proj", "up", "c_attn"], "layers_to_transform": [0, 1, 3],
                            "layers_pattern": "(h|layers)"},
    "alternatives in no group": {"target_modules": ["q_proj", "up", "c_attn", "up_proj"],
                                 "layers_to_transform": [0, 1, 3],
                                 "layers_pattern": "h|layers"},
    "three alternatives": {"target_modules": ["q_proj", "up", "c_attn", "q"], "layers_to_transform": [0, 1, 3],
                           "layers_pattern": "h|layers|encoder.block"},
    "a pattern of any name": {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1],
                              "layers_pattern": r"\w+"},
    "a greedy pattern": {"target_modules": ["up"], "layers_to_transform": [3, 7], "layers_pattern": r".*layers"},
    # exclude_modules
    "without some": {"target_modules": ["q_proj", "up_proj", "lm_head"], "exclude_modules": ["up_proj", "lm_head"]},
    "without whole names": {"target_modules": ["q_proj"], "exclude_modules": ["model.layers.1.self_attn.q_proj",
                                                                              "layers.0"]},
    "without a text": {"target_modules": ["q_proj", "up_proj"], "exclude_modules": r".*\.1?\d\.(self_attn|mlp).*"},
    "without nothing": {"target_modules": ["q_proj"], "exclude_modules": []},
    "without an empty text": {"target_modules": ["q_proj"], "exclude_modules": ""},
    "a text without a text": {"target_modules": r".*proj", "exclude_modules": r".*(visual|vision|experts).*"},
    # rank_pattern, alpha_pattern
    "ranks": {"target_modules": ["q_proj"], "rank_pattern": {"layers.1.self_attn.q_proj": 2, "q_proj": 3,
                                                             "model.layers.0.*": 4},
              "alpha_pattern": {"k_proj|q_proj": 5.5, "q_proj": 6, "up_proj": 7}},
    "ranks from the root": {"target_modules": ["q_proj"], "rank_pattern": {r"^model\.layers\.0\.self_attn\.q_proj": 2,
                            r"^layers.*": 3, r"model.layers.1.*_proj": 5}, "alpha_pattern": {r"^lm_head$": 3}},
    "ranks by class": {"target_modules": ["q_proj"], "rank_pattern": {r"layers\.[01]\..*": 2, r"\d+\.up": 3,
                                                                      r".*\.\d{2}\.[^.]*\.\w+": 4},
                       "alpha_pattern": {r"(?!lm).*head": 2, r"self_attn\.(q|k)_proj": 4}},
    "ranks of nothing": {"target_modules": ["q_proj"], "rank_pattern": {"proj": 2, "": 3},
                         "alpha_pattern": {"q_pro": 2}},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_modules_ranks_and_alphas_are_pefts(name):
    config = {"r": 8, "lora_alpha": 16, **CONFIGS[name]}
    lora = peft.LoraConfig(**config)
    theirs = {}
    for module in NAMES:
        rank = lora.rank_pattern.get(get_pattern_key(lora.rank_pattern.keys(), module), lora.r)
        alpha = lora.alpha_pattern.get(get_pattern_key(lora.alpha_pattern.keys(), module), lora.lora_alpha)
        theirs[module] = [bool(check_target_module_exists(lora, module)), rank, alpha]
    rules = TargetRules({"peft_type": "LORA", **config})
    ours = {module: [rules.matches(module), rules.rank_of(module), rules.alpha_of(module)] for module in NAMES}
    assert {module: (ours[module], theirs[module]) for module in NAMES if ours[module] != theirs[module]} == {}


@pytest.mark.parametrize("text", [r".*(?<!visual\.)q_proj", r"(?P<part>q|k)_proj", r"(?i).*Q_PROJ", r".*q_proj\Z",
                                  r"(a)\1",
                                  r"(?>a)q_proj", r"a++", r"(a*)+?+", r".{,3}q", r"[[]q_proj", r"(?#why)q_proj"])
def test_what_python_reads_otherwise_is_refused(text):
    """No file is taken to mean another thing than for PEFT."""
    with pytest.raises(Error, match="target_modules: .* is no usable regular expression: "):
        TargetRules({"peft_type": "LORA", "target_modules": text})


@pytest.mark.parametrize("changes", [{"target_modules": r".*q_proj", "layers_to_transform": [1]},
                                     {"target_modules": ["q_proj"], "layers_pattern": "layers"}])
def test_what_peft_refuses_together_is_refused(changes):
    with pytest.raises(ValueError):
        peft.LoraConfig(**changes)
    with pytest.raises(Error, match="layers_to_transform"):
        TargetRules({"peft_type": "LORA", **changes})
