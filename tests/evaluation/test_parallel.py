"""What several processes sample and score together is what one does."""

from __future__ import annotations

import pytest
import torch

from gentext.data import LocalText, Word
from gentext.data.corpus import Corpus
from gentext.decode import Ancestral
from gentext.evaluation import harness, parallel
from gentext.models import LSTM
from gentext.train.base import NullMonitor


@pytest.fixture
def corpus(tmp_path):
    lines = [f"n{i} " + " ".join(f"w{(i * k) % 17}" for k in range(1, 3 + i % 9)) for i in range(900)]
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n")
    return Corpus.open(LocalText(str(tmp_path / "t.txt"), valid=50, test=300), Word(), cache=tmp_path / "cache")


@pytest.fixture
def family(corpus):
    torch.manual_seed(0)
    return LSTM(corpus.tokenizer.vocab_size, width=12, layers=1).eval()


def drawn(family, n: int, processes: int) -> torch.Tensor:
    how = {"decoder": Ancestral(), "seed": 3, "name": "sample/x"}
    return parallel.sample(family, n, 12, processes=processes, **how).tokens


def test_a_draw_of_one_shard_is_the_family_s_own(family):
    from gentext.seeding import Streams

    with torch.inference_mode():
        own = family.sample(20, 12, decoder=Ancestral(), rng=Streams(3)("sample/x"))
    assert torch.equal(drawn(family, 20, processes=2), own.tokens)


def test_shards_are_drawn_independently(family, monkeypatch):
    monkeypatch.setattr(parallel, "SHARD", 20)
    many = drawn(family, 50, processes=1)
    assert len(many) == 50
    assert torch.equal(many[:20, :8], drawn(family, 20, processes=1)[:, :8])
    assert not torch.equal(many[:20], many[20:40])


@pytest.mark.slow
def test_two_processes_give_the_results_of_one(family, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "SHARD", 20)
    assert torch.equal(drawn(family, 50, processes=2), drawn(family, 50, processes=1))
    one, two = (harness.score(family, corpus, "test", monitor=NullMonitor(tmp_path), processes=n) for n in (1, 2))
    assert torch.equal(one.log_prob, two.log_prob)
    assert torch.equal(one.tokens, two.tokens)
