"""Is it right, and if not, why: scores with intervals, and how errors grow inside an episode."""

from journeyman.diagnose._by_horizon import CostByHorizon as CostByHorizon
from journeyman.diagnose._by_horizon import cost_by_horizon as cost_by_horizon
from journeyman.diagnose._by_step import ByStep as ByStep
from journeyman.diagnose._compounding import Compounding as Compounding
from journeyman.diagnose._compounding import compounding as compounding
from journeyman.diagnose._dip import dip as dip
from journeyman.diagnose._dip import dip_p_value as dip_p_value
from journeyman.diagnose._evaluate import Evaluation as Evaluation
from journeyman.diagnose._evaluate import Played as Played
from journeyman.diagnose._evaluate import Score as Score
from journeyman.diagnose._evaluate import evaluate as evaluate
from journeyman.diagnose._gradient import EstimatorQuality as EstimatorQuality
from journeyman.diagnose._gradient import GradientQuality as GradientQuality
from journeyman.diagnose._gradient import gradient as gradient
from journeyman.diagnose._gradient import standard_estimators as standard_estimators
from journeyman.diagnose._interval import Interval as Interval
from journeyman.diagnose._interval import interval as interval
from journeyman.diagnose._interval import share_interval as share_interval
from journeyman.diagnose._modes import ModeAveraging as ModeAveraging
from journeyman.diagnose._modes import TwoWays as TwoWays
from journeyman.diagnose._modes import mode_averaging as mode_averaging
from journeyman.diagnose._step import Along as Along
from journeyman.diagnose._step import StepQuality as StepQuality
from journeyman.diagnose._step import step as step
from journeyman.diagnose._two_gaussians import TwoGaussians as TwoGaussians
from journeyman.diagnose._two_gaussians import two_gaussians as two_gaussians
