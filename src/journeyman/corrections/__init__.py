"""Episodes → Episodes: choosing among demonstrations, and mending what cloning breaks."""

from journeyman.corrections._corrective import Corrected as Corrected
from journeyman.corrections._corrective import corrective_labels as corrective_labels
from journeyman.corrections._curation import demonstrated as demonstrated
from journeyman.corrections._curation import hold_out as hold_out
from journeyman.corrections._curation import lacks_steps as lacks_steps
from journeyman.corrections._curation import repeated as repeated
from journeyman.corrections._curation import thin as thin
from journeyman.corrections._dynamics import AbstractDynamics as AbstractDynamics
from journeyman.corrections._dynamics import AbstractPureDynamics as AbstractPureDynamics
from journeyman.corrections._dynamics import Candidates as Candidates
from journeyman.corrections._dynamics import Doubt as Doubt
from journeyman.corrections._dynamics import Scales as Scales
from journeyman.corrections._dynamics import Transitions as Transitions
from journeyman.corrections._dynamics import TrueDynamics as TrueDynamics
from journeyman.corrections._dynamics import in_chunks as in_chunks
from journeyman.corrections._methods import AbstractLabelling as AbstractLabelling
from journeyman.corrections._methods import BackTrack as BackTrack
from journeyman.corrections._methods import DisturbedAction as DisturbedAction
from journeyman.corrections._methods import RootFinding as RootFinding
from journeyman.corrections._methods import Steered as Steered
from journeyman.corrections._mujoco_dynamics import MujocoDynamics as MujocoDynamics
from journeyman.corrections._noise import noisy as noisy
from journeyman.corrections._regions import AbstractRegion as AbstractRegion
from journeyman.corrections._regions import HandSetRadius as HandSetRadius
from journeyman.corrections._regions import TrustRegion as TrustRegion
from journeyman.corrections._report import LabelReport as LabelReport
