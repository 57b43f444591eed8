"""What a file holds beside demonstrations counts in none of their scores."""

import dataclasses
from pathlib import Path

import numpy as np

from journeyman import datasets
from journeyman.corrections import noisy, thin
from journeyman.episodes import POLICY, Episodes, concatenate


def demos() -> Episodes:
    random = np.random.default_rng(0)
    return concatenate(
        [Episodes.episode(random.normal(size=(6, 2)), random.normal(size=(5, 1)), np.full(5, r)) for r in (1.0, 3.0)]
    )


def test_scores_are_those_of_the_demonstrations(tmp_path: Path) -> None:
    played = dataclasses.replace(demos(), source=np.full((2, 5), POLICY, np.int8), reward=np.full((2, 5), -9.0))
    datasets.write(concatenate([noisy(demos()), played]), tmp_path / "mixed.npz")
    datasets.write(demos(), tmp_path / "plain.npz")
    mixed, sentence = datasets.demonstrations(datasets.read(tmp_path / "mixed.npz"))
    plain, silent = datasets.demonstrations(datasets.read(tmp_path / "plain.npz"))
    assert silent == ""
    assert sentence == (
        "2 demonstrations of 10 steps, and beside them 20 steps that no demonstrator made (labels, copies, or what a"
        " policy played); these are learned from and count in no score."
    )
    found, wanted = (datasets.demonstration_score(one) for one in (mixed, plain))
    assert found.sentence == wanted.sentence
    assert found.returns is not None
    assert found.returns.tolist() == [5.0, 15.0]
    for one, other in zip(mixed.episodes.unpack(), plain.episodes.unpack(), strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
    assert len(mixed.actions) == 2


def test_what_thinned_episodes_earned_is_not_known() -> None:
    """The rewards of the steps that were kept are no return."""
    found = datasets.demonstration_score(thin(demos(), steps_per_episode=2))
    assert (found.returns, found.how) == (None, "unknown")
    assert found.sentence == (
        "The demonstrations' own score is unknown: 2 of 2 episodes lack steps, and with them rewards."
    )
