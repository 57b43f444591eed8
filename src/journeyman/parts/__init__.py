"""What every exchangeable piece of the library shares: declarations, refusals, citations, a config.

A *part* is a small frozen module (a policy, a weight, a geometry, a step, a world ...). It declares what
it `needs` and what it `gives`; `check` holds the declarations of a whole recipe against each other before
anything runs. `describe` turns any part into plain JSON and named arrays, and `rebuild` turns them back:
the policy artefact, a run's `config.json` and its checkpoints are all written through this one pair.
"""

from journeyman._refusals import LAST_SEED as LAST_SEED
from journeyman._refusals import JourneymanError as JourneymanError
from journeyman._refusals import beyond_the_last as beyond_the_last
from journeyman._refusals import counted as counted
from journeyman._refusals import did_you_mean as did_you_mean
from journeyman._refusals import not_whole as not_whole
from journeyman._refusals import refuse as refuse
from journeyman._refusals import require as require
from journeyman._refusals import uncollected as uncollected
from journeyman.parts._kinds import form as form
from journeyman.parts._kinds import shaped as shaped
from journeyman.parts._part import CAPABILITIES as CAPABILITIES
from journeyman.parts._part import OBTAINED as OBTAINED
from journeyman.parts._part import AbstractPart as AbstractPart
from journeyman.parts._part import Number as Number
from journeyman.parts._part import check as check
from journeyman.parts._part import citations as citations
from journeyman.parts._part import describe as describe
from journeyman.parts._part import fingerprint as fingerprint
from journeyman.parts._part import holds as holds
from journeyman.parts._part import matmul as matmul
from journeyman.parts._part import mistaken as mistaken
from journeyman.parts._part import problems as problems
from journeyman.parts._part import rebuild as rebuild
from journeyman.parts._part import walk as walk
