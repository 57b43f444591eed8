"""What can be acted in: EnvPool, Gymnasium, and exact worlds of our own, behind one interface."""

from journeyman.worlds._base import AbstractHostWorld as AbstractHostWorld
from journeyman.worlds._base import AbstractPureWorld as AbstractPureWorld
from journeyman.worlds._base import AbstractWorld as AbstractWorld
from journeyman.worlds._base import HostStep as HostStep
from journeyman.worlds._base import Outcome as Outcome
from journeyman.worlds._base import zeros_like_space as zeros_like_space
from journeyman.worlds._brax import BraxWorld as BraxWorld
from journeyman.worlds._catalogue import list_worlds as list_worlds
from journeyman.worlds._catalogue import world as world
from journeyman.worlds._catalogue import world_config as world_config
from journeyman.worlds._envpool import EnvPoolWorld as EnvPoolWorld
from journeyman.worlds._frames import Frames as Frames
from journeyman.worlds._frames import frames as frames
from journeyman.worlds._geometric_chain import GeometricChain as GeometricChain
from journeyman.worlds._gymnasium import GymnasiumWorld as GymnasiumWorld
from journeyman.worlds._gymnax import GymnaxWorld as GymnaxWorld
from journeyman.worlds._linear_quadratic import LinearQuadratic as LinearQuadratic
from journeyman.worlds._playground import PlaygroundWorld as PlaygroundWorld
from journeyman.worlds._seeds import environment_seeds as environment_seeds
from journeyman.worlds._spaces import AbstractSpace as AbstractSpace
from journeyman.worlds._spaces import Box as Box
from journeyman.worlds._spaces import Discrete as Discrete
from journeyman.worlds._states import Replay as Replay
from journeyman.worlds._states import replay as replay
