"""The ARPA file against KenLM, which reads it."""

from __future__ import annotations

import math

import pytest

from gentext.types import EOS, UNK, pad

V = 9


@pytest.mark.parametrize("prune", [(), (0, 1)])
def test_kenlm_reads_the_arpa_file_with_equal_scores(fitted, texts, prune, tmp_path):
    kenlm = pytest.importorskip("kenlm")
    family = fitted(texts(14, 200), order=4, prune=prune)
    words = ["<pad>", "[BOS]", "[EOS]", "[UNK]", *(f"w{i}" for i in range(4, V))]
    family.export_arpa(tmp_path / "model.arpa", words)
    model = kenlm.Model(str(tmp_path / "model.arpa"))
    for row in [*texts(15, 30), [4, UNK, 5]]:
        theirs = model.full_scores(" ".join(words[token] for token in row), bos=True, eos=True)
        ours = family(pad([[*row, EOS]])).log_prob[0] / math.log(10)
        assert ours.tolist() == pytest.approx([score for score, _, _ in theirs], abs=1e-4)


def test_an_arpa_file_needs_tokens_without_blanks(fitted, texts, tmp_path):
    family = fitted(texts(16, 20), order=2)
    words = [f"w{i}" for i in range(V)]
    for wrong, why in ((words[:-1], "8 spellings"), ([*words[:-1], " "], "blanks"), ([*words[:-1], "w4"], "'w4'")):
        with pytest.raises(ValueError, match=why):
            family.export_arpa(tmp_path / "model.arpa", wrong)
    assert not list(tmp_path.iterdir())
