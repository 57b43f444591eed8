"""Who can label: a policy, dynamic programming, a planner, and the experts that come with the package."""

from journeyman.experts._base import AbstractExpert as AbstractExpert
from journeyman.experts._base import PolicyExpert as PolicyExpert
from journeyman.experts._base import shipped as shipped
from journeyman.experts._dynamic_programming import Solution as Solution
from journeyman.experts._dynamic_programming import TabularExpert as TabularExpert
from journeyman.experts._dynamic_programming import backward_induction as backward_induction
from journeyman.experts._dynamic_programming import policy_iteration as policy_iteration
from journeyman.experts._dynamic_programming import value_iteration as value_iteration
from journeyman.experts._exact import ChainExpert as ChainExpert
from journeyman.experts._exact import RidgeExpert as RidgeExpert
from journeyman.experts._exact import exact as exact
from journeyman.experts._ilqr import ILQR as ILQR
from journeyman.experts._linear_quadratic import LinearRegulator as LinearRegulator
from journeyman.experts._planner import AbstractPlanner as AbstractPlanner
from journeyman.experts._planner import Planned as Planned
from journeyman.experts._sampling import CEM as CEM
from journeyman.experts._sampling import MPPI as MPPI
