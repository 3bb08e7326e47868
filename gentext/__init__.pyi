from .api import bench as bench
from .api import board as board
from .api import check_report as check_report
from .api import compare as compare
from .api import describe_data as describe_data
from .api import explain as explain
from .api import export_model as export_model
from .api import fetch_data as fetch_data
from .api import frontier as frontier
from .api import inspect as inspect
from .api import options as options
from .api import records as records
from .api import rescore as rescore
from .api import run as run
from .api import score as score
from .api import score_text as score_text
from .api import training_corpus as training_corpus
from .api import tune as tune
from .api import update_report as update_report
from .api import write_report as write_report
from .cli.run import sweep as sweep
from .trained import TrainedModel as TrainedModel
from .trained import load as load

__version__: str
