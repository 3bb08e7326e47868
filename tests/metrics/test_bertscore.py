import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metrics import tiny_bert
from torchmetrics.functional.text.bert import bert_score

from gentext.metrics.base import Absent
from gentext.metrics.bertscore import BERTScore, match
from gentext.metrics.encoders import HashedNgrams
from gentext.metrics.pretrained import PretrainedEncoder, _loaded
from gentext.types import Samples

SAMPLES = ("a man rides a red horse", "two dogs play in the snow", "a cat")
REFERENCES = ("the man rides a horse", "dogs play in snow near a tree", "a dog sleeps")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tiny_bert.write(tmp_path_factory.mktemp("hub") / "tiny-bert", [*SAMPLES, *REFERENCES])
    return PretrainedEncoder(str(folder), batch_size=2)


def values(encoder, samples, references):
    metric = BERTScore(encoder, resamples=0)
    metric.update(Samples(tuple(samples), tuple(map(str, range(len(samples))))), Samples(tuple(references)))
    return metric.values()


def test_the_figures_are_torchmetrics(encoder):
    tokenizer, network, _ = _loaded(encoder.model, "cpu")
    theirs = bert_score(
        list(SAMPLES), list(REFERENCES), model=network, user_tokenizer=tokenizer, max_length=12,
        user_forward_fn=lambda model, batch: model(batch["input_ids"], batch["attention_mask"]).last_hidden_state,
    )  # fmt: skip
    found = values(encoder, SAMPLES, REFERENCES)
    for name in ("precision", "recall", "f1"):
        # sorted, since torchmetrics 1.9 gives the pairs back in another order than it was given
        ours = sorted(found[f"bertscore_{name}"].per_sequence)
        assert ours == pytest.approx(sorted(theirs[name].tolist()), abs=1e-5)


def test_without_an_encoder_of_tokens_it_is_absent():
    for encoder in (None, HashedNgrams()):
        with pytest.raises(Absent, match=r"encoder@eval\.encoder=pretrained"):
            values(encoder, SAMPLES, REFERENCES)


def naive(sample, reference):
    cosines = [[float(x @ y) for y in reference] for x in sample]
    precision = sum(max(row) for row in cosines) / len(sample)
    recall = sum(max(column) for column in zip(*cosines, strict=True)) / len(reference)
    return precision, recall


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 5))
def test_matching_is_that_of_the_definition(seed, s, t):
    rng = torch.Generator().manual_seed(seed)
    sample, reference = (torch.nn.functional.normalize(torch.randn(k, 3, generator=rng)) for k in (s, t))
    precision, recall, f1 = match(sample, reference)
    assert (precision, recall) == pytest.approx(naive(sample, reference), abs=1e-6)
    if precision > 0 and recall > 0:  # a harmonic mean; of figures of unlike sign it has no bounds
        assert min(precision, recall) - 1e-6 <= f1 <= max(precision, recall) + 1e-6
    assert match(reference, sample)[:2] == pytest.approx((recall, precision), abs=1e-6)


def test_a_text_matches_itself_and_an_empty_one_nothing(encoder):
    found = values(encoder, [*SAMPLES, ""], [*SAMPLES, "a cat"])
    assert found["bertscore_f1"].per_sequence == pytest.approx([1, 1, 1, 0], abs=1e-5)
    assert found["bertscore_f1"].signature.startswith("bertscore_f1|encoder:tiny-bert-")
    with pytest.raises(Absent, match="answer no prompts"):
        BERTScore(encoder).update(Samples(SAMPLES), Samples(SAMPLES))
