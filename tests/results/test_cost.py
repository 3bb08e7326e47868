from gentext.results.cost import efficiencies, efficiency


def test_quality_is_divided_by_each_cost_that_is_known():
    cost = {"seconds": 4.0, "flops": float("nan"), "parameters": 0.0}
    assert efficiency(0.5, True, cost) == {"seconds": 0.125}


def test_a_ratio_that_would_mislead_is_left_out():
    assert efficiency(30.0, False, {"seconds": 4.0}) == {}
    assert efficiency(11.3, None, {"seconds": 4.0}) == {}
    assert efficiency(float("inf"), True, {"seconds": 4.0}) == {}


def test_every_record_has_quality_per_cost():
    figures = {"bleu4": (0.5, True), "word_ppl": (9.0, False)}
    cost = {"train_seconds": 2.0, "parameters": 100.0, "flops_per_token": float("nan"), "peak_bytes": 1e9}
    assert efficiencies(figures, cost) == {"bleu4/train_seconds": 0.25, "bleu4/parameters": 0.005}
