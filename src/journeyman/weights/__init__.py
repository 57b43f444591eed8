"""Which data is good: Episodes → w."""

from journeyman.weights._advantages import advantages as advantages
from journeyman.weights._advantages import full_returns as full_returns
from journeyman.weights._baselines import AbstractBaseline as AbstractBaseline
from journeyman.weights._baselines import ConstantBaseline as ConstantBaseline
from journeyman.weights._baselines import LeaveOneOutBaseline as LeaveOneOutBaseline
from journeyman.weights._baselines import NoBaseline as NoBaseline
from journeyman.weights._baselines import TimeVaryingBaseline as TimeVaryingBaseline
from journeyman.weights._pieces import episode_numbers as episode_numbers
from journeyman.weights._pieces import episode_starts as episode_starts
from journeyman.weights._pieces import observation_times as observation_times
from journeyman.weights._regressions import LinearBaseline as LinearBaseline
from journeyman.weights._regressions import LinearFit as LinearFit
from journeyman.weights._regressions import NetworkBaseline as NetworkBaseline
from journeyman.weights._scaling import AbstractScaling as AbstractScaling
from journeyman.weights._scaling import Centred as Centred
from journeyman.weights._scaling import Standardized as Standardized
from journeyman.weights._scaling import Unscaled as Unscaled
from journeyman.weights._weights import AbstractWeight as AbstractWeight
from journeyman.weights._weights import Advantage as Advantage
from journeyman.weights._weights import Return as Return
from journeyman.weights._weights import RewardToGo as RewardToGo
from journeyman.weights._weights import Uniform as Uniform
from journeyman.weights._weights import Weighed as Weighed
