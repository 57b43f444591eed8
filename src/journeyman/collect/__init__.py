"""World × policy (× expert) → Episodes."""

from journeyman.collect._behaviour import AbstractBehaviour as AbstractBehaviour
from journeyman.collect._behaviour import Demonstrate as Demonstrate
from journeyman.collect._behaviour import Mean as Mean
from journeyman.collect._behaviour import Mixture as Mixture
from journeyman.collect._behaviour import Sample as Sample
from journeyman.collect._behaviour import Told as Told
from journeyman.collect._collection import AbstractCollection as AbstractCollection
from journeyman.collect._collection import Aggregate as Aggregate
from journeyman.collect._collection import OnPolicy as OnPolicy
from journeyman.collect._play import PlayedOut as PlayedOut
from journeyman.collect._play import play as play
from journeyman.collect._play import play_each as play_each
from journeyman.collect._play import play_to_the_end as play_to_the_end
from journeyman.collect._rollout import Carry as Carry
from journeyman.collect._rollout import rollout as rollout
from journeyman.collect._rollout import start as start
from journeyman.collect._stagger import beginning as beginning
from journeyman.collect._stagger import restarted as restarted
