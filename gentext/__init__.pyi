from .trained import TrainedModel as TrainedModel
from .trained import load as load

__version__: str
