import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError

from gentext.models import output as output_layer
from gentext.models.encoder_decoder import EncoderDecoder
from gentext.models.layers import Embedding, at_columns, drop_places, locked, teacher_forced
from gentext.models.lstm import LSTM
from gentext.models.output import AdaptiveOutput, Output, token_log_prob
from gentext.models.seq2seq import Seq2Seq
from gentext.models.transformer.model import Transformer
from gentext.types import BOS, EOS, PAD, UNK, Batch, pad


def test_the_tests_check_shapes_at_run_time():
    """tests/typecheck.py wraps what the other tests of this folder call."""
    with pytest.raises(TypeCheckError, match="n t d"):
        locked(torch.ones(2, 3), 0.5, training=True)


def problem(dtype=torch.float64):
    """21 rows, width 5, vocabulary 11: three chunks where a chunk holds 80 logits."""
    torch.manual_seed(0)
    make = lambda *shape: torch.randn(shape, dtype=dtype, requires_grad=True)  # noqa: E731
    return make(21, 5), make(11, 5), make(11), torch.randint(11, (21,))


@pytest.mark.parametrize("weighting", ["alike", "each its own"])
def test_chunks_give_the_log_prob_and_gradients_of_a_plain_softmax(monkeypatch, weighting):
    monkeypatch.setattr(output_layer, "CHUNK", 80)
    hidden, weight, bias, tokens = problem()
    scale = torch.full((21,), -1 / 21).double() if weighting == "alike" else torch.randn(21).double()
    plain = -F.cross_entropy(hidden @ weight.T + bias, tokens, reduction="none")
    chunked = token_log_prob(hidden, weight, bias, tokens)
    assert torch.allclose(chunked, plain)
    expected = torch.autograd.grad((scale * plain).sum(), [hidden, weight, bias])
    for ours, theirs in zip(
        torch.autograd.grad((scale * chunked).sum(), [hidden, weight, bias]), expected, strict=True
    ):
        assert torch.allclose(ours, theirs)
    with torch.no_grad():
        assert torch.allclose(token_log_prob(hidden, weight, bias, tokens), plain)


def test_weights_of_rows_are_part_of_the_one_pass_over_the_logits(monkeypatch):
    passes, inner = [], output_layer._walk
    monkeypatch.setattr(output_layer, "_walk", lambda *given, **more: passes.append(1) or inner(*given, **more))
    hidden, weight, bias, tokens = problem()
    weights, inputs = torch.randn(21).double(), [hidden, weight, bias]
    plain = -weights * F.cross_entropy(hidden @ weight.T + bias, tokens, reduction="none")
    for scale in (torch.full((21,), -1 / 21).double(), torch.randn(21).double()):
        ours = token_log_prob(hidden, weight, bias, tokens, weights)
        assert torch.allclose(ours, plain)
        expected = torch.autograd.grad((scale * plain).sum(), inputs, retain_graph=True)
        for one, other in zip(torch.autograd.grad((scale * ours).sum(), inputs), expected, strict=True):
            assert torch.allclose(one, other)
    assert len(passes) == 3  # one where all gradients are alike, two where each row has its own


def test_no_more_than_a_chunk_of_logits_is_held(monkeypatch):
    held, inner = [], output_layer._odds
    monkeypatch.setattr(output_layer, "CHUNK", 80)
    monkeypatch.setattr(output_layer, "_odds", lambda *given: held.append(given[-1]) or inner(*given))
    hidden, weight, bias, tokens = problem()
    token_log_prob(hidden, weight, bias, tokens).sum().backward()
    assert [len(odds) for odds in held] == [7, 7, 7]
    assert len({odds.data_ptr() for odds in held}) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tokens_that_are_sure_or_out_of_the_question_have_the_gradients_of_a_plain_softmax(dtype):
    hidden, weight, bias, tokens = problem(dtype)
    with torch.no_grad():
        hidden *= 300  # logits hundreds of nats apart: e^their difference overflows single precision
        tokens[::2] = (hidden @ weight.T + bias).argmax(1)[::2]
    plain = -F.cross_entropy(hidden @ weight.T + bias, tokens, reduction="none")
    assert plain.min() < -300
    assert plain.max() > -1e-6
    ours = token_log_prob(hidden, weight, bias, tokens)
    torch.testing.assert_close(ours, plain)
    inputs = [hidden, weight, bias]
    for a, b in zip(torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(plain.sum(), inputs), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("gap", [80.0, 86.5, 87.5, 88.5, 95.0])
def test_odds_that_a_float_still_holds_have_finite_gradients(gap):
    hidden = torch.tensor([[gap / 10]], requires_grad=True)
    weight = torch.tensor([[10.0], [0.0]], requires_grad=True)
    ours = token_log_prob(hidden, weight, torch.zeros(2), torch.tensor([1]))
    assert ours.tolist() == pytest.approx([-gap], rel=1e-6)
    ours.sum().backward()
    assert hidden.grad.tolist() == [pytest.approx([-10.0], rel=1e-5)]
    assert weight.grad.flatten().tolist() == pytest.approx([-gap / 10, gap / 10], rel=1e-5)


def test_autocast_is_kept_in_both_passes():
    hidden, weight, bias, tokens = problem(torch.float32)
    for scale in (torch.ones(21), torch.randn(21)):
        with torch.autocast("cpu", torch.bfloat16):
            loss = token_log_prob(hidden, weight, bias, tokens)
        assert loss.dtype == torch.float32
        ours = torch.autograd.grad((scale * loss).sum(), weight)[0]
        plain = -F.cross_entropy(hidden @ weight.T + bias, tokens, reduction="none")
        theirs = torch.autograd.grad((scale * plain).sum(), weight)[0]
        assert torch.allclose(loss, plain, atol=0.1)
        assert F.cosine_similarity(ours.flatten(), theirs.flatten(), 0) > 0.999
        assert not torch.equal(ours, theirs)  # it did run in the lower precision


def test_padding_is_neither_scored_nor_computed(monkeypatch):
    seen = []
    inner = output_layer.token_log_prob
    monkeypatch.setattr(output_layer, "token_log_prob", lambda h, *rest: seen.append(len(h)) or inner(h, *rest))
    batch = pad([[5, 6, EOS], [EOS]], width=7)
    output = Output(9, 4)
    log_prob = output.log_prob(torch.randn(2, 7, 4), batch.tokens, batch.mask)
    assert seen == [4]
    assert (log_prob[~batch.mask] == 0).all()
    assert torch.allclose(log_prob[batch.mask], torch.tensor(1 / 7).log())  # PAD and BOS have no share


def test_uniform_is_the_mean_log_prob_over_all_that_can_be_emitted():
    torch.manual_seed(0)
    output = Output(9, 4, bias=True).double()
    torch.nn.init.normal_(output.weight)
    torch.nn.init.normal_(output.bias)
    batch = pad([[5, 6, EOS], [8, EOS]])
    hidden = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    log_prob = output.log_prob(hidden, batch.tokens, batch.mask)
    ours = output.terms(hidden, batch.tokens, batch.mask, log_prob)["uniform"]
    plain = output(hidden).log_softmax(-1)[..., EOS:].mean(-1) * batch.mask
    assert torch.allclose(ours, plain)
    wanted = torch.autograd.grad(plain.sum(), [hidden, output.weight, output.bias])
    for a, b in zip(torch.autograd.grad(ours.sum(), [hidden, output.weight, output.bias]), wanted, strict=True):
        assert torch.allclose(a, b)


def adaptive(*, bias: bool = False, tied: Embedding | None = None) -> AdaptiveOutput:
    """12 words of width 4 in clusters that begin at 6 and 9, all numbers drawn."""
    torch.manual_seed(0)
    output = AdaptiveOutput(12, 4, cutoffs=[6, 9], bias=bias, tied=tied).double()
    for parameter in output.parameters():
        torch.nn.init.normal_(parameter)
    return output


def test_an_adaptive_softmax_is_torchs_own_with_vectors_as_wide_as_the_others():
    ours = adaptive()
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(4, 12, [6, 9], div_value=1.0, head_bias=True).double()
    with torch.no_grad():
        theirs.head.weight.copy_(torch.cat([ours.weight[:6], ours.clusters]))
        theirs.head.bias.copy_(torch.cat([ours.floor[:6].clamp_min(-1e9), ours.cluster_bias]))
        for tail, rows in zip(theirs.tail, (ours.weight[6:9], ours.weight[9:]), strict=True):
            tail[0].weight.copy_(torch.eye(4))
            tail[1].weight.copy_(rows)
    hidden, tokens = torch.randn(2, 5, 4, dtype=torch.float64), torch.randint(EOS, 12, (2, 5))
    log_prob = ours.log_prob(hidden, tokens, torch.ones(2, 5, dtype=torch.bool))
    assert set(torch.bucketize(tokens, torch.tensor([6, 9]), right=True).flatten().tolist()) == {0, 1, 2}
    torch.testing.assert_close(log_prob.flatten(), theirs(hidden.flatten(0, 1), tokens.flatten()).output)
    torch.testing.assert_close(ours(hidden)[..., EOS:].flatten(0, 1), theirs.log_prob(hidden.flatten(0, 1))[:, EOS:])


@pytest.mark.parametrize("bias", [False, True])
def test_an_adaptive_softmax_has_one_distribution_and_its_gradients_however_it_is_asked(bias):
    embedding = Embedding(12, 4)
    output = adaptive(bias=bias, tied=embedding)
    assert output.weight is embedding.weight
    hidden = torch.randn(1, 9, 4, dtype=torch.float64, requires_grad=True)
    tokens, mask = torch.tensor([[2, 5, 6, 8, 9, 11, 2, 3, 0]]), torch.tensor([[True] * 8 + [False]])
    whole = output(hidden)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(1, 9, dtype=torch.float64))
    assert (whole[..., [PAD, BOS]] == -torch.inf).all()
    plain = whole.gather(2, tokens[..., None])[..., 0].masked_fill(~mask, 0.0)
    ours = output.log_prob(hidden, tokens, mask)
    torch.testing.assert_close(ours, plain)
    wrt = [hidden, *output.parameters()]
    weights = torch.randn(1, 9, dtype=torch.float64)
    wanted = torch.autograd.grad((weights * plain)[mask].sum(), wrt)
    for a, b in zip(torch.autograd.grad((weights * ours).sum(), wrt), wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_a_text_of_frequent_words_asks_for_no_rare_cluster(monkeypatch):
    seen, inner = [], output_layer.token_log_prob
    monkeypatch.setattr(
        output_layer, "token_log_prob", lambda h, w, *rest: seen.append((len(h), len(w))) or inner(h, w, *rest)
    )
    output, mask = adaptive(), torch.ones(1, 4, dtype=torch.bool)
    output.log_prob(torch.randn(1, 4, 4).double(), torch.tensor([[2, 3, 4, 5]]), mask)
    output.log_prob(torch.randn(1, 4, 4).double(), torch.tensor([[2, 10, 4, 11]]), mask)
    assert seen == [(4, 8), (4, 8), (2, 3)]


@pytest.mark.parametrize("cutoffs", [[3], [6, 6], [9, 6]])
def test_cutoffs_rise_within_the_vocabulary(cutoffs):
    with pytest.raises(ValueError, match=r"cutoffs are .* between 5 and the 12 words"):
        LSTM(12, cutoffs=cutoffs)


@pytest.mark.parametrize(("cutoffs", "sizes"), [([12, 40], None), ([6, 40], [6, 6]), ([6, 11], [6, 5, 1])])
def test_cutoffs_beyond_a_small_vocabulary_begin_no_cluster(cutoffs, sizes):
    assert getattr(LSTM(12, width=4, cutoffs=cutoffs).output, "sizes", None) == sizes


def test_flops_of_an_adaptive_softmax_follow_zipfs_law():
    ranks = 1 / torch.arange(1, 13.0)
    wide = 8 + (3 * float(ranks[6:9].sum()) + 3 * float(ranks[9:].sum())) / float(ranks.sum())
    assert adaptive().flops(10) == pytest.approx(2 * 10 * 4 * wide)
    assert Output(12, 4).flops(10) == 2 * 10 * 4 * 12


@pytest.mark.parametrize("family", [LSTM, Transformer, Seq2Seq, EncoderDecoder])
def test_families_with_an_adaptive_softmax_learn_and_score_alike(family):
    torch.manual_seed(0)
    model = family(12, width=16, cutoffs=[6, 9])
    batch = pad([[4, 7, 10, EOS], [11, EOS]])
    before = model(batch).log_prob.sum()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(5):
        outputs = model(batch)
        assert "uniform" not in outputs.terms
        optimizer.zero_grad()
        (-outputs.log_prob.sum()).backward()
        optimizer.step()
    assert model(batch).log_prob.sum() > before + 1
    model.eval()
    logits = model.logits(model(batch))
    found = logits.log_softmax(-1).gather(2, batch.tokens[..., None])[..., 0]
    torch.testing.assert_close(found[batch.mask], model(batch).log_prob[batch.mask], atol=1e-5, rtol=1e-5)


def test_relaxed_one_hots_are_read_as_ids_are_and_carry_a_gradient():
    embedding = Embedding(9, 4)
    ids = torch.tensor([3, 8])
    relaxed = F.one_hot(ids, 9).float().requires_grad_()
    assert torch.equal(embedding(ids), embedding(relaxed))
    embedding(relaxed).sum().backward()
    assert relaxed.grad.abs().sum() > 0


def test_dropped_words_are_dropped_everywhere_in_a_batch():
    torch.manual_seed(0)
    embedding = Embedding(50, 4, drop=0.5).train()
    ids = torch.arange(50).repeat(3, 1)
    gone = (embedding(ids) == 0).all(-1)
    assert torch.equal(gone[0], gone[1])
    assert torch.equal(gone[0], gone[2])
    assert 10 < int(gone[0].sum()) < 40
    assert torch.equal(embedding.eval()(ids), embedding.weight.expand(3, -1, -1))


def test_locked_dropout_has_one_mask_a_sequence():
    torch.manual_seed(0)
    x = locked(torch.ones(4, 6, 50), 0.5, True)
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert not torch.equal(x[0], x[1])
    assert x.mean().item() == pytest.approx(1.0, abs=0.2)
    assert torch.equal(locked(x, 0.5, False), x)


def test_ragged_prompts_close_up_before_the_tokens():
    tokens = pad([[7, EOS], [8, 9, EOS], [EOS]])
    prompt = torch.tensor([[4, 5, PAD], [PAD, PAD, PAD], [4, PAD, PAD]])
    batch = Batch(tokens.tokens, tokens.mask, prompt)
    inputs, columns = teacher_forced(batch)
    assert inputs.tolist() == [[BOS, 4, 5, 7, EOS, 0], [BOS, 8, 9, EOS, 0, 0], [BOS, 4, EOS, 0, 0, 0]]
    hidden = at_columns(inputs[..., None].float(), columns)[..., 0]  # what was read just before each token
    assert hidden[0, :2].tolist() == [5, 7]
    assert hidden[1].tolist() == [BOS, 8, 9]
    assert hidden[2, 0] == 4


def test_word_dropout_reads_unk_at_places_drawn_one_by_one_while_training():
    torch.manual_seed(0)
    inputs = torch.tensor([[1, 5, 6, 7, 0]] * 4_000)
    dropped = drop_places(inputs, 0.3, training=True)
    assert (dropped[:, [0, 4]] == inputs[:, [0, 4]]).all()
    unk = dropped[:, 1:4] == UNK
    assert ((dropped[:, 1:4] == inputs[:, 1:4]) | unk).all()
    assert unk.float().mean(0) == pytest.approx([0.3] * 3, abs=0.03)
    assert (unk[:, 0] & unk[:, 1]).float().mean() == pytest.approx(0.09, abs=0.02)
    assert drop_places(inputs, 0.3, training=False) is inputs


@pytest.mark.parametrize("family", [LSTM, Seq2Seq, Transformer])
def test_with_every_place_dropped_a_model_no_longer_tells_inputs_apart(family):
    torch.manual_seed(0)
    size = {LSTM: {}, Seq2Seq: {"dropout": 0.0}, Transformer: {"heads": 2}}[family]
    model = family(9, layers=1, width=16, word_dropout=0.999_999, **size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    one, other = pad([[4, 5, 6, 2]]), pad([[7, 8, 6, 2]])
    with torch.inference_mode():
        assert float(model(one).log_prob[0, 2]) == pytest.approx(float(model(other).log_prob[0, 2]), abs=1e-6)
        model.eval()
        assert float(model(one).log_prob[0, 2]) != pytest.approx(float(model(other).log_prob[0, 2]), abs=1e-6)
