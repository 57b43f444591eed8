"""Files ⇄ `Episodes`: npz, HDF5, CSV, Minari and LASA, read as recorded, written, and looked through for faults."""

from journeyman.datasets._angles import wrapping_columns as wrapping_columns
from journeyman.datasets._checks import Remark as Remark
from journeyman.datasets._demonstrations import demonstrations as demonstrations
from journeyman.datasets._label_files import Request as Request
from journeyman.datasets._label_files import ask_for_labels as ask_for_labels
from journeyman.datasets._labels import Labelled as Labelled
from journeyman.datasets._labels import labelled as labelled
from journeyman.datasets._lint import Lint as Lint
from journeyman.datasets._lint import lint as lint
from journeyman.datasets._read import Dataset as Dataset
from journeyman.datasets._read import read as read
from journeyman.datasets._score import DemonstrationScore as DemonstrationScore
from journeyman.datasets._score import demonstration_score as demonstration_score
from journeyman.datasets._success import demonstration_success as demonstration_success
from journeyman.datasets._survey import Survey as Survey
from journeyman.datasets._table import locate as locate
from journeyman.datasets._write import write as write
