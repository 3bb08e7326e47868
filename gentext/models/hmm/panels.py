"""An HMM as a reader sees it: what its heaviest hidden states say, how often they speak, and what follows on them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.data.tokenizer import Tokenizer
from gentext.models.hmm.parameters import HMMParameters
from gentext.panels import END, Graph, Heatmap, Panel, Table, numbered, spelling
from gentext.types import EOS

SHOWN = 24  # states: beyond, nobody reads the table, and the graph is a knot
WORDS = 6  # of a state
SUCCESSORS = 4  # of a state
FAINT = 0.02  # probability below which a word or a successor is not worth naming
ROUNDS, SETTLED = 1000, 1e-6  # of the power iteration, and the total variation at which it ends


def panels(probabilities: HMMParameters, tokenizer: Tokenizer) -> list[Panel]:
    """The table of the states that emit most of the text, and the graph of the moves between them."""
    mass = stationary(probabilities)
    share, states = mass.topk(min(SHOWN, len(mass)))
    ends, moves = ending(probabilities)[states], leaving(probabilities, states)
    emitted = [_most_emitted(probabilities, state, tokenizer) for state in states.tolist()]
    which = f"The {len(states)} heaviest of {len(mass)} hidden states, which emit {float(share.sum()):.0%} of the text"
    rows = [
        [state, part, ", ".join(f"{word} {p:.2f}" for word, p in words), _successors(move, end)]
        for state, part, words, move, end in zip(
            states.tolist(), share.tolist(), emitted, moves, ends.tolist(), strict=True
        )
    ]
    weights, places = moves[:, states].topk(min(SUCCESSORS, len(states)))
    edges = [
        (i, j, weight)
        for i, (to, p) in enumerate(zip(places.tolist(), weights.tolist(), strict=True))
        for j, weight in zip(to, p, strict=True)
        if weight >= FAINT
    ]
    return [
        Table(
            "Hidden states",
            f"{which}: the words that each emits, and the states that follow, by probability. "
            f"After {END} a text begins anew.",
            ["state", "share of tokens", "top words", "main successors"],
            rows,
        ),
        Graph(
            "State graph",
            f"{which}. An edge is the probability of the next state, from {FAINT:.0%} on.",
            [f"{state} {words[0][0]}" for state, words in zip(states.tolist(), emitted, strict=True)],
            edges,
            share.tolist(),
        ),
    ]


def of_text(
    probabilities: HMMParameters,
    tokens: Int[Tensor, " t"],
    posterior: Float[Tensor, "t s"],
    path: Int[Tensor, " t"],
    log_prob: Float[Tensor, "1"],
    tokenizer: Tokenizer,
) -> list[Panel]:
    """In which states one text was written: the likeliest path, and the posterior of each state at each token."""
    words = spelling(tokenizer, tokens.tolist())
    rows = [
        [word, state, float(posterior[i, state]), _words(probabilities, state, tokenizer)]
        for i, (word, state) in enumerate(zip(words, path.tolist(), strict=True))
    ]
    states = posterior.amax(0).topk(min(SHOWN, posterior.shape[1])).indices.sort().values
    states = states[posterior[:, states].amax(0) >= FAINT]
    named = [f"{state} {_words(probabilities, state, tokenizer, 3)}" for state in states.tolist()]
    return [
        Table(
            "Viterbi path",
            f"The likeliest path of hidden states, log p(path, text) {float(log_prob):.2f} nats; how probable each of "
            "its states is given the whole text, and what that state says.",
            ["token", "state", "p(state | text)", "top words"],
            rows,
        ),
        Heatmap(
            "Posterior of the hidden states",
            f"p(state | the whole text) of the {len(states)} states that reach {FAINT:.0%} somewhere, {SHOWN} at most.",
            named,
            numbered(words),
            posterior[:, states].T.tolist(),
            "p",
        ),
    ]


def _words(probabilities: HMMParameters, state: int, tokenizer: Tokenizer, most: int = WORDS) -> str:
    return ", ".join(word for word, _ in _most_emitted(probabilities, state, tokenizer)[:most])


def stationary(probabilities: HMMParameters) -> Float[Tensor, " s"]:
    """Each state's share of the tokens of endless text, in which every text that ends is followed by another."""
    ends, mass = ending(probabilities), probabilities.initial
    for _ in range(ROUNDS):
        moved = mass * (1 - ends)
        for factor in probabilities.factors:
            moved = moved @ factor
        moved = moved + (mass @ ends) * probabilities.initial
        moved = (moved + mass) / 2  # lazily: a cycle of states would never settle
        distance, mass = float((moved - mass).abs().sum()), moved / moved.sum()
        if distance < SETTLED:
            break
    return mass


def ending(probabilities: HMMParameters) -> Float[Tensor, " s"]:
    """p(EOS | state)."""
    ends = torch.zeros_like(probabilities.initial)
    k, block = probabilities.per_block, int(probabilities.block[EOS])
    ends[block * k : (block + 1) * k] = probabilities.emission[EOS]
    return ends


def leaving(probabilities: HMMParameters, states: Int[Tensor, " m"]) -> Float[Tensor, "m s"]:
    """p(the text goes on, in this state | state), a row for each of `states`."""
    rows = probabilities.factors[0][states]
    for factor in probabilities.factors[1:]:
        rows = rows @ factor
    return rows * (1 - ending(probabilities)[states])[:, None]


def _most_emitted(probabilities: HMMParameters, state: int, tokenizer: Tokenizer) -> list[tuple[str, float]]:
    """The words that a state emits most, with their probabilities."""
    block, i = divmod(state, probabilities.per_block)
    own = torch.where(probabilities.block == block, probabilities.emission[:, i], 0.0)
    p, ids = own.topk(min(WORDS, len(own)))
    kept = max(int((p >= FAINT).sum()), 1)
    return list(zip(spelling(tokenizer, ids[:kept].tolist()), p[:kept].tolist(), strict=True))


def _successors(move: Float[Tensor, " s"], end: float) -> str:
    p, states = move.topk(min(SUCCESSORS, len(move)))
    likely = [(weight, str(state)) for weight, state in zip(p.tolist(), states.tolist(), strict=True)]
    likely = sorted([*likely, (end, END)], reverse=True)[:SUCCESSORS]
    return ", ".join(f"{name} {weight:.2f}" for weight, name in likely if weight >= FAINT)
