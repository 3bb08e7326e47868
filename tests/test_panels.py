"""Panels keep what they are given, refuse what does not fit together, and never cost a run."""

from __future__ import annotations

import json

import pytest

from gentext import panels
from gentext.data.corpus import Corpus
from gentext.display import Tables
from gentext.language_model import SupportsPanels
from gentext.models.human import Human
from gentext.models.ngram.model import NGram
from gentext.panels import Curves, Graph, HeatLine, Heatmap, Points, Table
from gentext.results.render_table import panels_of
from gentext.results.run_folder import Manifest
from gentext.run_pipeline import look_inside
from gentext.seeding import Streams

ALL = [
    Table("States", "The words of each.", ["state", "mass", "words"], [[0, 0.25, "a the"], [1, 0.75, "dog"]]),
    Graph("Moves", "Likely ones.", ["s0", "s1"], [(0, 1, 0.9), (1, 0, 0.2), (1, 1, 0.8)], [0.5, 0.5]),
    Points("Map", "One a text.", [0.0, 1.0], [2.0, 3.0], ["a dog", "a cat"], ["short", "long"], "z1", "z2"),
    Heatmap("Attention", "Rows read columns.", ["a", "b"], ["a", "b"], [[1.0, 0.0], [0.25, 0.75]], "share"),
    HeatLine("Surprise", "By token.", ["a", "dog"], [1.5, 7.25], "bits", ["rank"], [[1], [40]]),
    Curves("Loss", "By epoch.", {"train": [(1, 3.0), (2, 2.5)], "valid": [(1, 3.5)]}, "epoch", "nats"),
]


def test_panels_come_back_from_a_file_as_they_went(tmp_path):
    path = tmp_path / "panels.json"
    path.write_text(json.dumps(panels.plain(ALL)))
    found = panels.read(path)
    assert [type(panel) for panel in found] == [type(panel) for panel in ALL]
    assert json.dumps(panels.plain(found)) == json.dumps(panels.plain(ALL))
    assert panels.read(tmp_path / "none.json") == []


@pytest.mark.parametrize("text", ["{", '[{"kind": "sculpture"}]', '[{"kind": "table"}]', "[3]"])
def test_a_file_of_anything_else_is_refused(tmp_path, text):
    (tmp_path / "panels.json").write_text(text)
    with pytest.raises(ValueError, match="holds no panels"):
        panels.read(tmp_path / "panels.json")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Table("t", "", ["a", "b"], [["one"]]),
        lambda: Graph("g", "", ["a"], [(0, 1, 1.0)]),
        lambda: Graph("g", "", ["a"], [], [0.5, 0.5]),
        lambda: Points("p", "", [0.0], [0.0, 1.0], ["a"]),
        lambda: Heatmap("h", "", ["a"], ["a", "b"], [[1.0]]),
        lambda: HeatLine("l", "", ["a"], [1.0, 2.0]),
        lambda: HeatLine("l", "", ["a"], [1.0], "", ["rank"], [[1, 2]]),
    ],
)
def test_what_does_not_fit_together_is_refused(make):
    with pytest.raises(ValueError, match="panel"):
        make()


def test_a_graph_is_told_as_successors():
    assert ALL[1].table().rows == [["s0", 0.5, "s1 0.9"], ["s1", 0.5, "s1 0.8, s0 0.2"]]


def test_the_terminal_shows_every_panel_and_its_figures(tmp_path, capsys):
    (tmp_path / "panels.json").write_text(json.dumps(panels.plain(ALL)))
    for table in Tables(panels_of(tmp_path)):
        table.show()
    shown = capsys.readouterr().out
    for word in ("States", "a the", "s1 0.8, s0 0.2", "a cat", "Rows read columns.", "0.75", "7.25", "epoch", "3.5"):
        assert word in shown
    with pytest.raises(ValueError, match="Below it lie"):
        panels_of(tmp_path.parent)


def test_a_family_that_fails_to_show_itself_keeps_its_run(tmp_path, caplog):
    class Shy(NGram, SupportsPanels):
        def panels(self, corpus, rng):
            raise RuntimeError("not today")

    rng = Streams(0)("panels")
    unread = object.__new__(Corpus)
    look_inside(Shy(8), unread, rng, Manifest(tmp_path, {}))
    assert "not today" in caplog.text
    assert not (tmp_path / "panels.json").exists()
    look_inside(Human(8), unread, rng, Manifest(tmp_path, {}))  # offers none: nothing is said
    assert len(caplog.records) == 1
