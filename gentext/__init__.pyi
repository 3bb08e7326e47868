from .api import board as board
from .api import compare as compare
from .api import frontier as frontier
from .api import rescore as rescore
from .api import run as run
from .api import score as score
from .api import write_report as write_report
from .trained import TrainedModel as TrainedModel
from .trained import load as load

__version__: str
