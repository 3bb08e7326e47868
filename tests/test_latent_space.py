"""A VAE's latent space in texts."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_model
from train import tiny

from gentext import config, panels
from gentext.cli import main
from gentext.decode import Beam
from gentext.language_model import SupportsPanels
from gentext.latent_space import LatentSpace
from gentext.models.lstm import LSTM
from gentext.models.vae.encoders import TransformerEncoder
from gentext.models.vae.model import VAE
from gentext.models.vae.posteriors import between


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny.corpus(tmp_path_factory.mktemp("animals"))


def make(corpus, **options) -> VAE:
    torch.manual_seed(0)
    v = corpus.tokenizer.vocab_size
    vae = VAE(TransformerEncoder(v, heads=2, width=16), LSTM(v, layers=1, width=16), latent=4, **options)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.normal_(std=0.5)
    return vae.eval()


@pytest.fixture(scope="module")
def space(corpus):
    return LatentSpace(make(corpus), corpus.tokenizer, 30)


def test_a_way_begins_and_ends_where_its_texts_lie():
    one, other = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    line = between(one, other, 5, "line")
    assert torch.allclose(line[2], torch.tensor([1.0, 2.0]))
    sphere = between(one, other, 5, "sphere")
    assert torch.allclose(sphere.norm(dim=1), torch.linspace(2, 4, 5), atol=1e-5)
    cosines = (sphere[1:] * sphere[:-1]).sum(1) / (sphere[1:].norm(dim=1) * sphere[:-1].norm(dim=1))
    assert torch.allclose(cosines, cosines[:1].expand(4), atol=1e-5)
    for way in (line, sphere, between(one, 2 * one, 3, "sphere")):
        assert torch.allclose(way[0], one, atol=1e-5)
    with pytest.raises(ValueError, match="line or sphere"):
        between(one, other, 3, "arc")


def test_interpolation_goes_from_one_reconstruction_to_the_other(space):
    one, other = "the cat sees 3 dogs", "the old horse sees 20 dogs"
    texts = space.interpolate(one, other, steps=5)
    assert len(texts) == 5
    assert [texts[0], texts[-1]] == space.reconstruct([one, other])
    assert space.interpolate(one, other, steps=3, path="sphere") != []


def test_a_decoder_may_be_named_and_no_texts_give_none(space):
    texts = ["the cat sees 3 dogs", "the bird sees 4 dogs"]
    assert space.reconstruct(texts, decoder="beam", width=1) == space.reconstruct(texts)
    assert space.reconstruct(texts, decoder=Beam(width=2, ban_unk=True)) == space.reconstruct(
        texts, decoder="beam", width=2
    )
    assert space.reconstruct([]) == []


def test_an_analogy_of_nothing_gives_the_text_back(space):
    one, third = "the cat sees 3 dogs", "the bird sees 4 dogs"
    assert space.analogy(one, one, third) == space.reconstruct([third])[0]


def test_an_analogy_lies_on_the_sphere_where_the_posterior_does(corpus, monkeypatch):
    space, places = LatentSpace(make(corpus, posterior="vmf"), corpus.tokenizer, 30), []
    monkeypatch.setattr(LatentSpace, "write", lambda self, z, **how: places.append(z) or ["a"])
    space.analogy("the cat sees 3 dogs", "the old horse sees 20 dogs", "the bird sees 4 dogs")
    assert float(places[0].norm()) == pytest.approx(1, abs=1e-5)


def test_the_nearest_neighbour_of_a_text_is_itself(space, corpus):
    found = space.neighbours("the bird sees 7 dogs", corpus.lines("train"), n=4)
    assert len(found) == 4
    distances = [distance for _, distance in found]
    assert distances == sorted(distances)
    if "the bird sees 7 dogs" in list(corpus.lines("train")):
        assert found[0] == ("the bird sees 7 dogs", pytest.approx(0, abs=1e-4))


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (lambda space: space.interpolate("", "the cat"), "empty sentence"),
        (lambda space: space.interpolate("the cat", "a dog", steps=1), "2 or more"),
        (lambda space: space.neighbours("the cat", []), "one or more"),
        (lambda space: space.neighbours("the cat", ["a dog"], -1), "1 or more"),
    ],
)
def test_what_has_no_place_is_answered_with_advice(space, ask, advice):
    with pytest.raises(ValueError, match=advice):
        ask(space)


@pytest.mark.parametrize("options", [{}, {"posterior": "vmf", "concentration": 5.0}])
def test_its_panels_are_a_map_a_way_and_a_traversal(corpus, options):
    vae = make(corpus, **options)
    assert isinstance(vae, SupportsPanels)
    with torch.no_grad():
        places, way, traversal = vae.panels(corpus, torch.Generator().manual_seed(0))
    assert isinstance(places, panels.Points)
    assert len(places.x) == corpus.size("valid")
    assert [row[0] for row in way.rows][1:-1] == ["0.00", "0.17", "0.33", "0.50", "0.67", "0.83", "1.00"]
    assert {row[1] for row in traversal.rows} == {"-2", "-1", "+0", "+1", "+2"}
    assert panels.plain([places, way, traversal])


def test_the_command_line_walks_through_a_trained_runs_space(corpus, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "text.txt"
    text.write_text("\n".join(corpus.lines("train")), encoding="utf-8")
    cfg = config.compose(["family=vae", "data=text", f"data.path={text}", "tokenizer=char", "max_len=30"])
    cfg.vocab_size = corpus.tokenizer.vocab_size
    cfg.family.encoder.width = cfg.family.decoder.width = 8
    OmegaConf.save(cfg, tmp_path / "config.yaml", resolve=True)
    corpus.tokenizer.save(tmp_path / "tokenizer.json")
    save_model(config.build(cfg.family), str(tmp_path / "model.safetensors"))
    (tmp_path / "trained.json").write_text("{}")

    def said(*words: str) -> list[str]:
        assert main(["sample", str(tmp_path), *words]) == 0
        return capsys.readouterr().out.splitlines()

    cat, bird = "the cat sees 3 dogs", "the bird sees 4 dogs"
    way = said("--interpolate", cat, bird, "--steps", "3")
    assert len(way) == 3
    assert way[0] == said("--reconstruct", cat)[0]
    assert way[-1] == said("--analogy", cat, cat, bird)[0]
    assert len(said("--neighbours", cat, "-n", "4")) == 4
    assert main(["inspect", str(tmp_path), "--text", "the cat sees Ω dogs"]) == 0
    assert "Nearest in latent space" in capsys.readouterr().out
    assert caplog.text.count("read as unknown") == 1
    assert len(said("--interpolate", cat, bird, "temperature=0.7", "batch_size=3")) == 7
    assert len(said("--interpolate", cat, bird, "--steps", "60", "--decode", "beam", "width=10")) == 60
    for words, advice in (
        (("--reconstruct", cat, "--prompt", "a", "--stop", "b"), "no use for --prompt, --stop"),
        (("--analogy", cat, cat, bird, "--length", "3"), "no use for --length"),
        (("--reconstruct", cat, "-n", "3"), "no use for -n"),
        (("--reconstruct", cat, "--steps", "3"), "add --interpolate"),
        (("--path", "line"), "add --interpolate"),
        (("--neighbours", cat, "temperature=0.7"), "no use for temperature"),
        (("--neighbours", cat, "--decode", "beam"), "no use for --decode"),
        (("--neighbours", cat, "-n", "-1"), "1 or more"),
        (("-n", "0"), "1 or more"),
    ):
        assert main(["sample", str(tmp_path), *words]) == 2
        assert advice in capsys.readouterr().err
    assert main(["sample", str(tmp_path), "--interpolate", "", bird]) == 2
    assert "empty sentence" in capsys.readouterr().err
