"""Figures of a lecture, each computed from runs and drawn with its caption and its numbers."""

from journeyman._settings import SetName as SetName
from journeyman.figures._alternatives import alternatives as alternatives
from journeyman.figures._catalogue import IMITATION as IMITATION
from journeyman.figures._catalogue import POLICY_GRADIENT as POLICY_GRADIENT
from journeyman.figures._catalogue import SETS as SETS
from journeyman.figures._catalogue import chosen as chosen
from journeyman.figures._comparison import comparison as comparison
from journeyman.figures._model import Computed as Computed
from journeyman.figures._model import Effort as Effort
from journeyman.figures._model import Figure as Figure
from journeyman.figures._model import FigureSet as FigureSet
from journeyman.figures._style import Style as Style
from journeyman.figures._style import style as style
from journeyman.figures._write import check_target as check_target
from journeyman.figures._write import drawn as drawn
from journeyman.figures._write import write as write
