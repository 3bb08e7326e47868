from .ancestral import Ancestral as Ancestral
from .beam import Beam as Beam
from .contrastive import Contrastive as Contrastive
