import logging
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics import tiny_bert

from gentext.metrics import encoders
from gentext.metrics.encoders import Encoder, HashedNgrams, embed
from gentext.metrics.pretrained import PretrainedEncoder, _loaded
from gentext.types import Samples

CAPTIONS = ("a man rides a red horse .", "a cat sleeps", "", "two dogs play in the snow near a tree .", "a cat sleeps")
sentences = st.lists(st.lists(st.sampled_from("abcde"), max_size=6).map(" ".join), min_size=1, max_size=8)


def counts(text, order):
    words = text.split()
    return Counter(tuple(words[i : i + k]) for k in range(1, order + 1) for i in range(len(words) - k + 1))


def cosine(one, two):
    dot = sum(one[gram] * two[gram] for gram in one)
    return dot / np.sqrt(sum(c * c for c in one.values()) * sum(c * c for c in two.values()))


@settings(max_examples=20, deadline=None)
@given(sentences, st.integers(1, 3))
def test_the_cosine_is_that_of_the_ngram_counts(texts, order):
    vectors = HashedNgrams(width=4096, order=order, words="whitespace").encode(texts)
    for i, one in enumerate(texts):
        for j, two in enumerate(texts):
            if one and two:
                expected = cosine(counts(one, order), counts(two, order))
                assert float(vectors[i] @ vectors[j]) == pytest.approx(expected, abs=5 / np.sqrt(4096))


def test_vectors_have_length_one_and_texts_without_words_none():
    lengths = HashedNgrams().encode(CAPTIONS).norm(dim=1)
    assert lengths.tolist() == pytest.approx([1, 1, 0, 1, 1])
    assert HashedNgrams().encode([]).shape == (0, 256)
    assert torch.equal(HashedNgrams().encode(["", ""]), torch.zeros(2, 256))


@settings(max_examples=20, deadline=None)
@given(sentences)
def test_a_vector_depends_on_its_own_text_alone(texts):
    encoder = HashedNgrams(width=64)
    alone = torch.cat([encoder.encode([text]) for text in texts])
    torch.testing.assert_close(encoder.encode(texts), alone)


def test_texts_are_encoded_in_chunks(monkeypatch):
    whole = HashedNgrams().encode(CAPTIONS)
    monkeypatch.setattr(encoders, "CHUNK", 2)
    torch.testing.assert_close(HashedNgrams().encode(CAPTIONS), whole)


def test_bigrams_see_the_order_of_words():
    texts = ["a man rides a horse", "a horse rides a man"]
    assert torch.equal(*HashedNgrams(order=1).encode(texts))
    assert float(torch.dot(*HashedNgrams(order=2).encode(texts))) < 0.95


def test_golden_on_every_machine():
    vector = HashedNgrams(width=64).encode(["A man rides a horse."])[0]
    found = (vector[:8] * 10_000).round().int().tolist()
    assert found == GOLDEN
    assert HashedNgrams(width=64).signature() == "hashed-2gram-64-treebank+lower-v1"


GOLDEN = [439, -439, -2193, 1316, 1316, -1316, 1316, 439]


def test_the_same_texts_are_encoded_once(monkeypatch):
    calls = []
    plain = HashedNgrams.encode
    monkeypatch.setattr(HashedNgrams, "encode", lambda self, texts: calls.append(1) or plain(self, texts))
    one, same = Samples(("a b", "c")), Samples(("a b", "c"))
    assert embed(HashedNgrams(), one) is embed(HashedNgrams(), same)
    assert len(calls) == 1
    embed(HashedNgrams(width=64), one)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [({"width": 100}, "multiple of 64"), ({"order": 0}, "order is 0"), ({"words": "wrods"}, "words is 'wrods'")],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        HashedNgrams(**options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.write(tmp_path_factory.mktemp("hub") / "tiny-bert", CAPTIONS)


def hidden(path, text):
    tokenizer, network, _ = _loaded(str(path), "cpu")
    with torch.inference_mode():
        return network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("mean", lambda h: h.mean(0)), ("first", lambda h: h[0]), ("last", lambda h: h[-1])],
)
def test_a_pretrained_model_is_pooled_text_by_text(folder, pooling, pool):
    encoder = PretrainedEncoder(str(folder), pooling=pooling, batch_size=2)
    assert isinstance(encoder, Encoder)
    expected = torch.stack([torch.nn.functional.normalize(pool(hidden(folder, text)), dim=0) for text in CAPTIONS])
    torch.testing.assert_close(encoder.encode(CAPTIONS), expected)
    assert encoder.encode([]).shape == (0, 32)


def test_token_vectors_leave_the_models_own_marks_out(folder):
    vectors = PretrainedEncoder(str(folder), batch_size=3).token_vectors(CAPTIONS)
    assert [len(rows) for rows in vectors] == [len(text.split()) for text in CAPTIONS]
    torch.testing.assert_close(vectors[1], torch.nn.functional.normalize(hidden(folder, CAPTIONS[1])[1:-1]))


def test_the_signature_names_the_weights_and_no_folder(folder):
    signature = PretrainedEncoder(str(folder)).signature()
    assert signature.startswith("tiny-bert-")
    assert str(folder.parent) not in signature


def test_a_text_that_is_cut_is_told(folder, caplog):
    with caplog.at_level(logging.WARNING, logger="gentext"):
        PretrainedEncoder(str(folder)).encode(["a cat", "a " * 30])
    assert "reads 12 tokens: 1 of 2 texts are longer" in caplog.text


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"gentext\[hf\]"):
        PretrainedEncoder("nobody/knows").encode(["a"])
    with pytest.raises(ValueError, match="pooling is 'max'"):
        PretrainedEncoder("nobody/knows", pooling="max")


def test_a_model_that_is_not_there_is_told_before_any_text_is_drawn(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="cannot be loaded"):
        PretrainedEncoder(str(tmp_path))


def test_texts_that_say_the_same_are_encoded_once_whichever_run_asks(monkeypatch):
    read, inner = [], HashedNgrams.encode
    monkeypatch.setattr(HashedNgrams, "encode", lambda self, texts: read.append(texts[0]) or inner(self, texts))
    references = ("the references of this test",) * 3
    first = embed(HashedNgrams(), Samples(references))
    for run in range(6):
        embed(HashedNgrams(), Samples((f"samples {run}",)))
        assert embed(HashedNgrams(), Samples(references)) is first
    assert read == [references[0], *(f"samples {run}" for run in range(6))]
    assert embed(HashedNgrams(order=1), Samples(references)) is not first
