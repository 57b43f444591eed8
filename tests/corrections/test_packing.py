"""One long episode among short ones: rows in which episodes follow one another, and nothing downstream that differs."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman import datasets
from journeyman.corrections import _packing, hold_out, thin
from journeyman.corrections._packing import packed
from journeyman.diagnose._by_step import places
from journeyman.episodes import Episodes, concatenate
from journeyman.objectives import Samples

LENGTHS = [3, 300, *([4, 2, 5] * 20)]


def ragged(folder: Path, form: str) -> Path:
    """The last observation of each episode not recorded, as an observation more, or as a successor of each step."""
    random = np.random.default_rng(0)
    parts = [np.cumsum(random.normal(size=(length + 1, 2)), axis=0).astype(np.float32) for length in LENGTHS]
    steps = sum(LENGTHS)
    content = {
        "observation": np.concatenate([part if form == "whole" else part[:-1] for part in parts]),
        "action": random.normal(size=(steps, 1)).astype(np.float32),
        "reward": random.normal(size=steps).astype(np.float32),
        "terminated": np.isin(np.arange(steps), np.cumsum(LENGTHS)[::2] - 1),
        "episode_index": np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        "elapsed": np.concatenate([np.arange(length) + 7 * (length == 5) for length in LENGTHS]),
    }
    if form == "successors":
        content["next_observation"] = np.concatenate([part[1:] for part in parts])
    np.savez(folder / "ragged.npz", **content)
    return folder / "ragged.npz"


def marks(episodes: Episodes) -> list[str]:
    return [one.fingerprint() for one in episodes.unpack()]


@pytest.mark.parametrize("form", ["unknown", "whole", "successors"])
def test_what_is_read_into_few_rows_is_what_has_a_row_an_episode(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ragged(tmp_path, form)
    few = datasets.read(path)
    monkeypatch.setattr(_packing, "ROOM", np.inf)
    many = datasets.read(path)
    assert len(many.episodes.valid) == len(LENGTHS)
    assert len(few.episodes.valid) == 3, "3 steps and 300 do not fit into one, and order is kept"
    assert marks(few.episodes) == marks(many.episodes)
    assert len(marks(few.episodes)) == len(LENGTHS)
    assert few.notes == many.notes
    np.testing.assert_array_equal(few.returns, many.returns)
    assert few.fingerprint == datasets.read(datasets.write(few.episodes, tmp_path / "own.npz")).fingerprint


def test_nothing_downstream_tells_the_two_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ragged(tmp_path, "whole")
    few = datasets.read(path).episodes
    for part in hold_out(few, 0.5):
        assert part.valid.size <= 4 * part.num_steps, "one of them holds the long one"
    taken = [*hold_out(few, 0.3, seed=1), thin(few, episodes=20, seed=2), thin(few, steps_per_episode=3)]
    with monkeypatch.context() as patch:
        patch.setattr(_packing, "ROOM", np.inf)
        many = datasets.read(path).episodes
        plain = [*hold_out(many, 0.3, seed=1), thin(many, episodes=20, seed=2), thin(many, steps_per_episode=3)]
    for one, other in zip(taken, plain, strict=True):
        assert marks(one) == marks(other)
    np.testing.assert_array_equal(few.episode_returns(0.9), many.episode_returns(0.9))
    assert few.distinct_starts() == many.distinct_starts()
    for one, other in zip(places(few), places(many), strict=True):
        np.testing.assert_array_equal(one, other)
    first, second = (Samples.of(one, jnp.asarray(one.discounted_returns(0.9))) for one in (few, many))
    there, everywhere = (np.asarray(one.valid) > 0 for one in (first, second))
    names = ("observation", "target", "weight", "episode", "elapsed")
    for name in names:
        np.testing.assert_array_equal(getattr(first, name)[there], getattr(second, name)[everywhere])
    assert first.steps_per_episode == second.steps_per_episode
    assert datasets.wrapping_columns(few) == datasets.wrapping_columns(many)
    own = [datasets.lint(datasets.write(one, tmp_path / name)) for one, name in ((few, "few.h5"), (many, "many.h5"))]
    np.testing.assert_array_equal(own[0].lengths, own[1].lengths)
    assert own[0].remarks == own[1].remarks
    tables = [datasets.write(one, tmp_path / name).read_text() for one, name in ((few, "few.csv"), (many, "many.csv"))]
    assert tables[0] == tables[1]


def test_an_episode_that_is_not_closed_has_none_after_it() -> None:
    """The next one could count on where it stops: 0 … 4, a gap of one, then 6 … 8."""

    def episode(start: int, steps: int, *, closed: bool = True) -> Episodes:
        seen = np.arange(steps + 1, dtype=np.float32)[:, None]
        one = Episodes.episode(seen, seen[:-1], truncated=closed)
        return jax.tree.map(np.asarray, Episodes(**{**vars(one), "elapsed": one.elapsed + np.int32(start)}))

    parts = [episode(0, 100), episode(0, 5, closed=False), episode(6, 3), *(episode(0, 2) for _ in range(20))]
    found = packed(parts)
    assert [one.num_steps for one in found.unpack()] == [one.num_steps for one in parts]
    assert marks(found) == marks(concatenate(parts))
    assert len(found.valid) == 3
    assert len(packed(parts[:3]).valid) == 3, "hardly any padding: a row each"
