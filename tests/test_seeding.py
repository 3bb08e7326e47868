import pytest
import torch

from gentext.seeding import Streams


def test_streams_are_named_and_independent():
    one, two = Streams(0), Streams(0)
    two("other")  # a new consumer
    torch.rand(3, generator=two("other"))
    assert torch.equal(torch.rand(5, generator=one("sample")), torch.rand(5, generator=two("sample")))
    assert not torch.equal(torch.rand(5, generator=Streams(1)("sample")), torch.rand(5, generator=Streams(0)("sample")))


def test_streams_resume_where_they_stood():
    streams = Streams(3)
    torch.rand(7, generator=streams("a"))
    state = streams.state_dict()
    ahead = torch.rand(4, generator=streams("a"))
    fresh = Streams(3)
    fresh.load_state_dict(state)
    assert torch.equal(torch.rand(4, generator=fresh("a")), ahead)


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        Streams(-1)
