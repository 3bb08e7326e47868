import math

import pytest
import torch

from gentext.metrics.base import Absent
from gentext.metrics.generative_perplexity import GenerativePerplexity
from gentext.results.columns import column
from gentext.types import Samples


def test_it_is_the_perplexity_of_transformers_beside_the_entropy(tmp_path):
    transformers = pytest.importorskip("transformers")
    from models import checkpoints

    folder = checkpoints.gpt2(tmp_path / "judge")
    texts = ["a man rides a horse", "the dog", "two men walk in the rain on the beach"]
    metric = GenerativePerplexity(str(folder), batch_size=2)
    metric.update(Samples(tuple(texts)))
    found = metric.values()
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    nats, tokens, entropies = 0.0, 0, []
    for text in texts:
        ids = [tokenizer.eos_token_id, *tokenizer(text).input_ids]
        with torch.no_grad():
            loss = network(torch.tensor([ids]), labels=torch.tensor([ids])).loss
        nats, tokens = nats + float(loss) * (len(ids) - 1), tokens + len(ids) - 1
        shares = [ids[1:].count(i) / (len(ids) - 1) for i in set(ids[1:])]
        entropies.append(-sum(share * math.log(share) for share in shares))
    assert found["gen_ppl"].value == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    assert found["sample_entropy"].value == pytest.approx(sum(entropies) / 3)
    assert found["gen_ppl"].signature.startswith("gen_ppl|lm:judge-")
    assert found["gen_ppl"].interval[0] <= found["gen_ppl"].value <= found["gen_ppl"].interval[1]
    assert {column(name).target for name in found} == {"human"}


def test_a_judge_that_is_not_at_hand_is_absent_with_what_to_do(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path))
    metric = GenerativePerplexity("smollm2")
    metric.update(Samples(("a man",)))
    with pytest.raises(Absent, match="gentext model fetch smollm2"):
        metric.values()
    empty = GenerativePerplexity("smollm2")
    empty.update(Samples(("", " ")))
    with pytest.raises(Absent, match="there are none"):
        empty.values()
