"""The torchmetrics contract of every metric over text: parts make the whole, processes sync, reset forgets."""

import datetime
import os
import random
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torchmetrics

from gentext.data.source import Truth
from gentext.decode import WordList
from gentext.metrics.bleu import BLEU, SelfBLEU
from gentext.metrics.c2st import C2ST
from gentext.metrics.conditional import Answers, Meteor, Rouge, Sacrebleu
from gentext.metrics.distribution import NgramDistribution
from gentext.metrics.diversity import Diversity
from gentext.metrics.embedding import Frechet, Vendi
from gentext.metrics.extraction import Extraction
from gentext.metrics.flagged import Flagged
from gentext.metrics.known_truth import KnownTruth
from gentext.metrics.likelihood import HeldOutLikelihood, OwnLikelihood, PaddedLikelihood
from gentext.metrics.mauve import Mauve
from gentext.metrics.memorisation import Memorisation
from gentext.metrics.precision_recall import PrecisionRecall
from gentext.metrics.robustness import Robustness
from gentext.metrics.text_profile import TextProfile
from gentext.types import Samples, Scores


class Lengths(Truth):
    """A truth in which a text's probability is that of its length."""

    name = "lengths"
    length = None
    entropy = None

    def sample(self, n, rng):
        raise AssertionError

    def log_prob(self, texts):
        return -0.3 * np.array([len(text) for text in texts])


class Letters:
    """A scorer under which a text costs half a nat a letter."""

    exactness = "exact"

    def log_prob(self, texts, prompts=None):
        return -0.5 * np.array([sum(map(str.islower, text)) + 1 for text in texts], dtype=float)

    def known(self, texts):
        return np.ones(len(texts), dtype=bool)


def texts(seed: int, n: int) -> tuple[str, ...]:
    draw = random.Random(seed)
    return tuple(
        " ".join(draw.choices(["a", "b", "c", "the", "cat", "sat", "on"], k=draw.randint(1, 9))) for _ in range(n)
    )


def evidence(rows: slice) -> dict:
    def scores(of: tuple[str, ...], split: str) -> Scores:
        sizes = torch.tensor([len(text) + 1 for text in of])
        return Scores(-0.4 * sizes.double(), sizes, sizes, sizes, sizes, split, "exact")

    samples, references, training = texts(1, 40)[rows], texts(2, 40)[rows], texts(3, 40)[rows]
    return {
        "samples": Samples(samples, tuple(map(str, range(40)))[rows]),
        "references": Samples(references),
        "training": Samples(training),
        "scores": scores(references, "test"),
        "sample_scores": scores(samples, "samples"),
        "truth": Lengths(),
        "scorer": Letters(),
    }


def metrics() -> torchmetrics.MetricCollection:
    return torchmetrics.MetricCollection(
        {
            "bleu": BLEU(groups=0),
            "by_char": BLEU(words="char", groups=0, name="char_bleu"),
            "selfbleu": SelfBLEU(groups=0),
            "diversity": Diversity(groups=0),
            "memorisation": Memorisation(resamples=0),
            "extraction": Extraction(least=2),
            "flagged": Flagged(WordList(["cat"])),
            "robustness": Robustness(resamples=0),
            "likelihood": HeldOutLikelihood(resamples=0),
            "own": OwnLikelihood(resamples=0),
            "padded": PaddedLikelihood(resamples=0),
            "truth": KnownTruth(),
            "ngrams": NgramDistribution(groups=0),
            "profile": TextProfile(groups=0),
            "frechet": Frechet(groups=0),
            "vendi": Vendi(groups=0),
            "mauve": Mauve(seeds=1),
            "manifold": PrecisionRecall(groups=0),
            "c2st": C2ST("naive_bayes"),
            "sacrebleu": Sacrebleu(resamples=0),
            "rouge": Rouge(words="rouge", resamples=0),
            "meteor": Meteor(resamples=0),
            "answers": Answers(resamples=0),
        }
    )


PARTS = (slice(0, 7), slice(7, 30), slice(30, 40))


@pytest.fixture(scope="module")
def whole():
    collection = metrics()
    collection.update(**evidence(slice(None)))
    return collection.compute()


def test_a_collection_hands_each_metric_its_evidence(whole):
    assert {"bleu4", "char_bleu4", "selfbleu4", "distinct2", "novelty4", "bits_per_char", "nll_div", "kl_pq"} <= set(
        whole
    )
    assert whole["bleu2"] != whole["char_bleu2"]


def test_parts_make_the_whole_and_reset_forgets(whole):
    collection = metrics()
    for _ in range(2):
        for rows in PARTS:
            collection.update(**evidence(rows))
        assert collection.compute() == pytest.approx(whole)
        collection.reset()


def test_metrics_survive_a_copy_and_a_move(whole):
    collection = metrics().clone().to("cpu").double()
    collection.update(**evidence(slice(None)))
    assert collection.compute() == pytest.approx(whole)


def _process(rank: int, address: str, parts: list[list[slice]], queue) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    wait = datetime.timedelta(seconds=100)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2, timeout=wait)
    collection = metrics()
    for rows in parts[rank]:
        collection.update(**evidence(rows))
    queue.put((rank, collection.compute()))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")
@pytest.mark.parametrize("parts", [[[PARTS[0]], [PARTS[1], PARTS[2]]], [[slice(None)], []]], ids=["both", "one"])
def test_two_processes_agree_with_one(whole, parts, tmp_path):
    # forked children need not import torch anew, which takes half a minute on a busy machine
    context = torch.multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    queue = context.Queue()
    processes = [
        context.Process(target=_process, args=(rank, f"{tmp_path}/meet", parts, queue), daemon=True) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    found = dict(queue.get(timeout=100) for _ in processes)
    for process in processes:
        process.join(100)
    assert found[0] == pytest.approx(whole)
    assert found[1] == pytest.approx(whole)
