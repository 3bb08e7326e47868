"""The real model: `gentext model fetch smollm2` first, and GENTEXT_DATA names a folder with WikiText-2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from gentext.data.checkpoint import PretrainedTokenizer
from gentext.data.packages import package_path
from gentext.decode import Ancestral
from gentext.models import Pretrained
from gentext.types import pad

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def smollm2():
    pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    try:
        package_path("smollm2")
    except ValueError as error:
        pytest.skip(str(error))
    tokenizer = PretrainedTokenizer("smollm2")
    return Pretrained(tokenizer.vocab_size, model="smollm2").eval(), tokenizer


def test_its_likelihood_of_wikitext2_is_that_of_transformers(smollm2):
    family, tokenizer = smollm2
    text = Path(os.environ.get("GENTEXT_DATA", ".")) / "wikitext-2" / "test.txt"
    if not text.is_file():
        pytest.skip("GENTEXT_DATA names no folder with wikitext-2/test.txt")
    ids = tokenizer.encode([text.read_text(encoding="utf-8")[:20_000]])[0][:2048]
    theirs = torch.tensor([[*family.begins, *(i - 4 for i in ids)]])
    with torch.inference_mode():
        nats = -float(family(pad([ids])).log_prob.sum()) / 2048
        expected = float(family.network(input_ids=theirs, labels=theirs).loss)
    assert nats == pytest.approx(expected, abs=1e-3)
    assert 2.5 < nats < 2.7


def test_it_goes_on_from_a_prompt(smollm2):
    family, tokenizer = smollm2
    prompt = pad(tokenizer.encode(["The capital of France is"])).tokens
    with torch.inference_mode():
        drawn = family.sample(1, 3, decoder=Ancestral(top_k=1), rng=torch.Generator(), prompt=prompt)
    assert "Paris" in tokenizer.decode(drawn.tokens.tolist())[0]
