"""What an HMM shows of its inside, against the long run of its own samples."""

from __future__ import annotations

import pytest
import torch

from gentext.data.tokenizer import Tokenizer
from gentext.models.hmm import panels
from gentext.models.hmm.model import HMM
from gentext.panels import END
from gentext.types import EOS

V = 9


class Letters(Tokenizer):
    """Token i reads as the i-th letter."""

    def __init__(self):
        pass

    def decode(self, rows):
        return ["".join(chr(ord("a") + i) for i in row) for row in rows]

    def encode(self, texts):
        return [[ord(letter) - ord("a") for letter in text] for text in texts]


def made(**options) -> HMM:
    torch.manual_seed(2)
    return HMM(V, **{"states": 4, "grow_from": None, **options}).eval()


@pytest.mark.parametrize(
    "options", [{}, {"rank": 2}, {"states": 6, "blocks": 3}, {"states": 6, "blocks": 2, "rank": 3}]
)
def test_mass_and_moves_are_those_of_a_long_walk(options):
    family = made(**options)
    with torch.no_grad():
        tables = family.tables()[1]
        mass, states = panels.stationary(tables), torch.arange(family.states)
        moves, ends = panels.leaving(tables, states), panels.ending(tables)
    assert torch.allclose(moves.sum(1) + ends, torch.ones(family.states), atol=1e-5)
    walk = moves + ends[:, None] * tables.initial
    assert torch.allclose(torch.linalg.matrix_power(walk, 512)[0], mass, atol=1e-4)


def test_the_table_names_words_mass_and_successors():
    family = made(states=2)
    with torch.no_grad():
        family.initial.copy_(torch.tensor([0.0, -50.0]))
        family.factors[0].copy_(torch.tensor([[-50.0, 0.0], [0.0, -50.0]]))  # to and fro
        family.emission.fill_(-50.0)
        family.emission[5, 0], family.emission[7, 1], family.emission[EOS, 1] = 0.0, 0.0, 0.0
        table, graph = panels.panels(family.tables()[1], Letters())
    (first, second), columns = table.rows, table.columns
    assert columns == ["state", "share of tokens", "top words", "main successors"]
    by_state = {row[0]: row for row in (first, second)}
    assert by_state[0][1] == pytest.approx(0.5, abs=1e-3)
    assert by_state[0][2].startswith("f 1.00")
    assert by_state[0][3] == "1 1.00"
    assert f"{END} 0.50" in by_state[1][2]
    assert by_state[1][3] == f"{END} 0.50, 0 0.50"
    at = {name: i for i, name in enumerate(graph.nodes)}
    assert {(i, j): round(weight, 3) for i, j, weight in graph.edges}[at["0 f"], 1 - at["0 f"]] == 1.0


def test_only_the_heaviest_states_of_many_are_shown():
    family = made(states=60)
    with torch.no_grad():
        table, graph = panels.panels(family.tables()[1], Letters())
    assert len(table.rows) == len(graph.nodes) == panels.SHOWN
    assert "24 heaviest of 60" in table.note
    assert [row[1] for row in table.rows] == sorted((row[1] for row in table.rows), reverse=True)
