"""A trained run as a model of lm-evaluation-harness (EleutherAI): its tasks judge any family of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gentext.checks import class_name, missing
from gentext.decode import Ancestral
from gentext.trained import load
from gentext.types import Step, pad

try:
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model
except ImportError as error:
    raise ImportError(missing("gentext.lm_harness", "lm-evaluation-harness", "harness")) from error

NEW_TOKENS = 64  # that a text may have, where a task does not say


@register_model("gentext")
class GentextLM(LM):
    """A run's family under the three requests of the harness.

    run: the folder of a run whose likelihood is exact.  device: where it computes.
    A context and what follows it are cut into tokens together, as the harness does elsewhere; a text's end is not
    scored, for a task's texts need not end where they are cut. An empty context is the beginning of a text.

        lm_eval.simple_evaluate(GentextLM("runs/coco/lstm-..."), tasks=["my_task"])
    """

    def __init__(self, run: str, device: str = "cpu", **given: Any) -> None:
        super().__init__()
        self.model = load(Path(run), device=device)
        likelihood = self.model.family.likelihood
        if likelihood != "exact":
            raise ValueError(
                f"{run} is {class_name(self.model.family)}, whose likelihood is {likelihood}; the harness wants "
                "an exact one, such as family=lstm has"
            )

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Of each continuation its log-probability (nats) after its context, and whether it is the greedy one."""
        return [self._continued(*request.args) for request in requests]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-probability of each whole text, in windows where the family reads no further."""
        return [self._rolled(request.args[0]) for request in requests]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What is written after each context, to the first of the strings `until`."""
        return [self._written(*request.args) for request in requests]

    @torch.inference_mode()
    def _continued(self, context: str, continuation: str) -> tuple[float, bool]:
        whole, given = self._ids(context + continuation), self._ids(context)
        at = min(len(given), len(whole) - 1)
        return self._scored(whole[:at], whole[at:])

    @torch.inference_mode()
    def _rolled(self, text: str) -> float:
        ids, limit = self._ids(text), self.model.family.limit
        size = len(ids) if limit is None else limit
        return sum(self._scored([], ids[at : at + size])[0] for at in range(0, len(ids), max(size, 1)))

    @torch.inference_mode()
    def _written(self, context: str, settings: dict[str, Any]) -> str:
        family, tokenizer = self.model.family, self.model.tokenizer
        until = settings.get("until") or []
        sampled = settings.get("do_sample", False)
        options = {key: settings[key] for key in ("temperature", "top_p", "top_k") if settings.get(key) and sampled}
        decoder = Ancestral(**options) if sampled else Ancestral(top_k=1)
        ids = self._ids(context)
        prompt = pad([ids]).tokens.to(self.model.device) if ids else None
        rng = torch.Generator(self.model.device).manual_seed(0)
        most = int(settings.get("max_gen_toks") or settings.get("max_new_tokens") or NEW_TOKENS)
        draw = family.sample(1, most, decoder=decoder, rng=rng, prompt=prompt)
        before, whole = tokenizer.decode([ids, [*ids, *draw.tokens[0].tolist()]])
        continuation = whole[len(before) :]
        cuts = [
            continuation.find(end)
            for end in ([until] if isinstance(until, str) else until)
            if end and end in continuation
        ]
        return continuation[: min(cuts, default=None)]

    def _ids(self, text: str) -> list[int]:
        return self.model.tokenizer.encode([text.lower() if self._lowercase else text])[0]

    @property
    def _lowercase(self) -> bool:
        return bool(self.model.config.data.get("lowercase"))

    def _scored(self, given: Sequence[int], tokens: Sequence[int]) -> tuple[float, bool]:
        """log p(tokens | given) in nats, and whether each token is the likeliest."""
        family = self.model.family
        prompt = pad([list(given)]).tokens.to(self.model.device) if given else None
        at: Step = family.start(1) if prompt is None else family.prime(prompt)
        total, greedy = 0.0, True
        for i, token in enumerate(tokens):
            scores = at.logits[0].log_softmax(-1)
            total += float(scores[token])
            greedy &= int(scores.argmax()) == token
            if i + 1 < len(tokens):
                at = family.step(at.state, torch.tensor([token], device=scores.device))
        return total, greedy
