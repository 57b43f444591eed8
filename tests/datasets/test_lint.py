"""Each check finds the fault that is planted for it, says its numbers, and is silent where there is none."""

import itertools
import json
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

from journeyman import datasets
from journeyman.datasets import _column
from journeyman.datasets._survey import survey
from journeyman.episodes import Episodes, concatenate
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractPureWorld, AbstractSpace, AbstractWorld, Box, Discrete

LENGTHS = (40, 25, 60, 33)


def clean(seed: int = 0, lengths: tuple[int, ...] = LENGTHS) -> dict[str, np.ndarray]:
    """Random walks with nothing wrong: T+1 observations an episode, every column different, ends of both kinds."""
    random = np.random.default_rng(seed)
    seen = [np.cumsum(random.normal(size=(length + 1, 3)), axis=0) for length in lengths]
    steps, ends = sum(lengths), np.cumsum(lengths)
    last = np.isin(np.arange(steps), ends - 1)
    odd = np.repeat(np.arange(len(lengths)) % 2, lengths).astype(bool)
    return {
        "observation": np.concatenate(seen).astype(np.float32),
        "action": random.uniform(-1, 1, (steps, 2)).astype(np.float32),
        "reward": random.normal(size=steps).astype(np.float32),
        "terminated": last & odd,
        "truncated": last & ~odd,
    }


class _Spaces(AbstractPureWorld):
    """A world of which only the spaces matter."""

    observation_space: AbstractSpace
    action_space: AbstractSpace
    name: str = "W-v0"
    num_envs: int = 1
    seed: int = 0
    horizon: int | None = None

    def reset(self, key: object) -> None:
        raise NotImplementedError

    step = observe = reset


def linted(content: dict[str, np.ndarray], world: AbstractWorld | None = None) -> datasets.Lint:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demos.npz"
        np.savez(path, **content)
        return datasets.lint(path, world=world)


def told(found: datasets.Lint, check: str) -> list[str]:
    return [remark.sentence for remark in found.remarks if remark.check == check]


def only(found: datasets.Lint, check: str, *, problem: bool) -> str:
    """The one remark there is."""
    assert [(remark.check, remark.problem) for remark in found.remarks] == [(check, problem)], found.remarks
    return found.remarks[0].sentence


def test_a_clean_file_has_nothing_to_say(tmp_path: Path) -> None:
    for seed in range(10):
        assert linted(clean(seed)).remarks == ()
    found = linted(clean())
    np.testing.assert_array_equal(found.lengths, LENGTHS)
    assert found.terminated == 2
    edges = np.concatenate([[0], np.cumsum(LENGTHS)])
    want = [clean()["reward"][a:b].sum(dtype=float) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(found.returns, want, rtol=1e-12)
    assert "wrong: nothing was found." in found.page()
    assert "worth knowing" not in found.page()


def test_the_numbers_of_a_column_are_those_of_the_whole_whatever_the_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    values = random.normal(1e4, [1e-2, 1, 50], size=(1000, 3))
    values[17, 1] = np.nan
    for piece in (24, 24 * 7, 24 * 5000):
        monkeypatch.setattr(_column, "PIECE", piece)
        found = survey("observation", "obs", _column.Held(values))
        np.testing.assert_allclose(found.mean, np.nanmean(values, axis=0), rtol=1e-13)
        np.testing.assert_allclose(found.deviation, np.nanstd(values, axis=0), rtol=1e-7)
        np.testing.assert_array_equal(found.low, np.nanmin(values, axis=0))
        np.testing.assert_array_equal(found.high, np.nanmax(values, axis=0))
        assert found.bad == 1
        assert found.bad_at is not None
        assert found.bad_at[:2] == (17, (1,))


def test_the_remarks_do_not_depend_on_the_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    content = clean()
    content["observation"][:, 2] = np.arange(len(content["observation"])) * 0.3 % (2 * np.pi)
    content["action"][7, 1] = np.inf
    whole = linted(content).remarks
    monkeypatch.setattr(_column, "PIECE", 100)
    assert linted(content).remarks == whole
    assert len(whole) == 2


def test_it_reads_every_format_alike(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs h5py to write HDF5 with")
    content = clean()
    spans = np.cumsum((0, *LENGTHS))
    parts = [
        Episodes.episode(
            content["observation"][a + i : b + i + 1],
            content["action"][a:b],
            content["reward"][a:b],
            terminated=bool(content["terminated"][b - 1]),
        )
        for i, (a, b) in enumerate(itertools.pairwise(spans))
    ]
    demos = concatenate(parts)
    wide = jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), demos)
    flat = linted(content)
    files = [datasets.write(demos, tmp_path / name) for name in ("a.npz", "a.h5", "a.csv", "a-v0")]
    files += [datasets.write(wide, tmp_path / "wide.npz")]
    for path in files:
        found = datasets.lint(path)
        np.testing.assert_array_equal(found.lengths, flat.lengths)
        np.testing.assert_allclose(found.returns, flat.returns, rtol=1e-6)
        assert found.problems == []
        assert {remark.check for remark in found.remarks} <= {"reading"}
        seen = found.surveys[0]
        if path.name != "a.csv":  # which holds the last observation of each episode in another column
            np.testing.assert_allclose(seen.mean, flat.surveys[0].mean, rtol=1e-9)
        np.testing.assert_array_equal(found.surveys[1].low, flat.surveys[1].low)
    stream = datasets.write(parts[0], tmp_path / "single.npz")
    assert datasets.lint(stream).lengths.tolist() == [40]


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.csv", "a-v0"])
def test_targets_and_unknown_rewards_are_told_of_every_format(tmp_path: Path, name: str) -> None:
    pytest.importorskip("h5py", reason="needs h5py to write HDF5 with")
    world, seen = _Spaces(Box.unbounded(2), Discrete(3)), np.random.default_rng(0).normal(size=(5, 2))
    for target, problems in (([0, 1, 2, 7], 1), ([0, 1, 2, 1], 0)):
        shown = Episodes.episode(
            seen.astype(np.float32), np.array([0, 1, 2, 1], np.int32), target=np.array(target, np.int32)
        )
        found = datasets.lint(datasets.write(shown, tmp_path / name, overwrite=True), world=world)
        assert found.returns is None
        assert any("No rewards are recorded" in note for note in found.notes)
        assert any("'target_action' is what is made likelier" in note for note in found.notes) == bool(problems)
        assert [problem[:26] for problem in found.problems] == ["'target_action' is 7 at ro"] * problems


@pytest.mark.parametrize("build", [lambda a: {"arm": a, "grip": a}, lambda a: (a, a)], ids=["dictionary", "tuple"])
def test_actions_of_an_own_file_that_are_not_one_array_are_refused(tmp_path: Path, build) -> None:
    shown = Episodes.episode(np.ones((4, 2), np.float32), build(np.ones((3, 1), np.float32)))
    with pytest.raises(JourneymanError, match="'action' is a dictionary or a tuple, and one array of actions can be"):
        datasets.lint(datasets.write(shown, tmp_path / "mine.npz"))


def test_an_own_file_that_was_changed_is_told(tmp_path: Path) -> None:
    demos = concatenate([Episodes.episode({"a": np.ones((4, 2), np.float32)}, np.ones((3, 1), np.float32))])
    path = datasets.write(demos, tmp_path / "mine.npz")
    assert datasets.lint(path).problems == []
    with np.load(path) as file:
        content = dict(file)
    content["action"][0, 1] += 1
    np.savez(path, **content)
    (sentence,) = datasets.lint(path).problems
    assert "it was changed after it was written" in sentence
    with pytest.raises(JourneymanError, match="it was changed after it was written"):
        datasets.read(path)


# -- what read would refuse -------------------------------------------------------------------------------


def test_what_read_refuses_is_a_problem_in_the_same_words(tmp_path: Path) -> None:
    def both(**more: np.ndarray | None) -> tuple[str, list[str]]:
        content = {key: value for key, value in {**clean(), **more}.items() if value is not None}
        np.savez(tmp_path / "demos.npz", **content)
        with pytest.raises(JourneymanError) as error:
            datasets.read(tmp_path / "demos.npz")
        return str(error.value), datasets.lint(tmp_path / "demos.npz").problems

    good, choices = clean(), np.arange(158) % 3
    bad = good["observation"].copy()
    bad[43, 1] = np.nan
    for more in (
        {"observation": bad},
        {"action": good["action"][:-1]},
        {"reward": good["reward"][:-4]},
        {"terminated": np.ones(158, bool)},
        {"action": None},
        {"terminated": None, "truncated": None},
        {"observation": np.full((162, 2), "left")},
        {"target_action": np.zeros((158, 3))},
        {"action": choices, "target_action": choices + 0.5},
        {"action": choices, "target_action": (choices + 0.5).astype(np.float16)},
        {"action": choices + 2**32},
        {"observation": bad, "reward": good["reward"][:-4]},
        {"observation": bad[:-1]},
        {"log_prob": np.zeros(3)},
        {"log_prob": np.full(158, "-1.5")},
        {"log_prob": np.zeros(158, complex)},
        {"elapsed": np.arange(158) * 2},
        {"elapsed": np.full(158, -1)},
    ):
        refusal, problems = both(**more)
        assert problems
        assert all(problem in refusal for problem in problems), (refusal, problems)
        assert (f"{len(problems)} things are wrong" in refusal) == (len(problems) > 1), (refusal, problems)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(value: float) -> None:
    content = clean()
    content["observation"][43, 1] = content["observation"][90, 0] = value
    sentence = only(linted(content), "not finite", problem=True)
    assert sentence.startswith(
        f"'observation' is {value} at episode 1, step 2 (row 43), column 1 (2 such values in all)"
    )


def test_shapes_and_bounds_of_a_world() -> None:
    def world(observation: int = 3, action: AbstractSpace | None = None) -> _Spaces:
        return _Spaces(Box.unbounded(observation), action or Box.symmetric(0.5, 2))

    content = clean()
    wrong = linted(content, world(11))
    assert any("'observation' has shape (3,) a step and the world 'W-v0' shows (11,)" in one for one in wrong.problems)
    count = int((np.abs(content["action"]) > 0.5).any(axis=1).sum())
    (sentence,) = told(linted(content, world()), "outside the bounds")
    assert f"({count} of 158) have an entry outside the bounds of 'W-v0'" in sentence
    assert linted(content, world()).problems == [], "sampled actions leave the box, and that is no fault"
    content["action"] *= 100  # percent
    assert any("by more than the width of the bounds" in one for one in linted(content, world()).problems)
    assert told(linted(clean(), world(action=Box.symmetric(1.0, 2))), "outside the bounds") == []


def test_choices_that_a_world_does_not_have() -> None:
    three = Discrete(n=3)
    world = _Spaces(three, three)
    good = {**clean(), "observation": np.random.default_rng(0).integers(0, 3, 162), "action": np.arange(158) % 3}
    good["target_action"] = good["action"]
    assert linted(good, world).problems == []
    for name, verb in (("observation", "shows"), ("action", "takes"), ("target_action", "takes")):
        bad = good[name].copy()
        bad[[7, 9]] = 3, -1
        (sentence,) = linted({**good, name: bad}, world).problems
        assert sentence == (
            f"'{name}' is 3 at row 7 and the world 'W-v0' {verb} the whole numbers 0 to 2 (2 such values in all); name"
            " the right world or repair the column."
        )


# -- columns ----------------------------------------------------------------------------------------------


def test_constant_columns() -> None:
    content = clean()
    content["observation"][:, 1] = 0.25
    assert only(linted(content), "constant column", problem=False) == (
        "'observation' column 1 is 0.25 in every row and tells nothing."
    )
    content["observation"][-1, 1] = 0.26
    assert linted(content).remarks == ()


def test_duplicated_columns() -> None:
    content = clean()
    content["observation"][:, 2] = content["observation"][:, 0]
    sentence = only(linted(content), "duplicated column", problem=False)
    assert sentence.startswith("'observation' column 0 and 'observation' column 2 are equal in every step")
    content["observation"][50, 2] += 1e-3
    assert linted(content).remarks == ()


def test_an_observation_that_gives_the_action_away() -> None:
    content = clean()
    at = np.arange(158) + np.repeat(np.arange(4), LENGTHS)
    content["observation"][at, 1] = content["action"][:, 0]
    sentence = only(linted(content), "duplicated column", problem=True)
    assert "'observation' column 1 and 'action' column 0 are equal in every step: the observation shows the very" in (
        sentence
    )
    # the action of the step before is a fair thing to see
    content = clean()
    content["observation"][at + 1, 1] = content["action"][:, 0]
    assert linted(content).remarks == ()


def test_angles_that_wrap() -> None:
    content = clean()
    turning = np.cumsum(np.full(162, 0.2)) % (2 * np.pi)
    content["observation"][:, 1] = turning
    assert only(linted(content), "angle that wraps", problem=False).startswith(
        "Observation column 1 looks like an angle"
    )
    content["observation"][:, 1] = np.cos(turning)
    assert linted(content).remarks == ()


# -- episodes ---------------------------------------------------------------------------------------------


def test_duplicated_episodes() -> None:
    one, other = clean(0), clean(1)
    again = {key: np.concatenate([one[key], other[key], one[key]]) for key in one}
    sentence = only(linted(again), "duplicated episode", problem=True)
    assert sentence.startswith("4 of 12 episodes repeat an earlier one number for number (episode 8 is episode 0)")
    again["action"][-1, 0] += 1e-3
    assert "3 of 12" in only(linted(again), "duplicated episode", problem=True)


def ends(lengths: np.ndarray, terminated: bool = True) -> datasets.Lint:
    random = np.random.default_rng(0)
    steps = int(lengths.sum())
    last = np.isin(np.arange(steps), np.cumsum(lengths) - 1)
    content = {
        "observation": random.normal(size=(steps + len(lengths), 2)).astype(np.float32),
        "action": random.normal(size=(steps, 1)).astype(np.float32),
        "reward": random.normal(size=steps),
        "terminated": last & terminated,
        "truncated": last & (not terminated),
    }
    return linted(content)


def test_time_limits_recorded_as_terminations() -> None:
    lengths = np.asarray([100, 37, 100, 100, 82, 100])
    (sentence,) = told(ends(lengths), "time limit as termination")
    assert sentence.startswith("4 of 6 terminated episodes end at the same greatest length, 100 steps")
    assert told(ends(lengths, terminated=False), "time limit as termination") == []
    assert told(ends(np.asarray([100, 37, 100, 82])), "time limit as termination") == [], "two may be chance"


def test_ends_that_are_real_are_no_time_limits() -> None:
    """The false alarms over lengths of many kinds, none of them with a limit: fewer than one in a hundred."""
    from journeyman.datasets._checks import time_limits
    from journeyman.datasets._ends import Ends
    from journeyman.datasets._recording import Recording

    random = np.random.default_rng(0)
    kinds = [
        lambda: random.integers(20, 60, 50),
        lambda: random.integers(1, 400, 200),
        lambda: 1 + random.geometric(0.05, 100),
        lambda: np.maximum(1, random.normal(120, 15, 60)).astype(int),
        lambda: 8 + random.poisson(5, 30),
    ]
    for kind in kinds:
        alarms = 0
        for _ in range(400):
            lengths = kind()
            stop = np.cumsum(lengths)
            spans = Ends(stop - lengths, stop, stop - lengths, False)
            real = np.ones(len(lengths), bool)
            alarms += bool(time_limits(Recording({}, {}, spans, real, ~real, True)))
        assert alarms <= 4


def test_a_world_s_own_horizon() -> None:
    from journeyman.datasets._checks import time_limits
    from journeyman.datasets._ends import Ends
    from journeyman.datasets._recording import Recording

    def remarks(length: int, *, truncated: bool = False) -> list[datasets.Remark]:
        spans = Ends(np.asarray([0]), np.asarray([length]), np.asarray([0]), False)
        return time_limits(Recording({}, {}, spans, np.asarray([True]), np.asarray([truncated]), True), horizon=50)

    assert "1 of 1 terminated episodes end at the time limit of the world, 50 steps" in remarks(50)[0].sentence
    assert remarks(49) == []
    assert remarks(50, truncated=True) == [], "it says both: the task ended, at the limit"


def test_a_limit_of_the_recorder_s_own_below_that_of_the_world() -> None:
    from journeyman.datasets._checks import time_limits
    from journeyman.datasets._ends import Ends
    from journeyman.datasets._recording import Recording

    def remarks(*lengths: int) -> list[datasets.Remark]:
        stop = np.cumsum(lengths)
        real = np.ones(len(stop), bool)
        spans = Ends(stop - np.asarray(lengths), stop, stop - np.asarray(lengths), False)
        return time_limits(Recording({}, {}, spans, real, ~real, True), horizon=200)

    (one,) = remarks(40, 40, 40, 40, 40)
    assert "5 of 5 terminated episodes end at the same greatest length, 40 steps (the world's own limit is 200)" in (
        one.sentence
    )
    assert remarks(40, 38, 37, 39, 35) == []
    assert "2 of 5 terminated episodes end at the time limit of the world" in remarks(40, 40, 40, 200, 200)[0].sentence


def test_copied_successors() -> None:
    content = clean()
    last = np.cumsum(np.asarray(LENGTHS) + 1) - 1
    content["observation"][last] = content["observation"][last - 1]
    sentence = only(linted(content), "copied successor", problem=True)
    assert sentence.startswith("4 of 4 episodes end with an observation that repeats the one before it")
    # standing still now and then, as the discrete do, is no fault
    content["observation"] = np.round(content["observation"] / 20).astype(np.float32)
    assert told(linted(content), "copied successor") == []


def test_copied_successors_in_a_column_of_their_own() -> None:
    content = clean()
    at = np.arange(158) + np.repeat(np.arange(4), LENGTHS)
    content["next_observation"] = content["observation"][at + 1]
    content["observation"] = content["observation"][at]
    assert linted(content).remarks == ()
    last = np.cumsum(LENGTHS) - 1
    content["next_observation"][last] = content["observation"][last]
    only(linted(content), "copied successor", problem=True)


@pytest.mark.parametrize("apart", [True, False], ids=["next_observation", "T+1 observations"])
def test_successors_of_resets(tmp_path: Path, apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    content = clean()
    at = np.arange(158) + np.repeat(np.arange(4), LENGTHS)
    last = np.cumsum(LENGTHS)[:-1]
    first = content["observation"][at][last]
    if apart:
        content["next_observation"] = content["observation"][at + 1]
        content["observation"] = content["observation"][at]
        content["next_observation"][last - 1] = first
    else:
        content["observation"][last + np.arange(3)] = first
    sentence = only(linted(content), "successor of a reset", problem=True)
    assert sentence.startswith("3 of 3 episodes end with the first observation of the next one")
    np.savez(tmp_path / "demos.npz", **content)
    assert sentence in datasets.read(tmp_path / "demos.npz").notes
    monkeypatch.setattr(_column, "PIECE", 100)
    assert only(linted(content), "successor of a reset", problem=True) == sentence
    # one of three may be chance
    for row in last[:2]:
        content["next_observation" if apart else "observation"][row - 1 if apart else row + (row > 40)] += 1
    assert linted(content).remarks == ()


def test_single_steps_missing_rewards_and_missing_successors_are_told() -> None:
    content = clean(lengths=(12, 1, 9))
    assert only(linted(content), "episode length", problem=False).startswith("1 of 3 episodes are a single step long")
    content = clean()
    del content["reward"]
    assert "No rewards are recorded" in only(linted(content), "reading", problem=False)
    content = clean()
    at = np.arange(158) + np.repeat(np.arange(4), LENGTHS)
    content["observation"] = content["observation"][at]
    assert "`read` leaves out 4 of 158 steps" in only(linted(content), "reading", problem=False)


def test_episodes_of_one_step_each_without_successors_are_refused_as_by_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"observation": np.eye(3, 2), "action": np.zeros((3, 1)), "episode_end": np.arange(1, 4)}
    assert linted(content).problems == [
        "No successor is recorded, and of 3 episodes none is longer than one step; add 'next_observation'."
    ]
    content["next_observation"] = np.ones((3, 2))
    assert linted(content).problems == []
    monkeypatch.setattr(_column, "PIECE", 16 * 4)  # the last of nine rows is a piece of its own
    content = {"observation": np.eye(9)[:, :2], "action": np.zeros((9, 1)), "episode_end": np.asarray([4, 9])}
    assert linted(content).problems == []
    content["next_observation"] = np.roll(content["observation"], -1, axis=0)
    assert linted(content).problems == []


# -- telling ----------------------------------------------------------------------------------------------


def test_the_json_has_the_numbers_of_the_page() -> None:
    content = clean()
    content["action"][3, 0] = np.nan
    found = linted(content)
    numbers = json.loads(json.dumps(found.numbers(), allow_nan=False))
    assert numbers["steps"] == 158
    assert numbers["lengths"] == {"least": 25, "median": 36.5, "greatest": 60}
    assert [problem["check"] for problem in numbers["problems"]] == ["not finite"]
    assert [column["name"] for column in numbers["columns"]] == ["observation", "action", "reward"]
    assert numbers["columns"][1]["low"][1] == pytest.approx(content["action"][:, 1].min())
    page = found.page()
    assert "4, 158 steps in all; 25 to 60 steps" in page
    assert max(map(len, page.splitlines())) <= 100
    assert all(word in page for word in ("observation", "float32", "wrong (1):"))


def test_a_page_without_episodes_tells_why() -> None:
    found = linted({"obs": np.zeros((4, 1)), "act": np.zeros((9, 1)), "episode_end": np.array([9])})
    assert "unknown: see below" in found.page()
    assert found.numbers()["episodes"] == 0
    assert found.problems
