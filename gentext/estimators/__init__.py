"""How a critic's verdict becomes a gradient for the generator."""

from gentext.estimators.gumbel import Gumbel
from gentext.estimators.play import Estimator, Move
from gentext.estimators.reinforce import Reinforce

__all__ = ["Estimator", "Gumbel", "Move", "Reinforce"]
