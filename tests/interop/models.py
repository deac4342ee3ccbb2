"""Small models of transformers, with random weights."""

import sbora
import torch
from transformers import AutoModelForCausalLM, CONFIG_MAPPING


def make_llama(folder, dtype=torch.float32, seed=0, model_type="llama", **changes):
    """Saved in the folder, and returned. Norms and biases, which start as ones and zeros, are random as well."""
    settings = {"vocab_size": 96, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
                "initializer_range": 0.2, "tie_word_embeddings": False, "pad_token_id": 0, **changes}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[model_type](**settings))
    for weight in model.parameters():
        if weight.dim() == 1:
            weight.data += 0.3 * torch.randn(weight.shape)
    model = model.to(dtype).eval()
    model.save_pretrained(folder)
    return model


def load_llama(folder, **options):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()


def some_tokens(model, sequences=3, length=11, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, model.config.vocab_size, (sequences, length), generator=generator)


@torch.no_grad()
def logits(model, tokens):
    return model(input_ids=tokens).logits.float()


def relative(ours, theirs):
    """The greatest difference by the greatest element."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def adapted_output(model, adapter, module, x):
    """A layer's output on x, by sbora, with the adapter of a folder on it."""
    sizes = [(name, *layer.weight.shape) for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)]
    loaded, _ = sbora.load_adapter(adapter, sizes)
    weight = model.get_submodule(module).weight.detach()
    y = torch.empty(len(x), len(weight))
    sbora.Linear(weight).forward(x, y, [loaded[module]])
    return y
