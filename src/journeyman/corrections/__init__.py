"""Episodes → Episodes: choosing among demonstrations, and (later) mending what cloning breaks."""

from journeyman.corrections._curation import hold_out as hold_out
from journeyman.corrections._curation import thin as thin
