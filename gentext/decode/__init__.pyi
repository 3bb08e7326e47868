from .ancestral import Ancestral as Ancestral
from .beam import Beam as Beam
from .candidates import Rerank as Rerank
from .candidates import Resample as Resample
from .consensus import Consensus as Consensus
from .contrastive import Contrastive as Contrastive
from .refine import Refine as Refine
from .reject import Reject as Reject
