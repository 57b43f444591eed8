"""Recipes: each names its parts, and its docstring says the rest."""

from journeyman.algorithms._corrective import ccil as ccil
from journeyman.algorithms._dynamics_model import LearnedDynamics as LearnedDynamics
from journeyman.algorithms._dynamics_model import fit_dynamics as fit_dynamics
from journeyman.algorithms._imitation import bc as bc
from journeyman.algorithms._imitation import dagger as dagger
from journeyman.algorithms._imitation import dart as dart
from journeyman.algorithms._imitation import distill as distill
from journeyman.algorithms._occupancy import airl as airl
from journeyman.algorithms._occupancy import fairl as fairl
from journeyman.algorithms._occupancy import gail as gail
from journeyman.algorithms._occupancy import match_occupancy as match_occupancy
from journeyman.algorithms._policy_gradient import natural_gradient as natural_gradient
from journeyman.algorithms._policy_gradient import ppo as ppo
from journeyman.algorithms._policy_gradient import reinforce as reinforce
from journeyman.algorithms._policy_gradient import trpo as trpo
