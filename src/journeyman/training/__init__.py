"""Learner, fit, improve; the run folder, its checkpoints and its progress."""

from journeyman.training._compiled import compile_cache as compile_cache
from journeyman.training._fit import Trained as Trained
from journeyman.training._fit import fit as fit
from journeyman.training._folder import check_folder as check_folder
from journeyman.training._improve import improve as improve
from journeyman.training._improve import world_problems as world_problems
from journeyman.training._learner import Learner as Learner
from journeyman.training._learner import regress as regress
from journeyman.training._loop import EVALUATION_SEED as EVALUATION_SEED
from journeyman.training._metrics import read_metrics as read_metrics
from journeyman.training._plan import Plan as Plan
from journeyman.training._progress import Interrupted as Interrupted
from journeyman.training._recorder import Recorder as Recorder
from journeyman.training._run import Run as Run
from journeyman.training._run import begun as begun
from journeyman.training._run import check_links as check_links
from journeyman.training._run import read_record as read_record
from journeyman.training._steps import AbstractStep as AbstractStep
from journeyman.training._steps import Adam as Adam
from journeyman.training._steps import KLRadius as KLRadius
from journeyman.training._steps import LineSearch as LineSearch
from journeyman.training._steps import Optax as Optax
from journeyman.training._steps import Trial as Trial
from journeyman.training._sweep import Swept as Swept
from journeyman.training._sweep import sweep as sweep
