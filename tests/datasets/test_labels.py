"""Labels from files: what belongs where, what is refused, and a round of DAgger whose expert is a file."""

import csv
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman import cli
from journeyman.collect import Mean, play
from journeyman.datasets import ask_for_labels, labelled, read, write
from journeyman.episodes import POLICY, Episodes, concatenate
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy, save
from journeyman.worlds import LinearQuadratic

WORLD = LinearQuadratic(horizon=6, start_std=1.0, noise=0.1)


def linear(gain: float) -> DensityPolicy:
    one = policy(WORLD, jax.random.key(0), hidden=())
    return eqx.tree_at(lambda p: p.network.weights[0], one, jnp.full((1, 1), gain))


@pytest.fixture
def visited() -> Episodes:
    return play(WORLD, Mean(linear(-0.2)), episodes=4, seed=3)


def rows(visited: Episodes) -> tuple[np.ndarray, np.ndarray]:
    """Every visited observation, and −0.6 of it as the label."""
    seen = np.asarray(visited.now)[np.asarray(visited.valid)]
    return seen, (-0.6 * seen).astype(np.float32)


@pytest.mark.parametrize("suffix", ["npz", "csv", "h5"])
def test_labels_come_back_in_any_order_and_format(visited: Episodes, tmp_path: Path, suffix: str) -> None:
    seen, label = rows(visited)
    order = np.random.default_rng(0).permutation(len(seen))
    labels = tmp_path / f"labels.{suffix}"
    if suffix == "csv":
        with labels.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["observation_0", "action_0", "remark"])
            lines.writerows(
                [repr(float(s[0])), repr(float(a[0])), "why"] for s, a in zip(seen[order], label[order], strict=True)
            )
    elif suffix == "npz":
        np.savez(labels, observation=seen[order], action=label[order])
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(labels, "w") as file:
            file["observation"], file["action"] = seen[order], label[order]
    found = labelled(visited, labels)
    assert (found.labels, found.steps) == (visited.num_steps, visited.num_steps)
    valid = np.asarray(visited.valid)
    np.testing.assert_array_equal(found.episodes.target[valid], label)
    np.testing.assert_array_equal(found.episodes.action, visited.action)
    for name in ("reward", "terminated", "truncated", "valid", "elapsed", "source"):
        np.testing.assert_array_equal(getattr(found.episodes, name), getattr(visited, name))


def test_a_program_may_answer_by_the_library_s_own_file(visited: Episodes, tmp_path: Path) -> None:
    seen = np.asarray(visited.now)
    asked = eqx.tree_at(lambda e: e.target, visited, (-0.6 * seen).astype(np.float32))
    write(asked, tmp_path / "labels.npz")
    found = labelled(visited, tmp_path / "labels.npz")
    valid = np.asarray(visited.valid)
    np.testing.assert_array_equal(found.episodes.target[valid], rows(visited)[1])


def refused(visited: Episodes, tmp_path: Path, seen: np.ndarray, label: np.ndarray, **options: bool) -> str:
    np.savez(tmp_path / "labels.npz", observation=seen, action=label)
    with pytest.raises(JourneymanError) as told:
        labelled(visited, tmp_path / "labels.npz", **options)
    return str(told.value)


def test_missing_double_and_foreign_states_are_told_at_once(visited: Episodes, tmp_path: Path) -> None:
    seen, label = rows(visited)
    seen[5] += 1.0
    seen[7], label[7] = seen[2], label[2] + 1
    label[9] = np.nan
    said = refused(visited, tmp_path, seen, label)
    assert said.startswith("4 things are wrong")
    assert f"1 of {len(seen)} rows show states that were never visited (rows 5)" in said
    assert "Labelled twice and differently: 1 state (rows 2 and 7)" in said
    assert "Not finite: 1 label (the first: rows 9)" in said
    assert f"3 of {len(seen)} visited steps have no label" in said


def test_the_same_label_twice_is_no_contradiction(visited: Episodes, tmp_path: Path) -> None:
    seen, label = rows(visited)
    np.savez(tmp_path / "labels.npz", observation=np.tile(seen, (2, 1)), action=np.tile(label, (2, 1)))
    assert labelled(visited, tmp_path / "labels.npz").labels == visited.num_steps


def test_what_is_not_labelled_is_left_out_only_where_that_is_said(visited: Episodes, tmp_path: Path) -> None:
    seen, label = rows(visited)
    assert "or pass partial=True (--partial) to leave them out" in refused(visited, tmp_path, seen[::2], label[::2])
    found = labelled(visited, tmp_path / "labels.npz", partial=True)
    assert found.labels == found.episodes.num_steps == len(seen[::2])
    kept = np.asarray(found.episodes.valid)
    np.testing.assert_array_equal(found.episodes.target[kept], label[::2])
    assert not (found.episodes.ended & ~kept).any()
    said = refused(visited, tmp_path, seen + 100, label, partial=True)
    assert "No label belongs to any visited step" in said


def test_labels_of_another_shape(visited: Episodes, tmp_path: Path) -> None:
    seen, label = rows(visited)
    said = refused(visited, tmp_path, seen, np.tile(label, (1, 2)))
    assert "observations [(1,)] and labels (2,), where what was visited has [(1,)] and (1,)" in said


def choices(*, steps: int = 6) -> Episodes:
    """A visited episode whose actions are choices, 0 throughout."""
    seen = np.arange(steps + 1, dtype=np.float32)[:, None]
    return concatenate([Episodes.episode(seen, np.zeros(steps, np.int32), source=POLICY)])


@pytest.mark.parametrize("value", [0.7, -1.0, 2.0**40])
def test_a_label_that_is_no_choice_is_refused_with_its_value(tmp_path: Path, value: float) -> None:
    seen, label = np.arange(6, dtype=np.float32)[:, None], np.ones(6)
    label[4] = value
    said = refused(choices(), tmp_path, seen, label)
    assert f"No choice: 1 label (the first: {value} in row 4)" in said
    assert "no label" in said


def test_a_label_that_is_not_finite_is_none_among_choices_either(tmp_path: Path) -> None:
    seen, label = np.arange(6, dtype=np.float32)[:, None], np.ones(6)
    label[[1, 3]] = np.nan, np.inf
    assert "Not finite: 2 labels (the first: rows 1, 3)" in refused(choices(), tmp_path, seen, label)


def test_choices_written_as_reals_come_back_as_choices(tmp_path: Path) -> None:
    np.savez(tmp_path / "labels.npz", observation=np.arange(6.0)[:, None], action=np.ones(6))
    target = labelled(choices(), tmp_path / "labels.npz").episodes.target
    assert target.dtype == np.int32
    assert (target == 1).all()


# -- in which column a label stands -----------------------------------------------------------------------------------


def save_csv(path: Path, lines: list[dict]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows(lines)


def exported(visited: Episodes, folder: Path) -> list[dict]:
    """The rows of the CSV file that asks for labels."""
    request = ask_for_labels(visited, folder / "visited.csv")
    assert "Put into the blank 'target_action' of each row" in request.how
    back = read(request.path)
    assert "Not read: 'target_action', which is blank in every line." in back.notes
    for one, other in zip(back.episodes.unpack(), visited.unpack(), strict=True):
        assert one.fingerprint() == other.fingerprint()
    with request.path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_whose_label_is_blank_has_none(visited: Episodes, tmp_path: Path) -> None:
    visited = concatenate(list(visited.unpack()))
    lines, (_, label) = exported(visited, tmp_path), rows(visited)
    labels = tmp_path / "labels.csv"
    for row in range(0, len(lines), 2):
        lines[row]["target_action_0"] = repr(float(label[row, 0]))
    save_csv(labels, lines)
    with pytest.raises(JourneymanError, match="12 of 24 visited steps have no label"):
        labelled(visited, labels)
    found = labelled(visited, labels, partial=True)
    kept = np.asarray(found.episodes.valid)
    assert found.labels == 12
    np.testing.assert_array_equal(found.episodes.target[kept], label[::2])
    with pytest.raises(JourneymanError, match="'target_action_0' is empty at line 3 \\(12 such cells in all\\)"):
        read(labels)
    for one in lines:  # as it was exported before 'target_action' stood there
        one["action_0"] = one.pop("target_action_0")
    save_csv(labels, lines)
    np.testing.assert_array_equal(labelled(visited, labels, partial=True).episodes.target[kept], label[::2])


def test_a_state_that_was_visited_twice_may_have_been_left_by_two_actions(tmp_path: Path) -> None:
    once = [np.asarray([[start], [row], [row + 1]], np.float32) for start, row in ((0, 1), (0, 5), (9, 7))]
    actions = np.asarray([[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]], np.float32).reshape(3, 2, 1)
    visited = concatenate([Episodes.episode(o, a, source=POLICY) for o, a in zip(once, actions, strict=True)])
    lines = exported(visited, tmp_path)
    for line in lines:
        line["target_action_0"] = "" if line["observation_0"] in ("0.0", "9.0") else "8"
    save_csv(tmp_path / "labels.csv", lines)
    found = labelled(visited, tmp_path / "labels.csv", partial=True)
    assert (found.labels, found.steps) == (3, 6)
    lines[0]["action_0"] = "0.7"  # which the learner did nowhere
    save_csv(tmp_path / "labels.csv", lines)
    with pytest.raises(JourneymanError, match=r"'action' is not what the learner did in 1 row \(rows 0\)"):
        labelled(visited, tmp_path / "labels.csv", partial=True)


def test_a_label_that_is_blank_in_part_is_not_finite(tmp_path: Path) -> None:
    seen = np.arange(3, dtype=np.float32)[:, None]
    visited = concatenate([Episodes.episode(seen, np.zeros((2, 2), np.float32), source=POLICY)])
    lines = exported(visited, tmp_path)
    lines[0]["target_action_1"] = "1"
    save_csv(tmp_path / "labels.csv", lines)
    with pytest.raises(JourneymanError, match="Not finite: 1 label "):
        labelled(visited, tmp_path / "labels.csv", partial=True)


def test_a_label_beside_its_column_is_seen(visited: Episodes, tmp_path: Path) -> None:
    lines = exported(visited, tmp_path)
    lines[0]["target_action_0"], lines[3]["action_0"] = "9", "8"
    save_csv(tmp_path / "labels.csv", lines)
    with pytest.raises(JourneymanError) as told:
        labelled(visited, tmp_path / "labels.csv", partial=True)
    assert "'action' is not what the learner did in 1 row (rows 3) where 'target_action' holds no label" in str(
        told.value
    )


@pytest.mark.parametrize("name", ["labels.npz", "labels.csv"])
def test_what_was_exported_and_not_touched_is_no_label(visited: Episodes, tmp_path: Path, name: str) -> None:
    write(visited, tmp_path / name, lossy=True)
    with pytest.raises(JourneymanError, match="Not one of 24 labels is something else than what the learner did"):
        labelled(visited, tmp_path / name)


def test_an_expert_may_agree_throughout_where_it_says_so(visited: Episodes, tmp_path: Path) -> None:
    seen, _ = rows(visited)
    did = np.asarray(visited.action)[np.asarray(visited.valid)]
    assert "nobody seems to have labelled" in refused(visited, tmp_path, seen, did)
    np.savez(tmp_path / "labels.npz", observation=seen, target_action=did)
    assert labelled(visited, tmp_path / "labels.npz").labels == len(seen)


def test_target_action_comes_before_action(visited: Episodes, tmp_path: Path) -> None:
    seen, label = rows(visited)
    np.savez(tmp_path / "labels.npz", observation=seen, target_action=label, action=label + 1)
    target = labelled(visited, tmp_path / "labels.npz").episodes.target
    np.testing.assert_array_equal(target[np.asarray(visited.valid)], label)


def test_labels_in_the_action_of_the_library_s_own_file(visited: Episodes, tmp_path: Path) -> None:
    seen = np.asarray(visited.now)
    answer = (-0.6 * seen).astype(np.float32)
    write(eqx.tree_at(lambda e: e.action, visited, answer), tmp_path / "labels.npz")
    valid = np.asarray(visited.valid)
    np.testing.assert_array_equal(labelled(visited, tmp_path / "labels.npz").episodes.target[valid], answer[valid])
    target, action = np.array(visited.target), np.array(visited.action)
    target[0, 0], action[0, 1] = 1.0, 2.0
    both = eqx.tree_at(lambda e: (e.target, e.action), visited, (target, action))
    write(both, tmp_path / "labels.npz", overwrite=True)
    with pytest.raises(JourneymanError, match=r"in 1 row \(rows 1\) where 'target' holds no label"):
        labelled(visited, tmp_path / "labels.npz")


@pytest.mark.parametrize(("observations", "actions"), [(5, 3), (25, 24)])
def test_rows_that_are_not_one_a_label(visited: Episodes, tmp_path: Path, observations: int, actions: int) -> None:
    said = refused(visited, tmp_path, np.zeros((observations, 1)), np.zeros((actions, 1)))
    assert f"'observation' has {observations} rows and 'action' {actions}" in said


@pytest.mark.parametrize("partial", [False, True])
def test_a_file_without_a_row_has_no_label(visited: Episodes, tmp_path: Path, partial: bool) -> None:
    (tmp_path / "labels.csv").write_text("observation_0,action_0\n")
    with pytest.raises(JourneymanError, match="There is no row, so no label"):
        labelled(visited, tmp_path / "labels.csv", partial=partial)


def test_how_to_label_is_said_for_the_format(visited: Episodes, tmp_path: Path) -> None:
    how = ask_for_labels(visited, tmp_path / "visited.npz").how
    assert "numpy.savez" in how
    assert "'target_action'" in how
    np.savez(tmp_path / "labels.npz", observation=rows(visited)[0], target_action=rows(visited)[1])  # as it says
    assert labelled(read(tmp_path / "visited.npz").episodes, tmp_path / "labels.npz").labels == visited.num_steps


# -- rounds -----------------------------------------------------------------------------------------------------------


def test_a_round_of_dagger_whose_expert_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(linear(-0.2), tmp_path / "clone")
    write(play(WORLD, Mean(linear(-0.6)), episodes=2, seed=1), tmp_path / "demos.npz")
    options = ["--options", "horizon=6", "start_std=1.0", "noise=0.1"]
    assert cli.main(["dagger", "export", "clone", "--world", "LinearQuadratic", *options, "--out", "visited.csv"]) == 0
    assert "30 states of 5 episodes: visited.csv" in capsys.readouterr().out
    with open("visited.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:  # somebody sits down and labels
        assert line["target_action_0"] == "", "what nobody labelled cannot be taken for a label"
        line["target_action_0"] = repr(-0.6 * float(line["observation_0"]))
    save_csv(Path("labels.csv"), lines)
    words = ["dagger", "import", "visited.csv", "labels.csv", "--data", "demos.npz", "--out", "aggregated.npz"]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert "30 of 30 visited states have a label (100%); in 30 of them it is not what the learner did." in told
    joined = read("aggregated.npz").episodes
    assert joined.num_steps == 30 + 12
    valid = np.asarray(joined.valid)
    np.testing.assert_allclose(joined.target[valid], -0.6 * joined.now[valid], rtol=1e-5)
    assert cli.main(words) == 2
    assert "aggregated.npz" in capsys.readouterr().err, "nothing is overwritten unasked"


def test_an_export_says_all_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["dagger", "export", "nothing", "--world", "LinearQadratic", "--episodes", "0", "--out", "visited.csv"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "3 things are wrong" in said
    for word in ("--episodes", "LinearQadratic", "'nothing' holds"):
        assert word in said
