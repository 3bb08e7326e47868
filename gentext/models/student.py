"""`family=distilled`: a family that learns from the next-token probabilities of a trained one."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.checks import ArgumentError, class_name, positive
from gentext.language_model import LanguageModel, SupportsHidden, SupportsLogits
from gentext.types import EOS, Batch, Outputs, State, Step, Tokens


@runtime_checkable
class TeacherModel(Protocol):
    """A trained model that is read when training begins, and never stored with its student."""

    def opened(self, tokenizer_sha256: str) -> LanguageModel | None:
        """The family; None where no run is named. Raises: ValueError where its tokens are others."""
        ...


class Student(LanguageModel, SupportsHidden):
    """`model`, any family that says its logits, which training tells what a teacher expects next.

    In training its forward adds the term `distill`, per token: the cross-entropy of the teacher's next-token
    distribution and its own, nats, whose least value is the teacher's entropy. As a model it is `model`.

    temperature: by which both divide their logits; the term is multiplied by its square, so that gradients keep their
      size.
    Source: Hinton, Vinyals and Dean 2015, section 2; Kim and Rush 2016, section 3.1 (word-level distillation).

    Example:
        >>> from gentext.models import LSTM
        >>> from gentext.types import pad
        >>> student = Student(LSTM(9, layers=1, width=8)).train()
        >>> student.taught_by(LSTM(9, layers=2, width=8))
        >>> student(pad([[4, 5, 2]])).terms["distill"].shape
        torch.Size([1, 3])
    """

    def __init__(self, model: LanguageModel, teacher: TeacherModel | None = None, *, temperature: float = 1.0) -> None:
        super().__init__()
        positive(temperature=temperature)
        if not isinstance(model, SupportsLogits):
            raise ArgumentError("model", f"is {class_name(model)}, which says no logits; take lstm or transformer")
        self.model: LanguageModel = model
        self.vocab_size, self.limit, self.context = model.vocab_size, model.limit, model.context
        self.likelihood, self.temperature = model.likelihood, temperature
        self.teacher = teacher
        self._taught: list[LanguageModel] = []  # in a list: its weights are none of the student's

    def taught_by(self, teacher: LanguageModel | str) -> None:
        """Begin to learn from a family, or from the teacher's, whose tokenizer has this sha256."""
        found = teacher
        if isinstance(teacher, str):
            found = None if self.teacher is None else self.teacher.opened(teacher)
        if not isinstance(found, LanguageModel):
            raise ValueError("family.teacher.run is null; give the folder of a trained run on the same tokens")
        self._taught = [found.eval().requires_grad_(False)]

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self.model.start(n, rng=rng)

    def step(self, state: State, tokens: Tokens) -> Step:
        return self.model.step(state, tokens)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self.model.prime(prompt, rng=rng)

    def hidden(self, state: State) -> Float[Tensor, "n d"]:
        assert isinstance(self.model, SupportsHidden)
        return self.model.hidden(state)

    def forward(self, batch: Batch) -> Outputs:
        outputs = self.model(replace(batch, carry=False))
        if not self.training or not self._taught:
            return outputs
        assert isinstance(self.model, SupportsLogits)
        teacher = self._taught[0].to(batch.tokens.device)
        with torch.no_grad():
            wanted = (next_logits(teacher, batch)[..., EOS:] / self.temperature).softmax(-1)
        own = (self.model.logits(outputs)[..., EOS:] / self.temperature).log_softmax(-1)
        crossed = -(wanted * own).sum(-1) * self.temperature**2
        return replace(outputs, terms={**outputs.terms, "distill": torch.where(batch.mask, crossed, 0.0)})

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.model.log_prob(replace(batch, carry=False))

    def size(self) -> int:
        return self.model.size()

    def flops(self, tokens: int) -> float:
        return self.model.flops(tokens)


def next_logits(family: LanguageModel, batch: Batch) -> Float[Tensor, "n t v"]:
    """The logits under which each token of a batch was said: at once where a family can, else step by step."""
    if isinstance(family, SupportsLogits):
        return family.logits(family(replace(batch, carry=False)))
    at = family.start(len(batch)) if batch.prompt is None else family.prime(batch.prompt)
    columns = [at.logits]
    for tokens in batch.tokens.T[:-1]:
        at = family.step(at.state, tokens)
        columns.append(at.logits)
    return torch.stack(columns, 1)
