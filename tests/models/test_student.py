"""A student's term is the cross-entropy of its teacher's distribution and its own, and is least where they agree."""

from __future__ import annotations

import pytest
import torch

import gentext
from gentext.cli import main
from gentext.models import LSTM, NGram, Seq2Seq, Student, Transformer
from gentext.models.student import next_logits
from gentext.types import EOS, Batch, pad

V = 9
BATCH = pad([[4, 5, EOS], [6, EOS]])


def loud(family):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in family.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return family


def counted():
    model = NGram(V, order=2)
    model.accumulate(pad([[4, 5, EOS], [4, 6, EOS]] * 3))
    model.maximize()
    return model


TEACHERS = {
    "lstm": lambda: loud(LSTM(V, layers=2, width=8)),
    "transformer": lambda: loud(Transformer(V, layers=1, heads=2, width=8)),
    "seq2seq": lambda: loud(Seq2Seq(V, width=8)),
    "ngram": counted,
}


@pytest.mark.parametrize("name", TEACHERS)
@pytest.mark.parametrize("prompt", [None, torch.tensor([[7], [8]])])
def test_the_term_is_the_cross_entropy_of_both_token_by_token(name, prompt):
    teacher, batch = TEACHERS[name]().eval(), Batch(BATCH.tokens, BATCH.mask, prompt)
    student = Student(loud(LSTM(V, layers=1, width=8))).train()
    student.taught_by(teacher)
    term = student(batch).terms["distill"]
    for row in range(2):
        said = None if prompt is None else prompt[row : row + 1]
        ends = [family.start(1) if said is None else family.prime(said) for family in (teacher, student)]
        for i in range(int(batch.lengths[row])):
            p, q = (at.logits[0].log_softmax(-1) for at in ends)
            wanted = -sum(float((p[v].exp() * q[v]).detach()) for v in range(EOS, V))
            assert float(term[row, i].detach()) == pytest.approx(wanted, abs=1e-4)
            token = batch.tokens[row, i : i + 1]
            ends = [family.step(at.state, token) for family, at in zip((teacher, student), ends, strict=True)]
    assert term[1, 2] == 0  # padding costs nothing
    student.eval()
    assert "distill" not in student(batch).terms


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    teacher = TEACHERS["lstm"]()
    for temperature in (1.0, 2.0):
        student = Student(TEACHERS["lstm"](), temperature=temperature).train()
        student.model.load_state_dict(teacher.state_dict())
        student.taught_by(teacher)
        student(BATCH).terms["distill"].sum().backward()
        assert all(float(p.grad.abs().max()) < 1e-5 for p in student.parameters() if p.grad is not None)
    assert not any("teacher" in name or "_taught" in name for name in student.state_dict())
    assert student.size() == teacher.size()
    assert next_logits(teacher, BATCH).shape == (2, 3, V)


def test_a_family_without_logits_is_no_student():
    with pytest.raises(ValueError, match="model is an NGram, which says no logits"):
        Student(NGram(V, order=2))


def test_a_run_is_taught_by_another_and_stands_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["data.train=120", "data.valid=20", "data.test=20", "eval.samples=4", "~eval.metrics", "+eval.metrics={}"]
    teacher = gentext.run("family=ngram", *small, out="teachers")
    steps = ["family.model.width=16", "family.model.layers=1", "train.steps=8", "train.epochs=null"]
    named = f"family.teacher.run={teacher.folder}"
    done = gentext.run("family=distilled", named, *steps, *small)
    moved = (tmp_path / "teachers").rename(tmp_path / "gone")
    assert moved.exists()
    assert len(done.load().sample(2)) == 2  # the teacher is not needed any more
    other = ["tokenizer=char", *steps, *small]
    assert (
        main(
            ["run", "family=distilled", f"family.teacher.run={moved / teacher.folder.relative_to('teachers')}", *other]
        )
        == 2
    )
    assert "whose tokens are others" in " ".join(capsys.readouterr().err.split())
    assert main(["run", "family=distilled", *steps, *small]) == 2
    assert "teacher.run is null; give the folder of a trained run" in " ".join(capsys.readouterr().err.split())
