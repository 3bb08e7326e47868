"""A trained run as the judge of candidates (classifier, critic or language model), or as a guide (HMM or n-gram)."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from omegaconf import OmegaConf
from torch import Tensor

from gentext import config
from gentext.adversarial.critics import odds
from gentext.checks import ArgumentError, class_name, one_of
from gentext.data.automaton import Automaton
from gentext.data.tokenizer import Tokenizer
from gentext.detection import HUMAN
from gentext.language_model import Guide, Judge, LanguageModel, SupportsAdversarial, SupportsGuiding
from gentext.models.classifier.base import Classifier, without_end
from gentext.trained import TrainedModel, load
from gentext.types import EOS, RESERVED, UNK, Batch, pad

AT_ONCE = 512  # texts
SURE = 1e4  # nats: log-odds that are no infinity
KNOWN = 0.5  # the share of a corpus's words that its judge must know: one of few texts lacks rare ones


@dataclass(frozen=True)
class RunGuide(Guide):
    """A trained HMM or n-gram that leads other families' texts (`decode=constrained`).

    Args:
        run: the folder of its run.
        trusted: modules of your own that the run's configuration may name.

    Raises: ValueError where there is no such run, or it is of neither.
    """

    run: str
    trusted: Collection[str] = ()
    _model: TrainedModel = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_model", load(self.run, trusted=self.trusted))
        if not isinstance(self._model.family, SupportsGuiding):
            raise ArgumentError(
                "run", f"is {class_name(self._model.family)}, which cannot guide; train family=hmm or ngram"
            )

    def __str__(self) -> str:
        return Path(self.run).name

    def guiding(self, family: LanguageModel, tokenizer: Tokenizer, machine: Automaton, max_len: int) -> LanguageModel:
        own = self._model.tokenizer
        ids = {token: i for i, token in enumerate(own.vocabulary, RESERVED)}
        index = torch.tensor([*range(RESERVED), *(ids.get(token, UNK) for token in tokenizer.vocabulary)])
        lacking = [tokenizer.vocabulary[i - RESERVED] for i in machine.words.tolist() if index[i] == UNK]
        if own.rules.kind != tokenizer.rules.kind or lacking:
            why = f"has no word {lacking[0]!r}" if lacking else "cuts text into other tokens than the family"
            raise ValueError(
                f"the guide {self.run} {why}; train it on the same corpus, or on the family's own samples: "
                "gentext run family=hmm data=truth data.truth.run=RUN"
            )
        assert isinstance(self._model.family, SupportsGuiding)  # seen when it was loaded
        return self._model.family.guiding(family, machine, max_len, index)


@dataclass(frozen=True)
class RunJudge(Judge):
    """Scores texts by a trained run.

    A classifier gives the log-odds of `label`; a language model log p(text) over the number of its tokens; a GAN, with
    `use=critic`, its critic's score, which is log-odds of human text where the game's rule is of logits. Texts reach
    the judge as people read them, so that its tokenizer may be another.

    Args:
        run: the folder of a trained run.
        label: of a classifier: the one that is wanted; `human` is what `data=detection` calls people's text.
        use: `model`, or `critic` of a GAN.
        trusted: modules of your own that the run's configuration may name.

    Raises: ValueError where there is no such run, label or critic; where its words are of another corpus.
    """

    run: str
    label: str = HUMAN
    use: Literal["model", "critic"] = "model"
    trusted: Collection[str] = ()
    tokenizer: Tokenizer | None = None  # of the family whose texts it reads; None: its own
    _model: TrainedModel = field(init=False, repr=False, compare=False)
    _wanted: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        one_of("use", self.use, ("model", "critic"))
        object.__setattr__(self, "_model", load(self.run, trusted=self.trusted))
        family = self._model.family
        object.__setattr__(self, "odds", isinstance(family, Classifier) or (self.use == "critic" and self._of_logits))
        if self.use == "critic":
            if not isinstance(family, SupportsAdversarial):
                raise ArgumentError("use", f"is critic, and {self.run} is {class_name(family)}, which has none")
            if family.critic.outputs != 1:
                does = "ranks" if family.critic.outputs else "models"
                raise ArgumentError("use", f"is critic, and that of {self.run} {does} texts, and gives no odds of one")
        if isinstance(family, Classifier):
            labels = self._model.tokenizer.decode(family.label_tokens.tolist())
            if self.label not in labels:
                raise ArgumentError("label", f"is {self.label!r}; {self.run} tells {', '.join(sorted(labels))} apart")
            object.__setattr__(self, "_wanted", labels.index(self.label))
        elif self.use == "model" and family.likelihood == "none":
            raise ArgumentError("run", f"is {class_name(family)}, which gives texts no likelihood; take another")

    @property
    def _of_logits(self) -> bool:
        """Whether the critic's scores are log-odds, up to a number that is the same for all texts: by its game."""
        game = OmegaConf.select(self._model.config, "loss.game")
        return game is None or config.build(game, trusted=self.trusted).logit

    def __str__(self) -> str:
        return Path(self.run).name + (":critic" if self.use == "critic" else "")

    def reading(self, tokenizer: Tokenizer) -> RunJudge:
        kinds = {self._model.tokenizer.rules.kind, tokenizer.rules.kind}
        words, known = set(tokenizer.vocabulary), set(self._model.tokenizer.vocabulary)
        if kinds == {"word"} and words and len(words & known) < KNOWN * len(words):
            raise ValueError(
                f"the judge {self.run} knows {len(words & known) / len(words):.0%} of this corpus's words, for it was "
                "trained on other text; give judge.run a run of the same corpus"
            )
        made = copy.copy(self)  # with the run that is loaded already
        object.__setattr__(made, "tokenizer", tokenizer)
        return made

    @torch.no_grad()
    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        parts = [self._scored(batch.rows(slice(at, at + AT_ONCE))) for at in range(0, len(batch), AT_ONCE)]
        return torch.cat(parts).to(batch.tokens.device)

    def _scored(self, batch: Batch) -> Float[Tensor, " n"]:
        family = self._model.family
        read = self._read(batch)
        if self.use == "critic":
            assert isinstance(family, SupportsAdversarial)
            return odds(family.critic, read, int(self._model.config.max_len))
        if isinstance(family, Classifier):
            log_p = family.scores(without_end(read.tokens)).double()
            others = torch.arange(log_p.shape[1]) != self._wanted
            return (log_p[:, self._wanted] - log_p[:, others].logsumexp(1)).clamp(-SURE, SURE)
        assert isinstance(family, LanguageModel)
        return family.log_prob(read).double() / read.lengths.clamp_min(1)

    def _read(self, batch: Batch) -> Batch:
        """The batch under the judge's own tokenizer."""
        own = self._model.tokenizer
        if self.tokenizer is None or self.tokenizer.sha256 == own.sha256:
            return Batch(batch.tokens.cpu(), batch.mask.cpu())
        texts = self.tokenizer.decode(batch.tokens.tolist())
        longest = int(self._model.config.max_len)
        family = self._model.family
        room = None if isinstance(family, Classifier) else longest
        return pad([[*ids, EOS][:room] for ids in own.encode(texts)])
