"""The policy artefact: exact, atomic, and every damaged file is one sentence."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from journeyman.parts import AbstractPart, JourneymanError, fingerprint
from journeyman.policies._artefact import inspect, load, save
from journeyman.worlds import Box

GOLDEN = Path(__file__).parent / "golden"


class ArtefactToy(AbstractPart):
    """Every kind of field that `parts.describe` knows."""

    weight: Array
    count: Array
    layers: tuple
    table: dict
    name: str
    rate: float
    bound: float
    nothing: None = None


class ArtefactFussy(AbstractPart):
    """A part whose own check fails with a foreign error when a field is of the wrong kind."""

    low: Any

    def __check_init__(self) -> None:
        assert self.low.shape is not None


class Result(NamedTuple):
    """What a verb returns: the policy, and more."""

    policy: AbstractPart
    rows: tuple = ()


def toy(seed: int = 0) -> ArtefactToy:
    key = jax.random.key(seed)
    return ArtefactToy(
        weight=jax.random.normal(key, (3, 4)),
        count=jnp.asarray(7, jnp.int32),
        layers=(jnp.ones((2,), jnp.bfloat16), (jnp.asarray([True, False]), jnp.zeros((0, 3)))),
        table={"a": jnp.asarray([1, 2], jnp.uint32), "b": 0.1},
        name="toy",
        rate=0.30000000000000004,
        bound=float("inf"),
    )


def golden_part() -> ArtefactToy:
    return ArtefactToy(
        weight=jnp.arange(6, dtype=jnp.float32).reshape(2, 3) / 4,
        count=jnp.asarray(3, jnp.int32),
        layers=(jnp.asarray([-0.5], jnp.bfloat16), ()),
        table={"a": jnp.asarray([0, 4294967295], jnp.uint32), "b": 0.1},
        name="golden",
        rate=1e-3,
        bound=float("-inf"),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(toy(), tmp_path / "policy", links={"dataset": "0123456789abcdef"})
    return tmp_path / "policy"


def edit(folder: Path, change: Any) -> None:
    path = folder / "policy.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def refusal(folder: Path) -> str:
    """What `load` says, which must be nothing but a `JourneymanError`."""
    with pytest.raises(JourneymanError) as caught:
        load(folder)
    assert str(caught.value).endswith((".", "first."))
    return str(caught.value)


def test_what_is_saved_comes_back_bit_for_bit(folder: Path) -> None:
    before, after = toy(), load(folder)
    assert fingerprint(before) == fingerprint(after)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    assert (after.name, after.rate, after.bound, after.nothing) == ("toy", before.rate, float("inf"), None)
    assert after.layers[0].dtype == jnp.bfloat16
    assert after.count.shape == ()
    assert after.layers[1][1].shape == (0, 3)
    for leaf in jax.tree.leaves(after):
        if not isinstance(leaf, (str, float)):
            assert isinstance(leaf, jax.Array)
            assert leaf.devices() == {jax.devices()[0]}


def test_the_same_part_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = save(toy(), tmp_path / "one"), save(toy(), tmp_path / "two")
    assert first == second != save(toy(1), tmp_path / "three")
    for name in ("policy.json", "policy.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "three", "two"], "no temporary folder is left"


def test_links_do_not_change_the_fingerprint_but_a_static_field_does(tmp_path: Path) -> None:
    plain = save(toy(), tmp_path / "one")
    assert plain == save(toy(), tmp_path / "two", links={"run": "ffffffffffffffff"})
    other = toy()
    object.__setattr__(other, "name", "tox")
    assert plain != save(other, tmp_path / "three")


def test_inspect_tells_without_building(folder: Path) -> None:
    edit(folder, lambda d: None)
    document = inspect(folder)
    assert document["links"] == {"dataset": "0123456789abcdef"}
    assert document["arrays"]["weight"]["shape"] == [3, 4]
    assert document["fingerprint"] == save(toy(), folder.parent / "again")
    assert set(document["versions"]) == {"journeyman", "jax", "equinox", "numpy"}


def test_a_golden_artefact_loads_for_ever() -> None:
    loaded = load(GOLDEN / "toy")
    assert fingerprint(loaded) == fingerprint(golden_part())
    assert inspect(GOLDEN / "toy")["fingerprint"] == "c9f9731fa51b47c5"


def test_a_policy_of_64x64_is_below_100_kilobytes(tmp_path: Path) -> None:
    sizes = [(11, 64), (64,), (64, 64), (64,), (64, 3), (3,), (3,), (11,), (11,)]
    part = toy()
    object.__setattr__(part, "layers", tuple(jnp.zeros(size) for size in sizes))
    save(part, tmp_path / "policy")
    assert sum(p.stat().st_size for p in (tmp_path / "policy").iterdir()) < 100_000


# -- writing --------------------------------------------------------------------------------------------


def test_an_existing_folder_is_kept_without_overwrite(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(JourneymanError, match=r"exists already.*pass overwrite"):
        save(toy(1), folder)
    assert before == {p.name: p.read_bytes() for p in folder.iterdir()}
    save(toy(1), folder, overwrite=True)
    assert fingerprint(load(folder)) == fingerprint(toy(1))
    assert [p.name for p in folder.parent.iterdir()] == ["policy"]


def test_overwrite_does_not_touch_what_no_policy_wrote(folder: Path) -> None:
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(JourneymanError, match=r"thesis\.tex.*not overwritten"):
        save(toy(1), folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "years of work"
    (folder.parent / "file").write_text("x")
    with pytest.raises(JourneymanError, match="is a file"):
        save(toy(1), folder.parent / "file", overwrite=True)


def test_a_reader_never_finds_nothing_while_a_writer_overwrites(folder: Path) -> None:
    known = {fingerprint(toy(0)), fingerprint(toy(1))}
    failures: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                if fingerprint(load(folder)) not in known:
                    failures.append("a mixture was loaded")
            except JourneymanError as error:
                failures.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(30):
        save(toy(turn % 2), folder, overwrite=True)
    stop.set()
    reader.join()
    assert not failures, failures[0]


def test_a_part_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    part = toy()
    object.__setattr__(part, "weight", part.weight.at[1, 2].set(jnp.nan))
    with pytest.raises(JourneymanError, match=r"'weight' has 1 of 12 entries"):
        save(part, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_bounds_of_a_box_may_be_infinite_but_not_nan(tmp_path: Path) -> None:
    save(Box.unbounded(3), tmp_path / "box")
    assert np.isinf(load(tmp_path / "box").low).all()
    with pytest.raises(JourneymanError, match="not finite"):
        save(jax.tree.map(lambda bound: bound * np.nan, Box.unbounded(3)), tmp_path / "bad")  # past the constructor


def test_double_precision_is_refused_rather_than_rounded(tmp_path: Path) -> None:
    save(Box(low=np.zeros(2), high=np.ones(2)), tmp_path / "wide")
    assert "JAX_ENABLE_X64" in refusal(tmp_path / "wide")
    with jax.enable_x64(True):
        assert load(tmp_path / "wide").low.dtype == np.float64


# -- reading what is damaged ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["policy.json", "policy.safetensors"])
def test_truncated_anywhere(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for length in [*range(0, len(whole) - 2, max(1, len(whole) // 60)), len(whole) - 2]:
        (folder / name).write_bytes(whole[:length])
        assert name in refusal(folder)
    (folder / name).write_bytes(whole)
    load(folder)


@pytest.mark.parametrize("name", ["policy.json", "policy.safetensors"])
def test_flipped_anywhere(folder: Path, name: str) -> None:
    """Every flipped byte is refused, or (white space) changes nothing at all."""
    whole, right, harmless = (folder / name).read_bytes(), fingerprint(toy()), 0
    random = np.random.default_rng(0)
    places = range(len(whole)) if len(whole) < 300 else np.sort(random.permutation(len(whole))[:300])
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= int(random.integers(1, 256))
        (folder / name).write_bytes(damaged)
        try:
            assert fingerprint(load(folder)) == right
            assert inspect(folder)["links"] == {"dataset": "0123456789abcdef"}
            harmless += 1
        except JourneymanError:
            pass
    assert harmless < 5


@pytest.mark.parametrize("name", ["policy.json", "policy.safetensors"])
def test_missing_trailing_and_unreadable_files(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole + b"\0")
    assert name in refusal(folder)
    (folder / name).unlink()
    assert "does not exist" in refusal(folder)
    (folder / name).mkdir()
    assert "cannot be read" in refusal(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("what", "says"),
    [
        (Result(toy()), r"is a Result, and a Part is needed; pass its \.policy\."),
        ([toy()], r"is a list, and a Part is needed; pass a policy"),
        ({"policy": toy()}, r"is a dict, and a Part is needed"),
        (jnp.zeros(3), r"is an ArrayImpl, and a Part is needed"),
        (toy, r"is the function 'toy', and a Part is needed"),
        (ArtefactToy, r"is the class 'ArtefactToy', and a Part is needed; pass an instance of it"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path, what: Any, says: str) -> None:
    with pytest.raises(JourneymanError, match=says):
        save(what, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_a_run_folder_is_loaded_by_the_policy_inside_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}")
    assert f"'{run}' is a run that has not finished" in refusal(run)
    assert f"go on with `journeyman resume {run}`, or, begun in Python, with record=Recorder(" in refusal(run)
    identity = save(toy(), run / "policy")
    assert fingerprint(load(run)) == fingerprint(toy())
    assert inspect(run)["fingerprint"] == identity
    assert "holds no policy: there is neither 'policy.json' nor 'policy/policy.json' in it" in refusal(tmp_path)
    save(toy(), tmp_path / "sweep" / "policies" / "3")
    assert f"name one of them, such as '{tmp_path / 'sweep' / 'policies' / '3'}'" in refusal(tmp_path / "sweep")


def test_a_tampered_array_is_named(folder: Path) -> None:
    path = folder / "policy.safetensors"
    data = bytearray(path.read_bytes())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    place = 8 + int.from_bytes(data[:8], "little") + header["weight"]["data_offsets"][0]
    data[place] ^= 1
    path.write_bytes(data)
    assert "the array 'weight' differs" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(format_version=2), "format version 2 and this journeyman reads version 1"),
        (lambda d: d.update(format_version=True), "format version True"),
        (lambda d: d.update(format="gguf"), "is not a 'journeyman-policy'"),
        (lambda d: d.update(linkz={}), "unknown key 'linkz'. Did you mean 'links'?"),
        (lambda d: d.pop("arrays"), "lacks 'arrays'"),
        (lambda d: d.update(arrays=[]), "'arrays' must be an object"),
        (lambda d: d.update(links={"dataset": 3}), "'dataset' must be a string"),
        (lambda d: d["links"].update(dataset="f" * 16), "links or versions differ"),
        (lambda d: d["structure"].update(rate=0.5), "its structure or its fingerprint differs"),
        (lambda d: d.update(fingerprint="0" * 16), "its structure or its fingerprint differs"),
        (lambda d: d["arrays"].pop("count"), "policy.safetensors"),
        (lambda d: d["arrays"]["weight"].update(shape=[4, 3]), "is F32 [3, 4] where F32 [4, 3] is declared"),
        (lambda d: d["arrays"]["weight"].update(shape=[-3, 4]), "integers from 0 up"),
        (lambda d: d["arrays"]["weight"].update(shape=[10**30, 10**30]), "is the limit"),
        (lambda d: d["arrays"]["weight"].update(dtype="object"), "unknown type 'object'"),
        (lambda d: d["arrays"]["weight"].update(dtype="int32"), "is F32 [3, 4] where I32 [3, 4] is declared"),
        (lambda d: d["arrays"]["weight"].update(digest="0" * 16), "the array 'weight' differs"),
        (lambda d: d["arrays"].update({"../../etc/passwd": d["arrays"].pop("weight")}), "do not agree"),
        (lambda d: d["structure"].update(weight={"array": ["x"]}), "has a structure with the node"),
        (lambda d: d["structure"].update(weight={"array": "count"}), "do not agree about"),
        (lambda d: d["structure"].update(weight={"part": 3}), "has a structure with the node"),
        (lambda d: d["structure"].update(table={"map": 3}), "has a structure with the node"),
        (lambda d: d["structure"].update(bound={"float": "x"}), "has the number 'x'"),
    ],
)
def test_a_changed_document_is_refused(folder: Path, change: Any, says: str) -> None:
    edit(folder, change)
    assert says in refusal(folder)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"format":', '"format": "x", "format":', "'format' stands there twice"),
        ('"rate": 0.30000000000000004', '"rate": NaN', "'NaN' is not JSON"),
        ('"rate": 0.30000000000000004', '"rate": 1e999', "too large"),
        ('"rate": 0.30000000000000004', '"rate": ' + "1" * 9000, "not valid JSON"),
        ('"rate": 0.30000000000000004', '"rate": ' + "[" * 200 + "]" * 200, "nested deeper than 64"),
        ('"rate": 0.30000000000000004', '"rate": ' + "[" * 200_000, "nested too deeply"),
    ],
)
def test_hostile_json(folder: Path, old: str, new: str, says: str) -> None:
    path = folder / "policy.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert says in refusal(folder)


def forge(part: AbstractPart, folder: Path, change: Any) -> None:
    """An artefact whose checksums are right and whose structure is not: written by someone who knows how."""
    import journeyman.policies._artefact as artefact

    def describe(value: Any) -> Any:
        structure, arrays = real(value)
        change(structure, arrays)
        return structure, arrays

    real = artefact.describe
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefact, "describe", describe)
        patch.setattr(artefact, "_check_finite", lambda *_: None)
        save(part, folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s, a: a["weight"].__setitem__((0, 0), np.nan), "'weight' has 1 of 12 entries"),
        (lambda s, a: s.update(part="ArtefactTox"), "No part is called 'ArtefactTox'. Did you mean 'ArtefactToy'?"),
        (lambda s, a: s.update(extra=1), "unknown field 'extra'"),
        (lambda s, a: s.pop("rate"), "missing field 'rate'"),
    ],
)
def test_a_forged_artefact_is_refused(tmp_path: Path, change: Any, says: str) -> None:
    part = toy()
    object.__setattr__(part, "weight", np.ones((3, 4), np.float32))
    forge(part, tmp_path / "forged", change)
    assert says in refusal(tmp_path / "forged")


def test_a_part_that_cannot_be_built_is_a_sentence(tmp_path: Path) -> None:
    forge(ArtefactFussy(np.zeros(2)), tmp_path / "forged", lambda s, a: (s.update(low=3), a.clear()))
    assert "cannot be built" in refusal(tmp_path / "forged")


def test_a_gap_between_arrays_is_refused(folder: Path) -> None:
    path = folder / "policy.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    begin, end = header["weight"]["data_offsets"]
    header["weight"]["data_offsets"] = [begin + 1, end + 1]
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    path.write_bytes(data[:8] + text + data[8 + length :])
    assert "gap or an overlap" in refusal(folder)


def test_nothing_that_unpickles_is_imported(folder: Path) -> None:
    """Loading runs with `pickle.load` and `pickle.loads` cut off."""
    code = (
        "import pickle, sys\n"
        "import journeyman.policies, journeyman.worlds\n"
        "def refuse(*a, **k): raise SystemExit('pickle was used')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = refuse\n"
        "from journeyman.policies._artefact import load\n"
        "print(load(sys.argv[1]).low)"
    )
    save(Box.symmetric(2.0, 2), folder.parent / "box")
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder.parent / "box")], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "[-2. -2.]"), ran.stderr
