"""Rules equal transformers' processors, and refuse values that make no sense."""

import pytest
import torch

from gentext.decode.logit_rules import LogitRules
from gentext.types import EOS, UNK


def _case(t, v=8, n=12):
    g = torch.Generator().manual_seed(t)
    return torch.randn(n, v, generator=g).log_softmax(-1), torch.randint(4, v, (n, t), generator=g)


@pytest.mark.parametrize("t", [0, 1, 2, 3, 9])
def test_rules_equal_the_processors_of_transformers(t):
    process = pytest.importorskip("transformers.generation.logits_process")
    logits, said = _case(t)
    if t:
        theirs = process.RepetitionPenaltyLogitsProcessor(1.3)(said, logits.clone())
        torch.testing.assert_close(LogitRules(repetition_penalty=1.3)(logits, said), theirs)
    for size in (1, 2, 3):
        theirs = process.NoRepeatNGramLogitsProcessor(size)(said, logits.clone())
        torch.testing.assert_close(LogitRules(no_repeat_ngram=size)(logits, said), theirs)


def test_min_len_and_ban_unk():
    logits, said = _case(3)
    assert (LogitRules(min_len=4)(logits, said)[:, EOS] == -torch.inf).all()
    assert LogitRules(min_len=3)(logits, said)[:, EOS].isfinite().all()
    assert (LogitRules(ban_unk=True)(logits, said)[:, UNK] == -torch.inf).all()
    assert logits.isfinite().all()  # the family's own tensor is left alone


@pytest.mark.parametrize("wrong", [{"repetition_penalty": 0.0}, {"no_repeat_ngram": -1}, {"min_len": -1}])
def test_values_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LogitRules(**wrong)
