"""A trained run, read back from its folder: to draw from, or to serve as a known truth."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, load_model
from torch import Tensor
from yaml import YAMLError

from gentext import config
from gentext.checks import a_list, class_name
from gentext.data.constraints import Conditions
from gentext.data.source import Truth
from gentext.data.tokenizer import Tokenizer
from gentext.decode import Ancestral, Beam, Constrained
from gentext.decode.chunks import join
from gentext.decode.streamed import TextStream, tokens_to
from gentext.evaluation.scoring import log_prob_of_rows
from gentext.files import ANEW, sha256
from gentext.language_model import (
    Decoder,
    Guide,
    LanguageModel,
    SupportsAnswers,
    SupportsCheckpoint,
    SupportsGuiding,
    SupportsInfilling,
    SupportsLatent,
    SupportsPrepare,
)
from gentext.latent_space import LatentSpace
from gentext.results import migrations
from gentext.results.run_folder import kept_weights, stored
from gentext.seeding import Streams
from gentext.types import EOS, Batch, pad

CHECKPOINT = "checkpoint"  # in the header of a file of weights: sha256 of the files that they rest on, by name
SCALE = "@scale"  # ends the name of what the rows of a matrix in 8 bits are multiplied by
LAST = "last"  # the name of the weights that training ended with
log = logging.getLogger("gentext")


@dataclass(frozen=True)
class TrainedModel:
    """A trained run, read back from its folder.

    Example:
        >>> import gentext
        >>> model = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10").load()
        >>> len(model.sample(2, prompt="a", temperature=0.7)), model.family.order
        (2, 5)
    """

    family: LanguageModel
    tokenizer: Tokenizer
    config: DictConfig
    folder: Path
    device: str = "cpu"

    def sample(
        self,
        n: int = 1,
        *,
        prompt: str | None = None,
        infill: str | None = None,
        contains: Sequence[str] = (),
        length: int | None = None,
        forbids: Sequence[str] = (),
        expression: str | None = None,
        guide: Guide | None = None,
        stop: Sequence[str] = (),
        decoder: Decoder | str = "ancestral",
        seed: int = 0,
        stream: Callable[[str], None] | None = None,
        **settings: Any,
    ) -> list[str]:
        """`n` texts, each cut before the first of the strings `stop` that follow the prompt, and the space before it.

        prompt: the beginning of every text; where the run's corpus is of pairs, the source, which no text repeats.
          Of a VAE, z comes from the prior, whatever the prompt is.
        `infill`, `contains`, `length`, `forbids`, `expression`: conditions (gentext.data.constraints) on what follows a
          prompt. An HMM draws from its exact distribution given them; masked diffusion takes one of the first three at
          a time; any other family is led to them token by token, by `guide` (gentext.run_judge.RunGuide: an HMM) or by
          looking ahead alone.
        decoder: an option of conf/decode, which `settings` change (temperature=0.7); or one that is made already. Of a
          beam they are its `n` best, best first, and fewer where it finds no more. An option leaves the unknown word
          out unless ban_unk=False is among the settings; those whose draws are judged do not.
        seed: the first texts of a seed are the same for every `n`.
        stream: is given the one text piece by piece, while it is drawn where the decoder draws token by token.
        """
        if stream is not None and n > 1:
            raise ValueError(f"asked for {n} samples; ask for 1, to stream it")
        a_list(stop=stop)
        if "" in stop:
            raise ValueError("a stop string is empty; give it a character, or leave it out")
        if isinstance(self.family, SupportsAnswers):
            if prompt is None:
                raise ValueError(f"{type(self.family).__name__} answers a source; give one by prompt")
            return self._answered(prompt, n, stop, stream)
        before = [] if prompt is None or self.pairs else self._encoded(prompt)
        start = len(self.tokenizer.decode([before])[0]) if before else 0
        shown = (
            TextStream(self.tokenizer, stream, before, lambda text: _until(text, stop, start), stop) if stream else None
        )
        conditions = {"infill": infill, "contains": contains, "length": length, "forbids": forbids}
        conditions |= {"expression": expression, "guide": guide}
        on_token = shown and shown.add
        draw = self.draw(n, prompt=prompt, decoder=decoder, seed=seed, on_token=on_token, **conditions, **settings)
        texts = self.tokenizer.decode([[*before, *row] for row in draw.tokens.tolist()])
        texts = [_until(text, stop, start) for text in texts]
        if shown is not None:
            shown.end(texts[0])
        return texts

    def _encoded(self, prompt: str) -> list[int]:
        return self.tokenizer.encode([prompt.lower() if self.lowercase else prompt])[0]

    def _answered(self, source: str, n: int, stop: Sequence[str], stream: Callable[[str], None] | None) -> list[str]:
        """The answers of a baseline, which are texts and no tokens."""
        assert isinstance(self.family, SupportsAnswers)
        text = _until(self.family.answer(source), stop, 0)
        if stream is not None:
            stream(text)
        return [text] * n

    def draw(
        self,
        n: int = 1,
        *,
        prompt: str | None = None,
        infill: str | None = None,
        contains: Sequence[str] = (),
        length: int | None = None,
        forbids: Sequence[str] = (),
        expression: str | None = None,
        guide: Guide | None = None,
        decoder: Decoder | str = "ancestral",
        seed: int = 0,
        on_token: Callable[[int], None] | None = None,
        **settings: Any,
    ) -> Batch:
        """`n` texts as tokens, with their prompt; the arguments are those of `sample`.

        on_token: is given each token of one text when it is drawn, where the decoder draws token by token.
        """
        if n < 1:
            raise ValueError(f"asked for {n} samples; ask for 1 or more")
        max_len = int(self.config.max_len)
        made = config.decoder(decoder, settings, max_len=max_len).reading(self.tokenizer)
        given = None
        if prompt is not None:
            ids = self.tokenizer.typed([prompt], lowercase=self.lowercase)[0]
            if not ids:
                raise ValueError("the prompt is empty; leave it out, or give it a word")
            given = pad([[*ids, EOS] if self.pairs else ids]).tokens.to(self.device)
        family = self.family
        conditions = Conditions(infill, contains, length, forbids, expression)
        if self.lowercase:
            conditions = conditions.lower()
        if conditions:
            family, made = self._under(conditions, made, guide, prompt)
        elif guide is not None:
            raise ValueError("a guide was given, and no condition to lead to; give one, such as contains")

        def draw(size: int) -> Batch:
            prompts = None if given is None else given.expand(size, -1)
            return family.sample(size, max_len, decoder=made, rng=rng, prompt=prompts)

        reporting = (
            tokens_to(family, on_token) if on_token is not None and isinstance(made, Ancestral) else nullcontext()
        )
        with torch.inference_mode(), reporting:
            rng = Streams(seed)("sample", self.device)
            if isinstance(made, Beam) and n > 1 and not isinstance(family, SupportsLatent):  # of a VAE they differ in z
                parts = [_best(family, n, max_len, made, rng, given)]
            else:
                parts = [draw(size) for size in _blocks(n)]
        found = join([part.tokens for part in parts], None).rows(slice(0, n))
        return replace(found, prompt=None if given is None else given.expand(len(found), -1))

    def again(self) -> TrainedModel:
        """The same model with weights of its own."""
        return replace(self, family=copy.deepcopy(self.family))

    @property
    def joined_turns(self) -> str | None:
        """What stands between the turns that it was trained to answer; None where it was not trained on dialogues."""
        data = self.config.data
        return data.join if data.get("task") == "dialogue" else None

    @property
    def expects(self) -> str:
        """What a prompt is to it, in a sentence."""
        source = self.config.data.get("source")
        if self.joined_turns is not None:
            return "Say something"
        if isinstance(source, ListConfig):
            return f"Write {self.config.data.join.join(map(str, source))}"
        return f"Write a {source}" if isinstance(source, str) else "Write the beginning of a text"

    def reads(self, prompt: str) -> bool:
        """Whether a prompt leaves it room for a text."""
        return self.family.limit is None or len(self._encoded(prompt)) + 1 < self.family.limit

    @property
    def space(self) -> LatentSpace:
        """Its latent space. Raises ValueError where it has none."""
        if not isinstance(self.family, SupportsLatent):
            raise ValueError(f"{type(self.family).__name__} has no latent space; train family=vae")
        return LatentSpace(self.family, self.tokenizer, int(self.config.max_len), self.lowercase, self.device)

    @property
    def pairs(self) -> bool:
        """Whether each text of the corpus answers a source: its class has them, a column is named, or its beginning."""
        data = self.config.data
        return config.always_pairs(data) or data.get("source") is not None or data.get("prompt") is not None

    @property
    def lowercase(self) -> bool:
        """Whether the corpus was lower-cased before the tokenizer saw it."""
        return bool(self.config.data.get("lowercase"))

    def _under(
        self, conditions: Conditions, decoder: Decoder, guide: Guide | None, prompt: str | None
    ) -> tuple[LanguageModel, Decoder]:
        """The family and the decoder whose draws meet conditions."""
        simple = not conditions.forbids and conditions.expression is None and guide is None
        if isinstance(self.family, SupportsInfilling) and (simple or not isinstance(self.family, SupportsGuiding)):
            if not simple:
                raise ValueError(f"{type(self.family).__name__} takes infill, contains or length alone")
            if prompt is not None:
                raise ValueError("a prompt and a condition were given; begin the infill with the prompt: 'a man ___*'")
            return self.family.given(conditions.patterns(self.tokenizer), int(self.config.max_len)), decoder
        made = Constrained(base=decoder, guide=guide, **vars(conditions))
        return self.family, made.reading(self.tokenizer)


def load(
    folder: str | Path, *, weights: str = LAST, device: str = "cpu", trusted: Collection[str] = ()
) -> TrainedModel:
    """The trained model of a run folder.

    A folder is data: only gentext's own classes are built from it, and those of the modules that you name.

    Args:
        folder: that `gentext run` wrote.
        weights: `last`, those that training ended with; or others that it kept, such as a game's `warmup` and `best`.
        device: where it computes, such as "cuda".
        trusted: modules of your own that its configuration may name, such as `["my_family"]`.

    Raises: ValueError where there is none, where the run kept no such weights, or where it names other code.

    Example:
        >>> import gentext
        >>> done = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> type(load(done.folder).family).__name__
        'NGram'
    """
    folder = Path(folder)
    if not (folder / "trained.json").exists():
        if (folder / "config.yaml").exists():
            raise ValueError(
                f"{folder} is a run that has not trained to its end; give its command again, which goes on"
            )
        near = sorted(str(path.parent) for path in folder.rglob("trained.json")) if folder.is_dir() else []
        more = f", and {len(near) - 3} more" if len(near) > 3 else ""
        own = "Give a folder that `gentext run` wrote"
        hint = f"It holds {', '.join(near[:3])}{more}: name one of them" if near else own
        raise ValueError(f"{folder} holds no trained model: there is no trained.json. {hint}")
    cfg = stored_config(folder)
    family = config.build(cfg.family, trusted=trusted)
    load_weights(family, needed(_place(folder, weights), "model.safetensors"))
    on_device(family, device)
    needed(folder, "tokenizer.rules.json")
    return TrainedModel(family.eval(), Tokenizer.load(needed(folder, "tokenizer.json")), cfg, folder, device)


def _place(folder: Path, weights: str) -> Path:
    """The folder of some weights of a run. Raises: ValueError where it kept none of that name."""
    known = {LAST: folder, **{path.name: path for path in kept_weights(folder)}}
    if weights not in known:
        raise ValueError(f"weights is {weights!r}, and {folder} holds {', '.join(known)}; give weights={LAST}")
    return known[weights]


def on_device(family: LanguageModel, device: str) -> LanguageModel:
    """The family on a device. Raises: ValueError where this machine has no such device."""
    try:
        return family.to(torch.device(device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device is {device!r}, which is not to be had here ({reason}); give cpu") from error


def stored_config(folder: Path) -> DictConfig:
    """The configuration of a run folder. Raises: ValueError, naming the file, where it is missing or damaged."""
    path = needed(folder, "config.yaml")
    try:
        found = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(found, dict) or not found.keys() >= {"family", "data", "max_len"}:
            raise ValueError("it lacks family, data or max_len")
        return OmegaConf.create(migrations.configuration({str(key): value for key, value in found.items()}))
    except (OSError, ValueError, TypeError, KeyError, YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{path} is damaged: it is no configuration of a run ({error}). {ANEW}") from error


def load_weights(family: LanguageModel, path: Path, device: str = "cpu") -> None:
    """Put the weights of a file into a family.

    Raises: ValueError where they are not its own, or damaged, or rest on a checkpoint that is not there as it was.
    """
    try:
        with safe_open(path, "pt") as file:
            scales = [name for name in file.keys() if name.endswith(SCALE)]  # noqa: SIM118, it is no mapping
            files = json.loads((file.metadata() or {}).get(CHECKPOINT, "{}"))
    except (SafetensorError, ValueError, OSError) as error:
        raise _unfit(path, family, error) from error
    if files and isinstance(family, SupportsCheckpoint):
        family.rest_on(files)
    try:
        if not scales:
            load_model(family, path, device=device)
            return
        held = load_file(path, device=device)
        for name in scales:
            scale, codes = held.pop(name), held[name.removesuffix(SCALE)]
            held[name.removesuffix(SCALE)] = codes.float() * scale.view(-1, *[1] * (codes.dim() - 1))
        _take(family, held)
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        raise _unfit(path, family, error) from error


def _unfit(path: Path, family: LanguageModel, error: Exception) -> ValueError:
    return ValueError(f"{path} holds no weights of this {type(family).__name__} ({error}). {ANEW}")


def about_weights(family: LanguageModel) -> dict[str, str] | None:
    """What a file of a family's weights says beside them: sha256 of the files that they rest on."""
    files = family.rests_on() if isinstance(family, SupportsCheckpoint) else {}
    return {CHECKPOINT: json.dumps(files)} if files else None


def _take(family: LanguageModel, held: dict[str, Tensor]) -> None:
    """Load weights, of which those that two modules share are given once. Raises: RuntimeError where one is missing."""
    found = family.load_state_dict(held, strict=False)
    own = family.state_dict(keep_vars=True)
    given = {own[name].data_ptr() for name in held if name in own}
    lost = [name for name in found.missing_keys if own[name].data_ptr() not in given]
    if lost or found.unexpected_keys:
        raise RuntimeError(f"missing {lost}, unexpected {found.unexpected_keys}")


@torch.no_grad()
def begin_with(family: LanguageModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Put another run's weights into a family where name and shape fit, and name those that do not.

    Where the two tokenizers differ, what has a row for each token is taken token by token, those spelled alike.

    Raises: ValueError where nothing fits, or where the folder holds no trained run.
    """
    if not (folder / "trained.json").exists():
        raise ValueError(f"init={folder} holds no trained run; give a folder that `gentext run` wrote and finished")
    held = load_file(needed(folder, "model.safetensors"))
    if not held:
        raise ValueError(
            f"init={folder} is a checkpoint that no training changed; begin with it by family=pretrained family.model="
        )
    theirs = Tokenizer.load(needed(folder, "tokenizer.json"))
    rows = None if theirs.sha256 == tokenizer.sha256 else tokenizer.alike(theirs)
    own = family.state_dict(keep_vars=True)
    taken, unfit = set(), []
    for name, value in held.items():
        to = own.get(name)
        if to is None:
            unfit.append(f"{name} (no such weight here)")
        elif rows is not None and value.dim() and len(value) == theirs.vocab_size and len(to) == tokenizer.vocab_size:
            if value.shape[1:] != to.shape[1:]:
                unfit.append(f"{name} ({tuple(value.shape)} for {tuple(to.shape)})")
                continue
            to[rows[0]] = value[rows[1]].to(to)
            taken.add(to.data_ptr())
        elif value.shape != to.shape:
            unfit.append(f"{name} ({tuple(value.shape)} for {tuple(to.shape)})")
        else:
            to.copy_(value)
            taken.add(to.data_ptr())
    if not any(parameter.data_ptr() in taken for parameter in family.parameters()):
        raise ValueError(
            f"init={folder}: none of its weights fits this {type(family).__name__}; {'; '.join(unfit[:3])}"
        )
    if isinstance(family, SupportsPrepare):
        family.begun = all(parameter.data_ptr() in taken for parameter in family.parameters())
    left = [name for name, value in own.items() if value.data_ptr() not in taken]
    if rows is not None:
        log.warning("init: %d of %d tokens are spelled alike, and begin as there", len(rows[0]), tokenizer.vocab_size)
    if unfit:
        log.warning("init: not taken from %s: %s", folder, "; ".join(unfit))
    if left:
        log.warning("init: not in %s, and begun anew: %s", folder, ", ".join(left))
    log.info("init: %d weights begin as those of %s", len(taken), folder)


def needed(folder: Path, name: str) -> Path:
    """The path of a file of a trained run's folder. Raises: ValueError where it is missing or damaged."""
    path = stored(folder, name)
    if path is None:
        raise ValueError(f"{folder / name} is not there, though the run is trained. {ANEW}")
    return path


def _blocks(n: int) -> Iterator[int]:
    """Rows to draw together, whatever more is asked for, until there are `n`: 1, 1, 2, 4, ..."""
    drawn = 0
    while drawn < n:
        yield max(1, drawn)
        drawn += max(1, drawn)


def _best(
    family: LanguageModel, n: int, max_len: int, beam: Beam, rng: torch.Generator, prompt: Int[Tensor, "n p"] | None
) -> Batch:
    """The `n` best hypotheses of one search."""
    if n > beam.width:
        raise ValueError(f"asked for {n} texts of a beam that holds {beam.width}; give width={n} or more, or a lower n")
    prompt = None if prompt is None else prompt[:1]
    best = beam.best(family, 1, family.room(max_len, prompt), rng=rng, prompt=prompt, k=n)
    return best.batch.rows(best.scores[0] > -torch.inf)


def _until(text: str, stop: Sequence[str], start: int) -> str:
    """The text before the first stop string at or after the character `start`, without the space before it."""
    at = min((at for at in (text.find(string, start) for string in stop) if at >= 0), default=None)
    return text if at is None else text[:at].rstrip()


@dataclass(frozen=True)
class Teacher:
    """A trained run whose next-token probabilities a student learns (`family=distilled family.teacher.run=FOLDER`)."""

    run: str | None = None
    trusted: Collection[str] = ()

    def opened(self, tokenizer_sha256: str) -> LanguageModel | None:
        """Its family; None where no run is named. Raises: ValueError where it is of other tokens."""
        if self.run is None:
            return None
        model = load(self.run, trusted=self.trusted)
        if model.tokenizer.sha256 != tokenizer_sha256:
            raise ValueError(
                f"family.teacher.run is {self.run}, whose tokens are others than this corpus's; take the corpus and "
                "the tokenizer of the teacher, or learn from its samples by data=samples"
            )
        if model.family.likelihood == "none" or type(model.family).start is LanguageModel.start:
            raise ValueError(f"family.teacher.run is {class_name(model.family)}, which says no next token")
        return model.family


@dataclass
class FittedTruth(Truth):
    """Any trained run as a known truth (`data=truth data.truth.run=FOLDER`): a Truth whose entropy is estimated.

    trusted: modules of your own that the run may name (`+data.truth.trusted=[my_family]`).

    Example:
        >>> import gentext
        >>> done = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> truth = FittedTruth(str(done.folder))
        >>> truth.log_prob(truth.sample(3, torch.Generator().manual_seed(0))).shape
        (3,)
    """

    run: str
    name: str = ""
    trusted: Collection[str] = ()

    def __post_init__(self) -> None:
        self._model = load(self.run, trusted=self.trusted)
        if self._model.family.likelihood != "exact":
            raise ValueError(
                f"{self.run} is {class_name(self._model.family)}, whose likelihood is "
                f"{self._model.family.likelihood}; a truth needs an exact one, such as family=ngram or family=lstm"
            )
        self.name = self.name or f"truth-{Path(self.run).name}"
        rules = self._model.tokenizer.rules
        if (rules.kind, rules.words) == ("word", "whitespace"):  # else its words are not those of the texts it draws
            self.words = tuple(self._model.tokenizer.vocabulary)
        weights = sha256(Path(self.run) / "model.safetensors")
        identity = f"{weights}/{self._model.tokenizer.sha256}/{self._model.config.max_len}"
        self.digest = hashlib.sha256(identity.encode()).hexdigest()

    def sample(self, n: int, rng: torch.Generator) -> list[str]:
        model = self._model
        with torch.inference_mode():
            draw = model.family.sample(n, int(model.config.max_len), decoder=Ancestral(), rng=rng)
        return model.tokenizer.decode(draw.tokens.tolist())

    def log_prob(self, texts: Sequence[str]) -> np.ndarray:
        rows = [[*ids, EOS] for ids in self._model.tokenizer.encode(list(texts))]
        return log_prob_of_rows(self._model.family, rows).numpy()
