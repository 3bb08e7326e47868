"""log p of 700 tokens and its gradients under large vocabularies, beside a plain linear layer and F.cross_entropy.

python tests/benchmarks/bench_output_layer.py [rounds]     (all sides alternate; the best round of each counts)

Tokens are as frequent as Zipf's law has it. An adaptive softmax (cutoffs 2,000 and 10,000) stands beside torch's own
with vectors as wide (div_value=1), and with its own narrower ones (4).
The floor is the three products (logits, and the gradients of hidden states and weights) at torch.mm's own speed; no
layer with a full softmax makes fewer, but ours makes the logits in blocks, which is faster than one product.
"""

import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from gentext.models.output import AdaptiveOutput, Output

CUTOFFS = [2_000, 10_000]
TOKENS, WIDTH = 700, 200  # 20 rows of 35, as the word-level LSTM reads WikiText-2


def sides(v: int) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    layer = Output(v, WIDTH)
    torch.nn.init.normal_(layer.weight, std=0.1)
    hidden = torch.randn(1, TOKENS, WIDTH, requires_grad=True)
    zipf = 1 / torch.arange(1.0, v - 3)
    tokens, mask = 4 + torch.multinomial(zipf, TOKENS, True)[None], torch.ones(1, TOKENS, dtype=torch.bool)
    logits = torch.randn(TOKENS, v)

    def plain() -> None:
        scores = F.linear(hidden, layer.weight)[0]
        F.cross_entropy(scores.float(), tokens[0]).backward()

    def ours() -> None:
        (-layer.log_prob(hidden, tokens, mask).sum() / TOKENS).backward()

    cutoffs = [each for each in CUTOFFS if each < v]
    clustered = AdaptiveOutput(v, WIDTH, cutoffs=cutoffs)
    wide, narrow = (torch.nn.AdaptiveLogSoftmaxWithLoss(WIDTH, v, cutoffs, div_value=each) for each in (1.0, 4.0))

    def adaptive() -> None:
        (-clustered.log_prob(hidden, tokens, mask).sum() / TOKENS).backward()

    def half(act: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with torch.autocast("cpu", torch.bfloat16):
                act()

        return run

    flat, weight = hidden[0].detach(), layer.weight.detach()
    return {
        "cross_entropy fp32": plain,
        "cross_entropy bf16": half(plain),
        "gentext fp32": ours,
        "gentext bf16": half(ours),
        "torch adaptive": lambda: wide(hidden[0], tokens[0]).loss.backward(),
        "torch adaptive, div 4": lambda: narrow(hidden[0], tokens[0]).loss.backward(),
        "gentext adaptive": adaptive,
        "floor fp32": lambda: (flat @ weight.T, logits @ weight, logits.T @ flat),
    }


if __name__ == "__main__":
    torch.set_num_threads(2)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for v in (4_096, 33_278):
        acts = sides(v)
        best = dict.fromkeys(acts, float("inf"))
        for name, act in list(acts.items()) * rounds:
            begun = time.perf_counter()
            act()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - begun))
        print(f"V {v:,}")
        for name, ms in best.items():
            ratio = ms / best["cross_entropy fp32"]
            print(f"  {name:22} {ms:7.1f} ms   {ratio:5.2f} of cross_entropy fp32")
