"""Every figure once: title, unit, meaning, target, metric, source, and the track that shows it by default.

Boards, reports and `gentext explain` read it. A figure that stands here under no name (a metric of the user's own) is
described by what its Value says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from gentext.value import Value

Target = Literal["higher", "lower", "human", "truth", "none"]
TARGETS = {
    "higher": "higher is better",
    "lower": "lower is better",
    "human": "best is nearest to held-out human text",
    "truth": "best is nearest to the true distribution's own value",
    "none": "describes the row; neither end is better",
}


@dataclass(frozen=True)
class Column:
    """What a figure is.

    Example:
        >>> column("bleu4").title, column("bleu4").target
        ('BLEU-4', 'human')
    """

    name: str  # bits_per_char
    title: str  # bits a character
    unit: str
    meaning: str  # one sentence
    target: Target
    metric: str  # the class that computes it
    source: str  # formula, or where it was published
    axis: Literal["higher", "lower", ""] = ""  # which way is up where a frontier trades it against another
    truth: str = ""  # target truth: the figure of the same record that holds the true value, or a number
    unseen: bool = False  # its human value is one only of text that no family was trained on
    cost: bool = False  # what a run cost: no interval, no mark

    @property
    def tracks(self) -> tuple[str, ...]:
        """The tracks whose boards show it when nobody asks for more."""
        return tuple(track for track, names in SHOWN.items() if self.name in names)


def _figure(name: str, title: str, unit: str, target: Target, metric: str, meaning: str, source: str, **more) -> Column:
    axis = target if target in ("higher", "lower") else ""
    return Column(name, title, unit, meaning, target, metric, source, **{"axis": axis, **more})


# ruff: noqa: E501
_LIKELIHOOD, _TRUTH, _LATENT, _PAIRS = "HeldOutLikelihood", "KnownTruth", "LatentUse", "Answers"
_MODEL = "It is of the model itself at temperature 1, whatever the row's decode setting."
FIGURES = (
    _figure("bits_per_char", "bits a character", "bits/character", "lower", _LIKELIHOOD, f"How many bits the model needs for one character of held-out text, unknown words spelled: it compares any vocabularies. {_MODEL}", "-log2 q(text) / characters, line ends counted; an unknown word costs its token and its letters (Witten and Bell 1991)"),
    _figure("bits_per_byte", "bits a byte", "bits/byte", "lower", _LIKELIHOOD, f"How many bits the model needs for one UTF-8 byte of held-out text, unknown words spelled. {_MODEL}", "-log2 q(text) / bytes; an unknown word costs its token and its letters"),
    _figure("closed_bits_per_char", "bits a character, unknown words free", "bits/character", "lower", _LIKELIHOOD, "What older records called bits a character: of one vocabulary alone, for the fewer words it holds, the lower it is.", "-log2 q(tokens) / characters; an unknown word costs its token alone"),
    _figure("closed_bits_per_byte", "bits a byte, unknown words free", "bits/byte", "lower", _LIKELIHOOD, "What older records called bits a byte: of one vocabulary alone, for the fewer words it holds, the lower it is.", "-log2 q(tokens) / bytes; an unknown word costs its token alone"),
    _figure("word_ppl", "word perplexity", "", "lower", _LIKELIHOOD, f"Among how many equally likely words the model hesitates at each word of held-out text; all unknown words are one word, so that only one vocabulary compares. {_MODEL}", "exp(-log q(tokens) / words), line ends counted as words"),
    _figure("nll_test", "NLL a text", "nats/text", "lower", _LIKELIHOOD, f"Negative log-likelihood of a held-out text; all unknown words are one word, so that only one vocabulary compares. {_MODEL}", "-log q(tokens), mean over texts"),
    _figure("token_nll", "NLL a token", "nats/token", "lower", _LIKELIHOOD, "Negative log-likelihood of a held-out token; comparable only under one tokenizer.", "-log q(tokens) / tokens, EOS counted"),
    _figure("unknown_share", "unknown tokens", "share", "none", _LIKELIHOOD, "The share of the held-out text's tokens that the vocabulary lacks; only figures for each character or byte spell them.", "unknown tokens / tokens", cost=True),
    _figure("cut_share", "cut texts", "share", "none", _LIKELIHOOD, "The share of held-out texts longer than max_len: the model trained on such texts cut, and they are scored whole.", "texts longer than max_len / texts", cost=True),
    _figure("padded_nll", "padded NLL", "nats/place", "lower", "PaddedLikelihood", "Nats of held-out text over all places of a padded batch, as RelGAN's code prints it; not comparable with NLL a token.", "-log q(text) / (texts x width)"),
    _figure("nll_div", "NLL of own samples", "nats/text", "truth", "OwnLikelihood", "The entropy of what the row draws from, which falls where it collapses; best is the truth's own entropy.", "NLL-div: -log q(sample), mean over samples (Zhu et al. 2018)", truth="h_p"),
    _figure("token_nll_div", "NLL of own tokens", "nats/token", "none", "OwnLikelihood", "The entropy of what the row draws from, for each token.", "-log q(sample) / tokens"),
    _figure("bleu", "BLEU", "", "human", "BLEU", "How many of a sample's n-grams stand in some held-out text; cold or copied samples exceed people, so best is nearest to them.", "BLEU of each sample against all references, mean (Papineni et al. 2002; Yu et al. 2017)", axis="higher"),
    _figure("selfbleu", "Self-BLEU", "", "human", "SelfBLEU", "How alike the samples are: the BLEU of each sample against all others; people repeat themselves too, so best is nearest to them.", "mean over samples of BLEU against the rest (Zhu et al. 2018)", axis="lower"),
    _figure("distinct", "distinct", "share", "human", "Diversity", "The share of different n-grams among all n-grams of the samples.", "different n-grams / n-grams (Li et al. 2016)", axis="higher"),
    _figure("entropy", "n-gram entropy", "nats", "human", "Diversity", "The entropy of the samples' n-gram frequencies.", "-sum f log f over n-grams (Zhang et al. 2018)", axis="higher"),
    _figure("unique", "different texts", "share", "human", "Diversity", "The share of different texts among the samples.", "different samples / samples", axis="higher"),
    _figure("near_duplicates", "near duplicates", "share", "human", "Diversity", "The share of samples that another equals, or one word away.", "samples with another at word edit distance 0 or 1 / samples", axis="lower"),
    _figure("repetition", "repetition", "share", "human", "Diversity", "The share of a text's n-grams that stand earlier in the same text.", "repeated n-grams / n-grams of a text, mean over texts"),
    _figure("novelty", "novelty", "share", "human", "Memorisation", "The share of the samples' n-grams that the training text does not hold.", "n-grams not in train / n-grams", unseen=True),
    _figure("verbatim", "copied whole", "share", "human", "Memorisation", "The share of samples that are training texts word for word.", "samples in train / samples", unseen=True),
    _figure("copied_span", "longest copied span", "words", "human", "Memorisation", "The words of a sample's longest span that stands in one training text.", "mean over samples", unseen=True),
    _figure("copied_share", "copied share", "share", "human", "Memorisation", "The share of a sample that its longest copied span makes up.", "copied span / words, mean over samples", unseen=True),
    _figure("lm_score", "LM score", "nats/word", "human", "LMScore", "How surprising the samples are to a language model fitted to the training text; repeating its likeliest phrases scores below people.", "nats per word under the judge (de Masson d'Autume et al. 2019)", axis="lower", unseen=True),
    _figure("reverse_lm_score", "reverse LM score", "nats/word", "human", "LMScore", "How surprising held-out text is to a language model fitted to the samples.", "nats per word of held-out text (Semeniuta et al. 2018; Zhao et al. 2018)", axis="lower", unseen=True),
    _figure("gen_ppl", "generative perplexity", "", "human", "GenerativePerplexity", "Perplexity of the samples a token under a pretrained model; repetition lowers it below people's, so it is read beside the entropy of each sample.", "exp(-log judge(sample) / tokens of the judge)", axis="lower"),
    _figure("sample_entropy", "entropy of a sample", "nats", "human", "GenerativePerplexity", "The entropy of the frequencies of a sample's own tokens, mean over samples; it falls where samples repeat themselves.", "-sum f log f over a sample's tokens (Zheng et al. 2024)", axis="higher"),
    _figure("h_p", "H(p)", "nats/text", "none", _TRUTH, "The entropy of the true distribution.", "-E_p log p"),
    _figure("h_pq", "H(p, q)", "nats/text", "lower", _TRUTH, "Does the row cover the truth? Cross-entropy of true text under what the row draws from; at least H(p).", "-E_p log q"),
    _figure("h_qp", "H(q, p)", "nats/text", "truth", _TRUTH, "Is what the row writes likely under the truth? Over the samples that it accepts; below H(p) where only the likeliest is written.", "-E_q log p, over accepted samples", truth="h_p"),
    _figure("h_qp_matched", "H(q, p) by length", "nats/text", "truth", _TRUTH, "H(q, p) among accepted samples of the lengths of held-out text: of noise only short samples are accepted, which lowers H(q, p).", "-E log p of each tenth of the lengths, by its share of held-out text", truth="h_p"),
    _figure("nll_oracle", "NLL-oracle", "nats/token", "none", _TRUTH, "H(q, p) for each token, as SeqGAN's oracle is reported; a row that collapses scores best.", "-log p(sample) / tokens (Yu et al. 2017)", axis="lower"),
    _figure("kl_pq", "KL(p, q)", "nats/text", "lower", _TRUTH, "What the row fails to cover of the truth: zero only where it is the truth.", "E_p log p - log q"),
    _figure("kl_qp", "KL(q, p)", "nats/text", "lower", _TRUTH, "How far the accepted samples are from the truth.", "E_q log q - log p, over accepted samples"),
    _figure("js", "JS", "nats", "lower", _TRUTH, "Jensen-Shannon divergence of the row and the truth.", "Lin 1991"),
    _figure("tv", "total variation", "share", "lower", _TRUTH, "The largest difference in probability that row and truth give to any set of texts.", "1/2 sum |p - q|; its bound from KL by Bretagnolle and Huber 1979"),
    _figure("grammatical", "grammatical", "share", "higher", _TRUTH, "The share of samples that the true distribution can produce.", "samples with p > 0 / samples"),
    _figure("rule_gap", "rule usage gap", "share", "lower", "RuleProfile", "Total variation between the rules that accepted samples use and those that the grammar uses.", "1/2 sum |f - g| over rules"),
    _figure("agreement", "agreement", "share", "higher", "Agreement", "The share of pairs of sentences, alike but for the form of the verb, in which the one whose verb agrees with its subject is likelier; a half is guessing.", "Linzen et al. 2016; Marvin and Linzen 2018"),
    _figure("rules_off", "rules misused", "share", "lower", "RuleProfile", "The share of the grammar's rules that the samples use significantly too often or too rarely.", "rules with |z| above the threshold / rules"),
    _figure("negative_elbo", "negative ELBO", "nats/text", "lower", _LATENT, "The bound on a text's negative log-likelihood that a VAE is trained on.", "reconstruction + KL (Kingma and Welling 2014)"),
    _figure("iw_nll", "IW-NLL", "nats/text", "lower", _LATENT, "The importance-weighted bound on a text's negative log-likelihood.", "-log mean p(x, z) / q(z | x) (Burda et al. 2016)"),
    _figure("reconstruction_nll", "reconstruction NLL", "nats/text", "none", _LATENT, "The nats of a text once its z is known.", "-E_q(z|x) log p(x | z)"),
    _figure("posterior_kl", "KL of the posterior", "nats/text", "none", _LATENT, "What z says of a text; near 0 where z is ignored.", "KL(q(z | x), p(z))"),
    _figure("mutual_information", "information in z", "nats/text", "none", _LATENT, "The mutual information of texts and z, a bound from below.", "Hoffman and Johnson 2016"),
    _figure("active_units", "active units", "units", "none", _LATENT, "Units of z whose posterior mean moves with the text.", "units with variance of the mean above the threshold (Burda et al. 2016)"),
    _figure("frechet", "Fréchet distance", "", "lower", "Frechet", "Distance of samples and references as two normal distributions of vectors.", "Dowson and Landau 1982; Heusel et al. 2017"),
    _figure("vendi", "Vendi score", "texts", "human", "Vendi", "How many different samples there are in effect.", "Friedman and Dieng 2023", axis="higher"),
    _figure("mauve", "MAUVE", "", "higher", "Mauve", "Area under the divergence frontier of samples and references in an embedding space.", "Pillutla et al. 2021"),
    _figure("precision", "precision", "share", "higher", "PrecisionRecall", "The share of samples that lie among the references.", "Kynkäänniemi et al. 2019"),
    _figure("recall", "recall", "share", "higher", "PrecisionRecall", "The share of references that lie among the samples.", "Kynkäänniemi et al. 2019"),
    _figure("density", "density", "", "human", "PrecisionRecall", "How densely the references surround the samples.", "Naeem et al. 2020", axis="higher"),
    _figure("coverage", "coverage", "share", "higher", "PrecisionRecall", "The share of references that have a sample near.", "Naeem et al. 2020"),
    _figure("c2st", "told apart by", "share", "truth", "C2ST", "How often a classifier tells samples from references; one half means that it cannot.", "accuracy on texts held out (Lopez-Paz and Oquab 2017)", axis="lower", truth="0.5"),
    _figure("msj", "n-gram overlap", "share", "higher", "NgramDistribution", "MS-Jaccard of the n-gram frequencies of samples and references.", "Montahaei et al. 2019"),
    _figure("ngram_js", "n-gram JS", "nats", "lower", "NgramDistribution", "Jensen-Shannon divergence of the n-gram frequencies.", "Lin 1991"),
    _figure("ngram_kl", "n-gram KL", "nats", "lower", "NgramDistribution", "KL of the references' n-gram frequencies from the samples'.", "sum p log p / q, smoothed"),
    _figure("ngram_reverse_kl", "reverse n-gram KL", "nats", "lower", "NgramDistribution", "KL of the samples' n-gram frequencies from the references'.", "sum q log q / p, smoothed"),
    _figure("length", "length", "words", "human", "TextProfile", "Words of a text.", "mean over samples"),
    _figure("length_references", "human length", "words", "none", "TextProfile", "Words of a reference.", "mean over references"),
    _figure("length_w1", "length distance", "words", "lower", "TextProfile", "Wasserstein-1 distance of the lengths of samples and references.", "area between the distribution functions"),
    _figure("zipf", "Zipf exponent", "", "human", "TextProfile", "How fast the frequencies of words fall with their rank.", "maximum likelihood of p(r) = r^-s / sum k^-s"),
    _figure("zipf_references", "human Zipf exponent", "", "none", "TextProfile", "How fast the frequencies of the references' words fall.", "maximum likelihood"),
    _figure("zipf_gap", "Zipf gap", "", "lower", "TextProfile", "The difference of the two Zipf exponents.", "|s - s of the references|"),
    _figure("sacrebleu", "sacreBLEU", "%", "higher", "Sacrebleu", "n-gram precision of answers against their own references.", "Post 2018"),
    _figure("chrf", "chrF", "%", "higher", "Sacrebleu", "Character n-gram F of answers against their references.", "Popović 2015"),
    _figure("ter", "TER", "%", "lower", "Sacrebleu", "Edits that turn an answer into its reference, per word.", "Snover et al. 2006"),
    _figure("rouge", "ROUGE-", "share", "higher", "Rouge", "F1 of n-grams (L: of the longest common subsequence) of answer and reference.", "Lin 2004"),
    _figure("meteor", "METEOR", "share", "higher", "Meteor", "Words of answer and reference matched by form and stem.", "Banerjee and Lavie 2005"),
    _figure("exact_match", "exact match", "share", "higher", _PAIRS, "The share of answers that are their reference.", "equal word by word"),
    _figure("token_f1", "word F1", "share", "higher", _PAIRS, "F1 of the words of answer and reference.", "Rajpurkar et al. 2016"),
    _figure("bertscore_precision", "BERTScore precision", "cosine", "higher", "BERTScore", "Best cosine of each token of the answer in the reference.", "Zhang et al. 2020"),
    _figure("bertscore_recall", "BERTScore recall", "cosine", "higher", "BERTScore", "Best cosine of each token of the reference in the answer.", "Zhang et al. 2020"),
    _figure("bertscore_f1", "BERTScore F1", "cosine", "higher", "BERTScore", "Harmonic mean of BERTScore's precision and recall.", "Zhang et al. 2020"),
    _figure("keyword_coverage", "keywords used", "share", "higher", "KeywordCoverage", "The share of a source's words that the answer uses, any word of their stem.", "stems of the source in the answer / stems of the source (Lin et al. 2020)"),
    _figure("valid_python", "valid Python", "share", "higher", "ValidPython", "The share of answers that Python can parse.", "answers that ast.parse takes / answers"),
    _figure("accuracy", "accuracy", "share", "higher", "Classification", "How often the likeliest label is the right one.", "right labels / texts"),
    _figure("balanced_accuracy", "balanced accuracy", "share", "higher", "Classification", "The mean over labels of the share of their texts that is told right, so that rare labels count as much.", "mean recall"),
    _figure("macro_precision", "macro precision", "share", "higher", "Classification", "The mean over labels of how often a label, where it is said, is right.", "mean precision"),
    _figure("macro_f1", "macro F1", "share", "higher", "Classification", "The mean over labels of the harmonic mean of precision and recall.", "mean of 2PR / (P + R)"),
    _figure("log_loss", "log loss", "nats/text", "lower", "Classification", "How surprising the right label is to the model.", "-log p(label | text), mean over texts"),
    _figure("brier", "Brier score", "", "lower", "Classification", "The squared distance of the probabilities from the right label.", "Brier 1950"),
    _figure("calibration_error", "calibration error", "share", "lower", "Classification", "How far the model's confidence is from how often it is right.", "Guo et al. 2017"),
    _figure("samples_cut", "cut samples", "share", "none", "cost", "The share of samples that max_len ended, and not the model.", "samples without an end / samples", cost=True),
    _figure("train_core_seconds", "training core seconds", "seconds", "none", "cost", "Processor time of training, of all its threads and processes: what a busy machine does not move; of init= with that of the run that it began with.", "measured", cost=True, axis="lower"),
    _figure("likelihood_gap", "likelihood gap", "nats/text", "none", "CounterfactualGap", "How much likelier a text is with the first word of a pair than with the second, all else equal; 0 where the model does not care.", "mean of log p(first) - log p(second) over pairs and templates"),
    _figure("preferred", "first preferred", "share", "none", "CounterfactualGap", "The share of counterfactual pairs whose first text is the likelier; a half where the model does not care.", "Nangia et al. 2020"),
    _figure("surprise", "surprise under", "", "none", "Robustness", "Nats of perturbed held-out text over those of the text itself; 1 where the model does not notice.", "sum -log p(perturbed) / sum -log p(text)", axis="lower"),
    _figure("answer_chrf", "chrF of answers", "%", "higher", "AnswerRobustness", "How many runs of characters greedy answers share with their references, source by source.", "sentence chrF, mean"),
    _figure("answer_change", "change of chrF under", "%", "none", "AnswerRobustness", "Points of chrF that greedy answers gain where their sources are perturbed; below 0 they are worse.", "chrF(answer to perturbed source) - chrF(answer), mean over pairs", axis="higher"),
    _figure("longest_copy", "longest copy", "words", "none", "Extraction", "The words of the longest span of any sample that stands in one training text.", "longest common span"),
    _figure("extracted", "extracted", "share", "human", "Extraction", "The share of samples that hold a long span of one training text word for word.", "samples with a span of `least` words / samples", axis="lower", unseen=True),
    _figure("exposure", "exposure of secrets repeated", "bits", "lower", "Exposure", "How far a secret planted so often in train is likelier than others of its kind; 1.44 bits on average where nothing was learned.", "log2 candidates - log2 rank (Carlini et al. 2019)"),
    _figure("flagged", "flagged", "share", "human", "Flagged", "The share of samples that a classifier, a list of words or a pattern flags.", "flagged samples / samples", axis="lower"),
    _figure("flagged_references", "human flagged", "share", "none", "Flagged", "The share of held-out texts that the same flags.", "flagged references / references"),
    _figure("attacked_accuracy", "accuracy under swaps", "share", "higher", "SwapAttack", "How often the right label is the likeliest after a few words were swapped to mislead the model.", "greedy random swaps (Alzantot et al. 2018)"),
    _figure("unattacked_accuracy", "accuracy before swaps", "share", "higher", "SwapAttack", "How often it was before, on the same texts.", "right labels / texts"),
    _figure("attacked_critic", "critic under swaps", "share", "higher", "CriticAttack", "How often the GAN's critic tells people's texts from samples after a few words were swapped to mislead it.", "greedy random swaps (Alzantot et al. 2018)"),
    _figure("critic_accuracy", "critic before swaps", "share", "higher", "CriticAttack", "How often it did before, on the same texts.", "right sides / texts"),
    _figure("train_seconds", "training seconds", "seconds", "none", "cost", "Wall-clock seconds of training on the machine that the record names; of init= with those of the run that it began with.", "measured", cost=True, axis="lower"),
    _figure("kept_round", "round shown", "rounds", "none", "cost", "The round of an adversarial training whose weights the row shows; 0: those that it began with.", "counted", cost=True),
    _figure("collapsed", "collapsed", "yes or no", "none", "cost", "1 where the last validation of an adversarial training found too few different bigrams.", "train.game.collapse", cost=True),
    _figure("train_tokens", "training tokens", "tokens", "none", "cost", "Tokens that training read; of init= with those of the run that it began with.", "counted", cost=True, axis="lower"),
    _figure("train_flops", "training FLOPs", "FLOPs", "none", "cost", "Floating-point operations of training, a backward pass counted as two forward passes; of games nobody counts them; of init= with those of the run that it began with.", "counted from the architecture and the tokens read", cost=True, axis="lower"),
    _figure("parameters", "parameters", "numbers", "none", "cost", "Numbers that the model holds.", "counted", cost=True, axis="lower"),
    _figure("peak_bytes", "peak memory", "bytes", "none", "cost", "The most memory that the process held.", "measured", cost=True, axis="lower"),
    _figure("sample_seconds", "sampling seconds", "seconds", "none", "cost", "Wall-clock seconds of drawing the samples.", "measured", cost=True, axis="lower"),
    _figure("sample_tokens", "sampled tokens", "tokens", "none", "cost", "Tokens of the samples, EOS counted.", "counted", cost=True),
    _figure("draws_per_text", "draws a text", "texts", "none", "cost", "Texts that were drawn for each text that is given.", "counted", cost=True, axis="lower"),
    _figure("judge_seconds", "judging seconds", "seconds", "none", "cost", "Wall-clock seconds of all metrics.", "measured", cost=True, axis="lower"),
    _figure("flops_per_token", "FLOPs a token", "FLOPs", "none", "cost", "Floating-point operations of scoring one token.", "counted from the architecture", cost=True, axis="lower"),
)  # fmt: skip
COLUMNS = {figure.name: figure for figure in FIGURES}
_NUMBERED = re.compile(r"(.+?)(\d+|L)$")  # bleu4, distinct2, rougeL: one entry for all orders
PEERS = {  # whose BLEU and Self-BLEU eval=peers computes, and what differs from all samples against all references
    "texygen": ("Texygen", "against the first 500 references, of the first 500 samples in Self-BLEU"),
    "textgan": ("TextGAN-PyTorch", "of 200 samples, in Self-BLEU against as many fresh ones"),
    "relgan": ("RelGAN", "of 100 samples; in Self-BLEU of 200, each among its own references, so that it is always 1"),
    "leakgan": ("LeakGAN", "of 2,000 samples, orders without a match skipped"),
    "taylorgan": (
        "TaylorGAN",
        "a count of none taken as a small one; in Self-BLEU one half of the samples against the other",
    ),
}
ORDERS = ("bleu", "selfbleu", "distinct", "entropy", "novelty", "msj", "ngram_js", "ngram_kl", "ngram_reverse_kl")

# What a board shows where nobody asks for more, the most telling first.
_SAFETY = (  # eval=safety, on a board of any task
    *("flagged", "exposure:64", "extracted", "preferred:gender", "surprise:typos", "answer_change:typos"),
    *("attacked_accuracy", "attacked_critic", "longest_copy"),
)
_SHOWN = {
    "unconditional": (
        *(
            "bits_per_char",
            "unknown_share",
            "cut_share",
            "samples_cut",
            "bleu4",
            "selfbleu4",
            "h_pq",
            "h_qp",
            "grammatical",
        ),
        *("train_seconds", "h_qp_matched", "word_ppl", "distinct2", "novelty4", "kl_pq", "kl_qp"),
        "agreement:attractor",
    ),
    "conditional": (
        *(
            "sacrebleu",
            "chrf",
            "bits_per_char",
            "unknown_share",
            "cut_share",
            "samples_cut",
            "train_seconds",
            "rougeL",
            "meteor",
        ),
        *("ter", "rouge1", "rouge2"),
        *("bertscore_f1", "exact_match", "token_f1", "distinct2"),
    ),
    "translation": (
        *("sacrebleu", "chrf", "ter", "bertscore_f1", "meteor", "bits_per_char", "train_seconds"),
        *("unknown_share", "cut_share", "exact_match"),
    ),
    "summarisation": (
        *("rouge1", "rouge2", "rougeL", "bertscore_f1", "meteor", "bits_per_char", "train_seconds"),
        *("unknown_share", "cut_share", "chrf"),
    ),
    "question_answering": (
        *("exact_match", "token_f1", "rougeL", "bertscore_f1", "bits_per_char", "train_seconds"),
        *("unknown_share", "cut_share"),
    ),
    "dialogue": (
        *("sacrebleu", "rougeL", "meteor", "bertscore_f1", "distinct2", "bits_per_char", "train_seconds"),
        *("unknown_share", "cut_share", "distinct1", "exact_match"),
    ),
    "completion": (
        *("rougeL", "meteor", "bertscore_f1", "exact_match", "selfbleu4", "distinct2", "bits_per_char"),
        *("train_seconds", "unknown_share", "cut_share", "sacrebleu"),
    ),
    "poetry": (
        *("chrf", "sacrebleu", "rougeL", "selfbleu4", "distinct2", "bits_per_char", "train_seconds"),
        *("unknown_share", "cut_share", "bertscore_f1", "novelty4"),
    ),
    "keywords": (
        *("keyword_coverage", "rougeL", "meteor", "bertscore_f1", "sacrebleu", "distinct2", "bits_per_char"),
        *("train_seconds", "unknown_share", "cut_share"),
    ),
    "code": (
        *("exact_match", "valid_python", "sacrebleu", "chrf", "token_f1", "bits_per_char", "train_seconds"),
        *("unknown_share", "cut_share"),
    ),
    "classification": (
        *("accuracy", "macro_f1", "log_loss", "calibration_error", "balanced_accuracy", "macro_precision", "brier"),
        "train_seconds",
    ),
}
SHOWN = {track: (*shown, *_SAFETY) for track, shown in _SHOWN.items()}


def column(name: str, value: Value | None = None) -> Column:
    """What the figure of this name is; of one that stands in no list, what its value says.

    Example:
        >>> column("novelty3").title
        'novelty of 3-grams'
    """
    if name in COLUMNS:
        return COLUMNS[name]
    found = _NUMBERED.fullmatch(name)
    if found and found[1] in ORDERS:
        return _ordered(COLUMNS[found[1]], name, found[2])
    if found and found[1] == "rouge":
        return replace(COLUMNS["rouge"], name=name, title=f"ROUGE-{found[2]}")
    peer = name.partition("_")[0]
    if peer in PEERS and found and found[1] in (f"{peer}_bleu", f"{peer}_selfbleu"):
        own = _ordered(COLUMNS[found[1].partition("_")[2]], name, found[2])
        code, differs = PEERS[peer]
        return replace(
            own, title=f"{own.title}, {code}'s way", meaning=f"{own.meaning} As {code}'s code has it: {differs}."
        )
    if name.startswith("c2st_"):
        kind = name.removeprefix("c2st_")
        return replace(COLUMNS["c2st"], name=name, title=f"told apart by {kind}")
    if name.startswith("reverse_lm_score") or name.startswith("lm_score"):
        base = "reverse_lm_score" if name.startswith("reverse") else "lm_score"
        return replace(COLUMNS[base], name=name, title=f"{COLUMNS[base].title} {name.removeprefix(base).strip('_')}")
    figure, _, label = name.partition(":")
    if label and figure in ("recall", "precision", "f1"):
        meaning = f"The {figure.replace('f1', 'F1')} of the label {label!r}."
        return Column(name, f"{figure} of {label}", "share", meaning, "higher", "Classification", "per label", "higher")
    if label and figure in COLUMNS:
        return replace(COLUMNS[figure], name=name, title=f"{COLUMNS[figure].title} {label.replace('_', ' ')}")
    directions: dict[bool | None, Literal["higher", "lower"]] = {True: "higher", False: "lower"}
    better = directions.get(value.higher_is_better if value else None)
    unit = value.unit if value else ""
    return Column(
        name,
        name.replace("_", " "),
        unit,
        "A figure that gentext does not define.",
        better or "none",
        "",
        "",
        better or "",
    )


def _ordered(base: Column, name: str, order: str) -> Column:
    words = {"bleu": f"BLEU-{order}", "selfbleu": f"Self-BLEU-{order}", "distinct": f"distinct-{order}"}
    title = words.get(base.name, f"{base.title} of {order}-grams")
    return replace(base, name=name, title=title)


def known(names: Iterable[str], wanted: str) -> str:
    """Advice for a figure that nothing holds: those of a similar name, or all."""
    among = sorted(set(names))
    close = get_close_matches(wanted, among, n=3)
    if close:
        return f"Did you mean {', '.join(close)}?"
    return f"Known: {', '.join(name for name in among if '/' not in name)}"
