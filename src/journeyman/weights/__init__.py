"""Which data is good: Episodes → w."""

from journeyman.weights._advantages import advantages as advantages
from journeyman.weights._advantages import full_returns as full_returns
from journeyman.weights._baselines import AbstractBaseline as AbstractBaseline
from journeyman.weights._baselines import ConstantBaseline as ConstantBaseline
from journeyman.weights._baselines import NetworkBaseline as NetworkBaseline
from journeyman.weights._baselines import NoBaseline as NoBaseline
from journeyman.weights._weights import AbstractWeight as AbstractWeight
from journeyman.weights._weights import Advantage as Advantage
from journeyman.weights._weights import Return as Return
from journeyman.weights._weights import RewardToGo as RewardToGo
from journeyman.weights._weights import Uniform as Uniform
from journeyman.weights._weights import Weighed as Weighed
