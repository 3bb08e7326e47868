from .aggressive import AggressiveEncoder as AggressiveEncoder
from .em import EMTrainer as EMTrainer
from .gradient import GradientTrainer as GradientTrainer
from .progress import Track as Track
from .stages import ResetPart as ResetPart
from .stages import Stages as Stages
