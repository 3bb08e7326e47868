"""The log-probability of many texts under a model, in batches that memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel, SupportsLatent
from gentext.train.base import device_of
from gentext.types import EOS, PAD, Batch, Scores, by_length, pad

SCORED_AT_ONCE = 256  # sequences
OF_LIKE_LENGTH = 64  # of them, read together where their lengths differ
PROVEN, REACH = 24, 32  # prefixes whose probabilities are looked at, and tokens of each at most
TOLERANCE = 1e-4  # of a sum of probabilities, and of a token's nats
IMPOSSIBLE = -1e3  # nats below which a text is as good as impossible, and no digits are compared


@torch.inference_mode()
def log_prob(family: LanguageModel, batches: Iterable[Batch], *, stream: bool = False) -> Float[Tensor, " n"]:
    """Nats per sequence of all batches in order, float64 on the CPU; the model computes where its weights are.

    Of lines, those of like length are read together where most of a batch would else be padding; not those of a bound,
    whose draws are a batch's. `stream`: a row goes on in the batch after, so that all stay where they are.

    >>> from gentext.models import NGram
    >>> from gentext.types import pad
    >>> log_prob(NGram(6, order=1), [pad([[4, 5, 2]]), pad([[4, 2], [2]])]).shape
    torch.Size([3])
    """
    together = stream or family.likelihood != "exact"
    parts = [_of_batch(family, batch, together=together) for batch in batches]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def _of_batch(family: LanguageModel, batch: Batch, *, together: bool) -> Float[Tensor, " n"]:
    if together or batch.mask.numel() <= 2 * int(batch.mask.sum()):
        return family.log_prob(batch.to(device_of(family))).double().cpu()
    return _by_length(family, batch, OF_LIKE_LENGTH)


def _by_length(family: LanguageModel, batch: Batch, size: int) -> Float[Tensor, " n"]:
    found = torch.zeros(len(batch), dtype=torch.float64)
    for rows, part in by_length(batch, size):
        found[rows.cpu()] = family.log_prob(part.to(device_of(family))).double().cpu()
    return found


def chunks(batch: Batch, size: int = SCORED_AT_ONCE) -> Iterator[Batch]:
    """The rows of a batch, `size` at a time."""
    return (batch.rows(slice(start, start + size)) for start in range(0, len(batch), size))


@torch.inference_mode()
def log_prob_of_rows(
    family: LanguageModel, rows: Sequence[Sequence[int]], size: int = SCORED_AT_ONCE
) -> Float[Tensor, " n"]:
    """Nats of each row of ids, `size` rows of similar length at a time, so that little padding is computed."""
    return _by_length(family, pad([list(row) for row in rows]), size)


@torch.inference_mode()
def prove(family: LanguageModel, batch: Batch) -> None:
    """Look whether what a family says is a distribution, at prefixes of some of the sequences that it is judged on.

    The probabilities of the next token that `step` leads to must sum to 1 over the tokens that can be said, and
    `log_prob` must be their product; of a bound, or of a text that is not written from left to right, the first alone
    is looked at. Every second prefix ends in a token drawn at random: what a family says of held-out text alone would
    prove nothing.

    Raises: ValueError, which refuses the row, where one of them is not so.
    """
    if type(family).start is LanguageModel.start:
        return  # a bound on whole texts, of which no token can be asked
    prefixes = _prefixes(batch, family.room(REACH, batch.prompt), family.vocab_size).to(device_of(family))
    rng = torch.Generator(prefixes.tokens.device).manual_seed(0)
    n, name = len(prefixes), type(family).__name__
    at = family.start(n, rng=rng) if prefixes.prompt is None else family.prime(prefixes.prompt, rng=rng)
    stepped = torch.zeros(n, dtype=torch.float64, device=prefixes.tokens.device)
    for i, (tokens, real) in enumerate(zip(prefixes.tokens.T, prefixes.mask.T, strict=True)):
        scores = at.logits.double().log_softmax(-1)
        sums = scores[:, EOS:].exp().sum(1)[real]
        if not bool(((sums - 1).abs() <= TOLERANCE).all()):
            raise ValueError(
                f"this {name} is refused a row: after {i} tokens of a text the probabilities of the next one sum to "
                f"{float(sums[((sums - 1).abs() <= TOLERANCE).logical_not()][0]):.6g} over what can be said, and not "
                "to 1 (its logits must be -inf for PAD and BOS, and never NaN)"
            )
        stepped += torch.where(real, scores.gather(1, tokens[:, None])[:, 0], 0.0)
        if i + 1 < prefixes.tokens.shape[1]:
            at = family.step(at.state, tokens)
    if family.likelihood != "exact" or not family.sequential:
        return
    whole = family.log_prob(prefixes).double()
    apart = (whole - stepped).abs() > TOLERANCE * (prefixes.lengths + torch.minimum(whole.abs(), stepped.abs()))
    apart &= torch.maximum(whole, stepped) > IMPOSSIBLE
    if bool((apart | whole.isnan()).any()):
        row = int((apart | whole.isnan()).nonzero()[0])
        raise ValueError(
            f"this {name} is refused a row: its log_prob of a text of {int(prefixes.lengths[row])} tokens is "
            f"{float(whole[row]):.6g}, and its step() gives the same tokens {float(stepped[row]):.6g} in all; make "
            "them one distribution (gentext.contract tests it)"
        )


def _prefixes(batch: Batch, room: int, vocab_size: int) -> Batch:
    """Prefixes of some rows of a batch, of any length, every second with another last token; always the same ones."""
    rng = torch.Generator().manual_seed(0)
    some = batch.rows(torch.linspace(0, len(batch) - 1, PROVEN).long().to(batch.tokens.device)).to("cpu")
    width = min(some.tokens.shape[1], room)
    lengths = torch.minimum(some.lengths.clamp_min(1), torch.randint(1, width + 1, (len(some),), generator=rng))
    place = torch.arange(len(some))
    drawn = torch.randint(EOS, vocab_size, (len(some),), generator=rng)
    tokens = some.tokens[:, :width].clone()
    tokens[place, lengths - 1] = torch.where(place % 2 == 0, tokens[place, lengths - 1], drawn)
    mask = torch.arange(width)[None] < lengths[:, None]
    return replace(some, tokens=torch.where(mask, tokens, PAD), mask=mask & some.mask[:, :width], carry=False)


def score_texts(
    family: LanguageModel, corpus: Corpus, texts: Sequence[str], prompts: Sequence[str] | None = None
) -> Scores:
    """The family's verdict on any texts, each scored whole, as a corpus of lines has them."""
    family.eval()
    batch = corpus.batch(texts, prompts, whole=True)
    found = log_prob(family, chunks(batch))
    made = scores_of_texts(family, corpus, found, batch.lengths.cpu(), texts, "text")
    of = [i for i, text in enumerate(texts) for _ in corpus.tokenizer.unknown(text)]
    words = [word for text in texts for word in corpus.tokenizer.unknown(text)]
    spelling = torch.zeros(len(texts), dtype=torch.float64)
    spelling.index_add_(0, torch.tensor(of, dtype=torch.long), corpus.spelling_of(words))
    return replace(made, closed=bool(words), spelling=spelling)


def scores_of_texts(
    family: LanguageModel,
    corpus: Corpus,
    log_prob: torch.Tensor,
    tokens: torch.Tensor,
    texts: Sequence[str],
    split: str,
) -> Scores:
    """log p of texts with what they may be shared among, and how they were read."""
    convention = "stream" if corpus.stream else "line"
    if corpus.stream and family.context is not None:
        convention += f"+back:{family.context}"
    if family.likelihood == "bound" and isinstance(family, SupportsLatent):
        convention += f"+iw:{family.importance}"
    if family.convention:
        convention += f"+{family.convention}"
    if corpus.stream and split != "samples":
        whole = "".join(corpus.text(split))  # not what its tokens decode to, which may lack words and spaces
        counts = {name: _spread(measure(corpus, whole) + 1, tokens) for name, measure in MEASURES.items()}
    else:  # the line's end is one character, byte and word
        counts = {name: torch.tensor([measure(corpus, t) + 1 for t in texts]) for name, measure in MEASURES.items()}
    return Scores(
        log_prob=log_prob,
        tokens=tokens.long(),
        chars=counts["chars"],
        bytes=counts["bytes"],
        words=counts["words"],
        split=split,
        kind=family.likelihood,
        convention=convention,
        vocabulary=corpus.tokenizer.sha256[:8],
    )


MEASURES: dict[str, Callable[[Corpus, str], int]] = {
    "chars": lambda corpus, text: len(text),
    "bytes": lambda corpus, text: len(text.encode()),
    "words": lambda corpus, text: len(corpus.words(text)),
}


def _spread(total: int, tokens: torch.Tensor) -> torch.Tensor:
    """A stream's count spread over its windows in proportion to their tokens; the sum is exact."""
    edges = (tokens.double().cumsum(0) / tokens.sum() * total).round().long()
    return torch.diff(edges, prepend=torch.zeros(1, dtype=torch.long))
