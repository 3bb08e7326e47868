"""What older records, run folders and checkpoints called things: the one map from their names to today's.

Format 1 was written before the packages were named after ideas; format 2 names classes by package,
gentext.models.LSTM, so that a file can move without touching a record.
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


def configuration(node: Any) -> Any:
    """Plain data of a configuration with every `_target_` called as it is today."""
    if isinstance(node, Mapping):
        return {
            key: TARGETS.get(value, value) if key == "_target_" else configuration(value) for key, value in node.items()
        }
    if isinstance(node, list | tuple):
        return [configuration(value) for value in node]
    return node


def record(found: dict[str, Any]) -> dict[str, Any]:
    """The plain data of a record of an older format as today's format has it."""
    if found.get("format") == 1:
        return {**found, "format": 2, "config": configuration(found["config"])}
    return found
