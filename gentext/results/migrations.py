"""What older records, run folders and checkpoints called things: the one map from their names to today's.

Format 1 was written before the packages were named after ideas; format 2 names classes by package,
gentext.models.LSTM, so that a file can move without touching a record, has `epochs` in `train` alone, and leaves it to
the corpus to say how metrics cut words. In format 3 the sha256 of a record is of its text in the order of its keys; in
format 2 they were sorted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TARGETS = {
    "gentext.critics.Recurrent": "gentext.adversarial.GRUCritic",
    "gentext.critics.TextCNN": "gentext.adversarial.TextCNN",
    "gentext.estimators.Gumbel": "gentext.adversarial.Gumbel",
    "gentext.estimators.Reinforce": "gentext.adversarial.Reinforce",
    "gentext.estimators.baselines.Learned": "gentext.adversarial.LearnedBaseline",
    "gentext.estimators.baselines.Moving": "gentext.adversarial.MovingBaseline",
    "gentext.estimators.rewards.Constant": "gentext.adversarial.ConstantReward",
    "gentext.estimators.rewards.Odds": "gentext.adversarial.OddsReward",
    "gentext.estimators.rewards.Probability": "gentext.adversarial.ProbabilityReward",
    "gentext.estimators.rewards.Raw": "gentext.adversarial.IdentityReward",
    "gentext.families.hmm.HMM": "gentext.models.HMM",
    "gentext.families.hmm_neural.NeuralHMM": "gentext.models.NeuralHMM",
    "gentext.families.human.Human": "gentext.models.Human",
    "gentext.families.lstm.LSTM": "gentext.models.LSTM",
    "gentext.families.ngram.NGram": "gentext.models.NGram",
    "gentext.families.seq2seq.Seq2Seq": "gentext.models.Seq2Seq",
    "gentext.families.seqgan.SeqGAN": "gentext.adversarial.TextGAN",
    "gentext.families.transformer.Transformer": "gentext.models.Transformer",
    "gentext.families.vae.VAE": "gentext.models.VAE",
    "gentext.families.vae_encoder.Attentive": "gentext.models.TransformerEncoder",
    "gentext.families.vae_encoder.Recurrent": "gentext.models.LSTMEncoder",
    "gentext.games.Adversity": "gentext.adversarial.PointwiseLoss",
    "gentext.games.Ranking": "gentext.adversarial.RankingLoss",
    "gentext.launch.SweepSummary": "gentext.cli.run.SweepSummary",
    "gentext.losses.Given": "gentext.losses.ModelTerm",
    "gentext.losses.nothing": "gentext.losses.no_loss",
    "gentext.metrics.classifier.TwoSample": "gentext.metrics.C2ST",
    "gentext.metrics.conditional.Answers": "gentext.metrics.Answers",
    "gentext.metrics.conditional.Meteor": "gentext.metrics.Meteor",
    "gentext.metrics.conditional.Rouge": "gentext.metrics.Rouge",
    "gentext.metrics.conditional.Sacrebleu": "gentext.metrics.Sacrebleu",
    "gentext.metrics.distribution.NgramDistribution": "gentext.metrics.NgramDistribution",
    "gentext.metrics.diversity.Diversity": "gentext.metrics.Diversity",
    "gentext.metrics.embedding.Frechet": "gentext.metrics.Frechet",
    "gentext.metrics.embedding.Vendi": "gentext.metrics.Vendi",
    "gentext.metrics.encoders.HashedNgrams": "gentext.metrics.HashedNgrams",
    "gentext.metrics.latent.LatentUse": "gentext.metrics.LatentUse",
    "gentext.metrics.likelihood.HeldOutLikelihood": "gentext.metrics.HeldOutLikelihood",
    "gentext.metrics.likelihood.OwnLikelihood": "gentext.metrics.OwnLikelihood",
    "gentext.metrics.likelihood.PaddedLikelihood": "gentext.metrics.PaddedLikelihood",
    "gentext.metrics.lm_score.LMScore": "gentext.metrics.LMScore",
    "gentext.metrics.manifold.Manifold": "gentext.metrics.PrecisionRecall",
    "gentext.metrics.mauve.Mauve": "gentext.metrics.Mauve",
    "gentext.metrics.memorisation.Memorisation": "gentext.metrics.Memorisation",
    "gentext.metrics.overlap.BLEU": "gentext.metrics.BLEU",
    "gentext.metrics.overlap.SelfBLEU": "gentext.metrics.SelfBLEU",
    "gentext.metrics.pretrained.Pretrained": "gentext.metrics.PretrainedEncoder",
    "gentext.metrics.profile.Profile": "gentext.metrics.TextProfile",
    "gentext.metrics.rules.RuleProfile": "gentext.metrics.RuleProfile",
    "gentext.metrics.truth.KnownTruth": "gentext.metrics.KnownTruth",
    "gentext.model.Fitted": "gentext.trained.FittedTruth",
    "gentext.text.brown.Brown": "gentext.models.Brown",
    "gentext.text.files.Files": "gentext.data.PublishedCorpus",
    "gentext.text.files.Text": "gentext.data.LocalText",
    "gentext.text.grammar.Grammar": "gentext.truth.Grammar",
    "gentext.text.hub.HubText": "gentext.data.HubText",
    "gentext.text.oracle.Oracle": "gentext.truth.Oracle",
    "gentext.text.sources.Generated": "gentext.truth.GeneratedCorpus",
    "gentext.text.tokenizer.BPE": "gentext.data.BPE",
    "gentext.text.tokenizer.Char": "gentext.data.Char",
    "gentext.text.tokenizer.Word": "gentext.data.Word",
    "gentext.trackers.Lines": "gentext.trackers.ConsoleLines",
    "gentext.train.adversarial.Adversary": "gentext.adversarial.AdversarialTrainer",
    "gentext.train.ahead.Ahead": "gentext.train.AggressiveEncoder",
    "gentext.train.em.EM": "gentext.train.EMTrainer",
    "gentext.train.gradient.Gradient": "gentext.train.GradientTrainer",
    "gentext.train.stages.Rewound": "gentext.train.ResetPart",
    "gentext.train.stages.Stages": "gentext.train.Stages",
}


# Options that are called otherwise now, by group; and keys, by the name that they had.
OPTIONS = {
    "loss": {
        "beta": "elbo_beta",
        "constant": "reinforce_constant",
        "cyclical": "elbo_cyclical",
        "free_units": "free_bits_per_unit",
        "linear": "elbo_linear",
    },
    "decode": {"fixed": "full_length", "nucleus": "top_p", "topk": "top_k"},
}
RENAMED = {  # arguments of a class, by its name of today: {former: today's}
    "gentext.adversarial.AdversarialTrainer": {"watch": "valid_metrics"},
    "gentext.adversarial.Reinforce": {"share": "self_normalised"},
    "gentext.train.GradientTrainer": {"ahead": "aggressive"},
    "gentext.train.ResetPart": {"loop": "trainer"},
}
KEYS = {"epochs": "train.epochs", "lower": "lowercase"} | {
    old: new for names in RENAMED.values() for old, new in names.items()
}

ENCODER = "gentext.metrics.HashedNgrams"  # the one class of gentext.metrics that is told how words are cut
EPOCHS = 20.0  # the default of the root key that format 1 had
VERSION = "0.1.0"  # which wrote format 1
REFERENCES = {  # how a file of conf/ refers to another key, now and in format 1
    "${train.epochs}": "${epochs}",
    "${context}": "${max_len}",
    "${oc.select:data.words,treebank}": "${data.words}",
    "${oc.select:data.lowercase,false}": "${data.lowercase}",
}


def configuration(node: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of a run's configuration as today's code has it. What is of today stays as it is."""
    if "epochs" not in node:  # a root key of format 1
        return _whole(node)
    data = node.get("data") or {}
    cut = {"words": data.get("words"), "lowercase": data.get("lowercase")}
    made = _today({key: value for key, value in node.items() if key != "epochs"}, cut)
    train = made.get("train")
    if isinstance(train, dict) and train.get("_target_") == "gentext.train.Stages":
        made["train"] = {"_target_": train["_target_"], "epochs": node["epochs"], **train}
    return _whole(made)


def _whole(node: Any) -> Any:
    """A node with the keys that its class has since, so that runs of before and after are seeds of one row."""
    if isinstance(node, list | tuple):
        return [_whole(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    made = {key: _whole(value) for key, value in node.items()}
    return made | {key: value for key, value in ADDED.get(str(node.get("_target_")), {}).items() if key not in made}


def _today(node: Any, cut: Mapping[str, Any]) -> Any:
    """A node of format 1 as it is today; `cut`: how the corpus cuts words, which metrics no longer repeat."""
    if isinstance(node, list | tuple):
        return [_today(value, cut) for value in node]
    if not isinstance(node, Mapping):
        return node
    given = node.get("_target_")
    target = None if given is None else TARGETS.get(given, given)
    names = {"lower": "lowercase", **RENAMED.get(str(target), {})}
    made = {names.get(key, key): _today(value, cut) for key, value in node.items() if key != "epochs"}
    if "epochs" in node:
        made["epochs"] = node["epochs"]
    if target is not None:
        made["_target_"] = target
    if str(target).startswith("gentext.metrics.") and target != ENCODER:
        if target == "gentext.metrics.Rouge" and made.get("words", "") is None:
            made["words"] = "rouge"
        made = {key: value for key, value in made.items() if key not in cut or value != cut[key]}
    return made


CLOSED = ("nll_test", "word_ppl", "nll_div", "negative_elbo", "iw_nll", "reconstruction_nll")
TOKENS = ("token_nll", "token_nll_div", "padded_nll")  # of one way of cutting text into tokens alone
SPELT = ("bits_per_char", "bits_per_byte")  # whose version 1 gave unknown words for nothing
OF_WHOLE_TEXTS = (*CLOSED, *TOKENS, *SPELT, "h_pq", "kl_pq", "js", "tv")


def record(found: dict[str, Any]) -> dict[str, Any]:
    """The plain data of a record of an older format as today's format has it."""
    if found.get("format") != 3:
        found = {**found, "format": 3}
    if isinstance(found.get("config"), Mapping):
        found = {**found, "config": configuration(found["config"])}
    if any(_version(found, name) == "v:1" for name in SPELT):
        found = _spelled(found)
    return found


def _version(found: Mapping[str, Any], name: str) -> str:
    return found["values"].get(name, {}).get("signature", "").rpartition("|")[2]


def _spelled(found: dict[str, Any]) -> dict[str, Any]:
    """A record made before unknown words were spelled and cut texts scored whole, its figures called what they are.

    Where test held unknown words, bits_per_char was of a closed vocabulary, and is closed_bits_per_char now; where
    max_len cut test, figures of whole texts were of what was left, and are absent now. All others are as they would be.
    """
    prints = found.get("fingerprints", {})
    facts = prints.get("splits", {}).get(((found.get("config") or {}).get("eval") or {}).get("split", "test"), {})
    vocabulary = f"|vocab:{prints.get('tokenizer_sha256', '')[:8]}|split:"
    values, absent, over_seeds = {}, dict(found["absent"]), dict(found.get("over_seeds") or {})
    for name, value in found["values"].items():
        signature, called = value["signature"], name
        if facts.get("cut") and name in OF_WHOLE_TEXTS:
            absent[name] = f"max_len cut {facts['cut']} texts, and this gentext scored what was left; run it again"
            over_seeds.pop(name, None)
            continue
        closed = bool(facts.get("unknown"))
        if name in SPELT:
            called = f"closed_{name}" if closed else name
            signature = signature if closed else signature.removesuffix("|v:1") + "|v:2"
            if closed:
                absent[name] = f"unknown words cost nothing in this gentext's: it is {called} now; run it again"
                if name in over_seeds:
                    over_seeds[called] = over_seeds.pop(name)
        if name in TOKENS or (closed and name in (*CLOSED, *SPELT)):
            signature = signature.replace("|split:", vocabulary, 1) if "vocab:" not in signature else signature
        values[called] = {**value, "signature": signature}
    return {**found, "values": values, "absent": absent, "over_seeds": over_seeds}


def former(identity: Mapping[str, Any], epochs: float | None = EPOCHS) -> list[dict[str, Any]]:
    """What format 1 had for the identity of a run, in every way in which it could be asked for.

    A run's folder is named by the hash of its identity, so this finds the folder that an older version made.

    Args:
        identity: of a run, as plain data whose interpolations are not resolved.
        epochs: what a sweep gives those of its runs that have epochs: format 1 gave it to all.
    """
    node = _yesterday(identity)
    train = dict(node["train"])
    if train["_target_"] == "gentext.train.stages.Stages":
        roots = [(train.pop("epochs", EPOCHS), train)]
    elif "epochs" in train:  # given as train.epochs=, or by the root key
        roots = [(train["epochs"], {**train, "epochs": "${epochs}"}), (EPOCHS, train)]
    else:
        roots = [(root, train) for root in dict.fromkeys((EPOCHS, epochs))]
    return [{**node, "train": each, "epochs": root if root is None else float(root)} for root, each in roots]


def _yesterday(node: Any) -> Any:
    """A node of today as format 1 had it."""
    if isinstance(node, list | tuple):
        return [_yesterday(value) for value in node]
    if isinstance(node, str):
        return REFERENCES.get(node, node)
    if not isinstance(node, Mapping):
        return node
    target = node.get("_target_")
    back = {new: old for old, new in RENAMED.get(str(target), {}).items()}
    made = {back.get(key, key): _yesterday(value) for key, value in node.items()}
    if target is not None:
        made["_target_"] = FORMER_TARGETS.get(target, target)
    if str(target).startswith("gentext.metrics."):
        made = {"words": "${data.words}", "lower": "${data.lowercase}", **made}
        if "lowercase" in made:
            made["lower"] = made.pop("lowercase")
    if target == "gentext.train.Stages":
        made.pop("shares", None)  # which move nothing without a track, and format 1 had none
    for key, default in ADDED.get(str(target), {}).items():
        if key in made and made[key] == default:
            del made[key]
    return made


FORMER_TARGETS = {new: old for old, new in TARGETS.items()}
# Keys that classes have since format 1, with the value that means what it did: {target: {key: value}}.
ADDED: dict[str, dict[str, Any]] = {
    "gentext.adversarial.Gumbel": {"read_back": "relaxed", "critic_learns": "samples"},
    "gentext.data.HubText": {"skip_bad": False},
    "gentext.data.LocalText": {"skip_bad": False, "train": None},
    "gentext.data.PublishedCorpus": {"train": None},
    "gentext.models.EncoderDecoder": {"cutoffs": None},
    "gentext.models.HMM": {"emission_backoff": "unigram", "transition_backoff": "even"},
    "gentext.models.LSTM": {"cutoffs": None},
    "gentext.models.MaskedDiffusion": {"weighting": 1.0},
    "gentext.models.NGram": {"smoothing": "kneser_ney"},
    "gentext.models.Seq2Seq": {"cutoffs": None},
    "gentext.models.Transformer": {"cutoffs": None, "share_layers": False},
    "gentext.train.EMTrainer": {"seconds": None},
}
