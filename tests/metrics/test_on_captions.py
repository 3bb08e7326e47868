"""What the embedded encoder is chosen for, on real captions: it sees what a fitted one does not."""

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from gentext.data.words import treebank
from gentext.metrics.c2st import C2ST
from gentext.metrics.embedding import Frechet
from gentext.metrics.encoders import HashedNgrams
from gentext.metrics.mauve import Mauve
from gentext.types import Samples

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("GENTEXT_DATA" not in os.environ, reason="needs GENTEXT_DATA"),
]
N = 3333


class Fitted:
    """A latent semantic analysis of the references."""

    width = 256

    def __init__(self, references):
        weigh = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True, min_df=2)
        self.model = make_pipeline(weigh, TruncatedSVD(self.width, random_state=0)).fit(references)

    def encode(self, texts):
        return torch.nn.functional.normalize(torch.from_numpy(self.model.transform(texts)).float())

    def signature(self):
        return "lsa"


def trigrams(texts, rng):
    """As many texts from an unsmoothed 3-gram model of the texts."""
    following = defaultdict(list)
    for text in texts:
        words = ["<s>", "<s>", *text.split(), "</s>"]
        for i in range(2, len(words)):
            following[tuple(words[i - 2 : i])].append(words[i])
    for _ in texts:
        words = ["<s>", "<s>"]
        while words[-1] != "</s>" and len(words) < 62:
            words.append(following[tuple(words[-2:])][rng.integers(len(following[tuple(words[-2:])]))])
        yield " ".join(words[2:-1])


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    lines = (Path(os.environ["GENTEXT_DATA"]) / "coco/train.txt").read_text(encoding="utf-8").splitlines()
    captions = [" ".join(treebank(line.lower())) for line in lines]
    captions = [captions[i] for i in rng.permutation(len(captions))]  # the file's two halves differ in kind
    references, human = captions[:N], captions[N : 2 * N]
    return {
        "references": references,
        "human": human,
        "copied": list(trigrams(references, rng)),
        "trigram": list(trigrams(captions[2 * N :], rng)),
        "shuffled": [" ".join(rng.permutation(text.split())) for text in human],
        "collapsed": [human[i] for i in rng.integers(0, 300, N)],
    }


def judged(metric, texts, name):
    metric.update(samples=Samples(tuple(texts[name])), references=Samples(tuple(texts["references"])))
    return next(iter(metric.values().values())).value


def test_the_embedded_encoder_puts_fresh_human_captions_first(texts):
    encoder = HashedNgrams(words="whitespace")
    order = ("human", "copied", "trigram", "shuffled", "collapsed")
    far = [judged(Frechet(encoder, groups=0), texts, name) for name in order]
    near = [judged(Mauve(encoder, seeds=2), texts, name) for name in order]
    assert far == sorted(far)
    assert near == sorted(near, reverse=True)
    assert near[0] == pytest.approx(0.96, abs=0.02)
    assert near[3] == pytest.approx(0.55, abs=0.05)


def test_a_fitted_encoder_does_not(texts):
    encoder = Fitted(texts["references"])
    far = {name: judged(Frechet(encoder, groups=0), texts, name) for name in ("human", "copied")}
    assert far["copied"] < far["human"]
    assert judged(Mauve(encoder, seeds=2), texts, "shuffled") > 0.85


def test_classifiers_see_what_is_not_human(texts):
    found = {name: judged(C2ST(words="whitespace"), texts, name) for name in ("human", "trigram", "shuffled")}
    assert abs(found["human"] - 0.5) < 0.03
    assert 0.55 < found["trigram"] < found["shuffled"]
