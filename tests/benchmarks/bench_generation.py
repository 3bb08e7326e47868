"""Generation of 256 tokens by a Transformer of 0.8 M parameters, beside transformers' GPT-2 of the same size.

python tests/benchmarks/bench_generation.py [rounds]       (both sides alternate; the best round of each counts)
"""

import logging
import sys
import time
from collections.abc import Callable

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from gentext.decode import Ancestral
from gentext.language_model import LanguageModel
from gentext.models.transformer.model import Transformer
from gentext.types import BOS, EOS

V, NEW = 69, 256  # Shakespeare's 65 characters and the four reserved ids
BARS = {1: 1_700, 64: 16_000}  # tokens a second


def ours() -> Transformer:
    torch.manual_seed(0)
    family = Transformer(V, layers=4, heads=4, width=128, context=NEW).eval()
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return family


def endless(family: LanguageModel) -> LanguageModel:
    """The family with EOS made impossible, so that every sequence is 256 tokens long."""
    family.output.floor[EOS] = -torch.inf
    return family


def theirs() -> GPT2LMHeadModel:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=V, n_positions=NEW + 1, n_embd=128, n_layer=4, n_head=4)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    return GPT2LMHeadModel(config).eval()


def runs(n: int) -> dict[str, Callable[[], object]]:
    family, model, decoder = endless(ours()), theirs(), Ancestral(temperature=0.8, top_k=50)
    rng = torch.Generator().manual_seed(0)
    start = torch.full((n, 1), BOS)
    options = {"max_new_tokens": NEW, "do_sample": True, "temperature": 0.8, "top_k": 50}
    return {
        "gentext": lambda: decoder(family, n, NEW, rng=rng),
        "transformers": lambda: model.generate(start, attention_mask=torch.ones_like(start), **options),
    }


def speeds(n: int, rounds: int) -> dict[str, float]:
    """Tokens a second of the best round."""
    best = dict.fromkeys(runs(n), 0.0)
    for name, act in list(runs(n).items()) * rounds:
        begun = time.perf_counter()
        act()
        best[name] = max(best[name], n * NEW / (time.perf_counter() - begun))
    return best


def cached_equals_uncached() -> bool:
    """Token for token: what was drawn is also the likeliest choice of the uncached forward pass, greedily."""
    family = endless(ours())
    drawn = Ancestral(top_k=1)(family, 4, NEW, rng=torch.Generator().manual_seed(0)).tokens
    with torch.no_grad():
        line = torch.cat([torch.full((4, 1), BOS), drawn[:, :-1]], 1)
        logits = family.output(family._run(line, None)[0])
    return torch.equal(logits.argmax(-1), drawn)


if __name__ == "__main__":
    torch.set_num_threads(2)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"greedy, cached equals uncached token for token: {cached_equals_uncached()}")
    print(f"{'batch':>5} {'gentext':>10} {'transformers':>13} {'ratio':>6} {'bar':>8}   (tokens/s)")
    for n, bar in BARS.items():
        best = speeds(n, rounds)
        ratio = best["gentext"] / best["transformers"]
        print(f"{n:5d} {best['gentext']:10,.0f} {best['transformers']:13,.0f} {ratio:6.2f} {bar:8,}")
