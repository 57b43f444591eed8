"""Files ⇄ `Episodes`: read demonstrations as people record them, write and read the library's own file."""

from journeyman.datasets._angles import wrapping_columns as wrapping_columns
from journeyman.datasets._npz import Dataset as Dataset
from journeyman.datasets._npz import read as read
from journeyman.datasets._score import DemonstrationScore as DemonstrationScore
from journeyman.datasets._score import demonstration_score as demonstration_score
from journeyman.datasets._streams import write as write
