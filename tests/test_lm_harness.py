"""lm-evaluation-harness judges a run of ours, and its sample log is judged here."""

from __future__ import annotations

import json

import pytest
import torch

from gentext.cli import main
from gentext.data.readers import read_sample_log
from gentext.results import record
from gentext.trained import load
from gentext.types import EOS, pad

TASK = """
task: tiny
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["."], max_gen_toks: 8, do_sample: false}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    words = ["family=ngram", "data.train=200", "data.valid=20", "data.test=20", "eval=latent", "eval.samples=5"]
    assert main(["run", *words, f"out={out}"]) == 0
    (done,) = [path.parent for path in out.rglob("trained.json")]
    return str(done)


@pytest.fixture(scope="module")
def adapter(run):
    pytest.importorskip("lm_eval")
    from gentext.lm_harness import GentextLM

    return GentextLM(run)


def asked(*args):
    from lm_eval.api.instance import Instance

    return Instance("loglikelihood", {}, args, 0)


def test_its_likelihoods_are_the_familys(adapter, run):
    model = load(run)
    text = "a man rides a horse"
    ids = model.tokenizer.encode([text])[0]
    with torch.inference_mode():
        whole = float(model.family(pad([[*ids, EOS]])).log_prob[0, :-1].sum())
        rest = float(model.family(pad([[*ids, EOS]])).log_prob[0, 2:-1].sum())
    assert adapter.loglikelihood_rolling([asked(text)])[0] == pytest.approx(whole, abs=1e-4)
    (found,) = adapter.loglikelihood([asked("a man", " rides a horse")])
    assert found[0] == pytest.approx(rest, abs=1e-4)
    said = adapter.generate_until([asked("a man", {"until": ["."], "max_gen_toks": 4})])[0]
    assert adapter.loglikelihood([asked("a man", " " + said.split()[0])])[0][1]  # greedy is greedy


def test_a_task_of_a_yaml_runs_and_its_log_is_read(adapter, tmp_path):
    pytest.importorskip("datasets")
    import lm_eval
    from lm_eval.tasks import TaskManager

    docs = tmp_path / "docs.jsonl"
    docs.write_text("".join(json.dumps({"prompt": p, "answer": "x"}) + "\n" for p in ("a man", "a dog", "the")))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "tiny.yaml").write_text(TASK.replace("FILE", str(docs)))
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    done = lm_eval.simple_evaluate(adapter, tasks=["tiny"], task_manager=manager, bootstrap_iters=0)
    log = tmp_path / "samples_tiny.jsonl"
    log.write_text("".join(json.dumps(sample, default=str) + "\n" for sample in done["samples"]["tiny"]))
    answers = read_sample_log(log)
    assert len(answers) == 3
    assert all(isinstance(answer, str) for answer in answers)


def test_a_sample_log_stands_on_the_board(tmp_path):
    log = tmp_path / "samples_task.jsonl"
    rows = [{"doc_id": i, "resps": [["x"]], "filtered_resps": [f"A man rides\nhorse {i} ."]} for i in range(3)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = ["data=captions", "data.train=60", "data.valid=10", "data.test=20"]
    words = [
        "score",
        "--samples",
        str(log),
        "--references",
        *small,
        "--name",
        "theirs",
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main(words) == 0
    (found,) = record.find([str(tmp_path / "runs")])
    assert record.samples(found)[0] == "A man rides horse 0 ."
    assert found.values["bleu2"].n == 3


def test_likelihoods_are_no_samples(tmp_path):
    log = tmp_path / "samples_task.jsonl"
    log.write_text(json.dumps({"doc_id": 0, "filtered_resps": [["-1.0", "True"]]}) + "\n")
    with pytest.raises(ValueError, match="generate_until"):
        read_sample_log(log)
    plain = tmp_path / "plain.jsonl"
    plain.write_text('{"text": "a"}\n')
    assert read_sample_log(plain) is None
