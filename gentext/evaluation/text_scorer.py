"""A trained family as a scorer, and its critic as a judge, of any texts, for metrics that make texts of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from gentext.adversarial.critics import odds
from gentext.data.corpus import LONGEST, Corpus
from gentext.decode import Ancestral
from gentext.evaluation import parallel
from gentext.evaluation.scoring import SCORED_AT_ONCE, chunks, log_prob, score_texts
from gentext.language_model import Critic, LanguageModel, SupportsAdversarial, SupportsAnswers, SupportsTexts
from gentext.metrics.base import Absent
from gentext.types import EOS, Batch, Exactness, pad


@dataclass(frozen=True)
class FamilyScorer:
    """log p of any texts under a family, by the rules of the corpus that it was trained on."""

    family: LanguageModel
    corpus: Corpus
    exactness: Exactness

    def log_prob(self, texts: Sequence[str], prompts: Sequence[str] | None = None) -> Float[ndarray, " n"]:
        """Nats of each text, the spelling of unknown words included. Raises: Absent where one is too long."""
        if not len(texts):
            return np.zeros(0)
        texts, prompts = self._cased(texts), None if prompts is None else self._cased(prompts)
        most = LONGEST if self.family.limit is None else self.family.limit
        longest = max(map(len, self.corpus.tokenizer.encode(texts)))
        longest += 0 if prompts is None else max(map(len, self.corpus.tokenizer.encode(prompts)))
        if longest + 2 > most:
            raise Absent(f"a text has {longest} tokens, and the family reads {most} at most")
        scores = score_texts(self.family, self.corpus, texts, prompts)
        return (scores.log_prob if scores.open is None else scores.open).double().numpy()

    def known(self, texts: Sequence[str]) -> Bool[ndarray, " n"]:
        """Whether the tokenizer knows every word of each text."""
        return np.array([not self.corpus.tokenizer.unknown(text) for text in self._cased(texts)], dtype=bool)

    def _cased(self, texts: Sequence[str]) -> list[str]:
        """Texts as the corpus's own are."""
        return [text.lower() for text in texts] if self.corpus.lowercase else list(texts)


@dataclass(frozen=True)
class FamilyLabeller:
    """log p(label | text) of any texts under a family of labelled text."""

    family: LanguageModel
    corpus: Corpus

    @property
    def labels(self) -> tuple[str, ...]:
        return self.corpus.labels

    def log_prob(self, texts: Sequence[str]) -> Float[ndarray, "n c"]:
        """Nats of every label of each text."""
        rows, parts = list(chunks(self.corpus.batch(self.labels), 1)), []
        for at in range(0, len(texts), SCORED_AT_ONCE):
            prompt = self.corpus.prompt_ids(list(texts[at : at + SCORED_AT_ONCE]))
            n = len(prompt)
            asked = (Batch(row.tokens.expand(n, -1), row.mask.expand(n, -1), prompt) for row in rows)
            parts.append(log_prob(self.family, asked).view(len(rows), n).T.numpy())
        return np.concatenate(parts) if parts else np.zeros((0, len(rows)))


def labeller_of(family: LanguageModel, corpus: Corpus) -> FamilyLabeller | None:
    """The labeller of a family; None where its corpus has no labels, or it gives them no probability."""
    return FamilyLabeller(family, corpus) if corpus.labelled and family.likelihood != "none" else None


@dataclass(frozen=True)
class FamilyCritic:
    """The log-odds of any texts under the critic of a GAN."""

    critic: Critic
    corpus: Corpus

    def odds(self, texts: Sequence[str]) -> Float[ndarray, " n"]:
        """That a person wrote each text."""
        length, device = self.corpus.max_len, next(self.critic.parameters()).device
        rows = [[*ids, EOS][:length] for ids in self.corpus.tokenizer.encode(list(texts))]
        with torch.no_grad():
            found = [odds(self.critic, part.to(device), length) for part in chunks(pad(rows))] if rows else []
        return torch.cat(found).double().cpu().numpy() if found else np.zeros(0)


def critic_of(family: LanguageModel, corpus: Corpus) -> FamilyCritic | None:
    """The critic of a family; None where it has none, or one that ranks texts among others or models them."""
    if not isinstance(family, SupportsAdversarial) or family.critic.outputs != 1 or corpus.stream:
        return None
    return FamilyCritic(family.critic, corpus)


@dataclass(frozen=True)
class FamilyAnswerer:
    """The greedy answers of a family to any sources, by the rules of the corpus that it was trained on."""

    family: LanguageModel
    corpus: Corpus

    def answer(self, sources: Sequence[str]) -> list[str]:
        """The likeliest answer to each, token by token."""
        if isinstance(self.family, SupportsAnswers):
            return [self.family.answer(source) for source in sources]
        prompt = self.corpus.prompt_ids([source.lower() if self.corpus.lowercase else source for source in sources])
        how = {"decoder": Ancestral(top_k=1), "seed": 0, "name": "answers", "prompt": prompt}
        draw = parallel.sample(self.family, len(prompt), self.corpus.max_len, processes=1, **how)
        return self.corpus.texts(draw.tokens.tolist(), seed=0)


def answerer_of(family: LanguageModel, corpus: Corpus) -> FamilyAnswerer | None:
    """The answerer of a family; None where its corpus has no sources, or labels, or it is a row of texts."""
    written = isinstance(family, SupportsTexts) and not isinstance(family, SupportsAnswers)
    return FamilyAnswerer(family, corpus) if corpus.pairs and not (corpus.labelled or written) else None


def scorer_of(family: LanguageModel, corpus: Corpus) -> FamilyScorer | None:
    """The scorer of a family; None where it gives texts no likelihood, or its corpus is a stream or of labels."""
    if family.likelihood == "none" or corpus.stream or corpus.labelled:
        return None
    kinds: dict[str, Exactness] = {"exact": "exact", "bound": "lower", "pseudo": "pseudo"}
    return FamilyScorer(family, corpus, kinds[family.likelihood])
