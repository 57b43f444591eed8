"""Each claim of the README and the docs stands in `docs/claims.md` beside what shows it, and that exists.

A claim is marked where it stands with `<!-- claim: some-id -->` right after it. A row of the table reads
`| some-id | the claim | README.md | tests/test_x.py::test_y |`; several proofs are separated by commas.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LEDGER = "docs/claims.md"
MARKER = re.compile(r"<!--\s*claim:\s*([\w-]+)\s*-->")
HEADER = ["id", "claim", "where it stands", "shown by"]


class Row(NamedTuple):
    claim: str
    text: str
    where: str
    shown_by: list[str]


def rows(ledger: str) -> list[Row]:
    """The table's rows; a table line with another number of cells is an error."""
    lines = [line.strip() for line in ledger.splitlines() if line.strip().startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    if not table:
        return []
    header, _, *body = table
    if [cell.lower() for cell in header] != HEADER:
        raise ValueError(f"the columns are {header}, not {HEADER}")
    for cells in body:
        if len(cells) != len(HEADER):
            raise ValueError(f"{len(cells)} cells instead of {len(HEADER)}: {cells}")
    return [
        Row(name.strip("`"), text, where.strip("`"), re.findall(r"`([^`]+)`", shown) or [shown])
        for name, text, where, shown in body
    ]


def has_test(text: str, names: list[str]) -> bool:
    """Whether `names` (classes, then a test function) lead to a definition in the source `text`."""
    body: list[ast.stmt] = ast.parse(text).body
    node: ast.stmt | None = None
    for name in names:
        node = next((n for n in body if getattr(n, "name", None) == name), None)
        if node is None:
            return False
        body = getattr(node, "body", [])
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test")


def missing_proof(proof: str, root: Path) -> str | None:
    """Why `proof` is not there, or None. A proof is a test's id, a module, a script or a verb."""
    if "::" in proof:
        path, *names = re.sub(r"\[.*\]$", "", proof).split("::")
        if not (root / path).is_file():
            return f"there is no file {path}"
        found = has_test((root / path).read_text(encoding="utf-8"), names)
        return None if found else f"{path} has no {'::'.join(names)}"
    words = proof.split()
    if words[:2] == ["python", "-m"] and len(words) > 2:
        stem = root / words[2].replace(".", "/")
        there = stem.with_suffix(".py").is_file() or (stem / "__main__.py").is_file()
        return None if there else f"there is no module {words[2]}"
    if words[:1] == ["journeyman"] and len(words) > 1:
        sources = [*(root / "src/journeyman").glob("cli.py"), *(root / "src/journeyman").glob("cli/*.py")]
        names = {getattr(n, "name", None) for path in sources for n in ast.walk(ast.parse(path.read_text()))}
        return None if words[1] in names else f"the command line has no verb {words[1]}"
    script = words[1] if words[:1] in (["python"], ["bash"]) and len(words) > 1 else (words or [""])[0]
    return None if script and (root / script).is_file() else f"'{proof}' is neither a test nor a command"


def broken_links(ledger: str, pages: Mapping[str, str], root: Path) -> list[str]:
    """Every disagreement between the table and the markers on `pages`, and every proof that is not there."""
    marked = [(name, page) for page, text in pages.items() for name in MARKER.findall(text)]
    listed = [(row.claim, row.where) for row in rows(ledger)]
    found = [f"'{name}' is claimed in {page} and has no row" for name, page in marked if (name, page) not in listed]
    found += [f"'{name}' has a row but no marker in {page}" for name, page in listed if (name, page) not in marked]
    found += [f"'{name}' is marked twice in {page}" for name, page in set(marked) if marked.count((name, page)) > 1]
    found += [f"'{name}' has two rows for {page}" for name, page in set(listed) if listed.count((name, page)) > 1]
    for row in rows(ledger):
        reasons = [missing_proof(proof, root) for proof in row.shown_by]
        found += [f"'{row.claim}': {reason}" for reason in reasons if reason]
    return found


def claim_pages() -> dict[str, str]:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = {path.relative_to(ROOT).as_posix(): path for path in paths}
    return {name: path.read_text(encoding="utf-8") for name, path in names.items() if name != LEDGER}


def test_every_claim_is_shown_by_something_that_exists():
    problems = broken_links((ROOT / LEDGER).read_text(encoding="utf-8"), claim_pages(), ROOT)
    assert not problems, "\n" + "\n".join(problems)


def test_a_false_ledger_is_found(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text("def test_b(): ...\nclass TestC:\n    def test_d(self): ...\n")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/fast.py").write_text("")
    ledger = (
        "| id | claim | where it stands | shown by |\n|---|---|---|---|\n"
        "| good | holds | README.md | `tests/test_a.py::test_b[x]`, `tests/test_a.py::TestC::test_d` |\n"
        "| run | fast | README.md | `python -m benchmarks.fast --json` |\n"
    )
    page = "Holds.<!-- claim: good --> Fast.<!-- claim: run -->"
    assert broken_links(ledger, {"README.md": page}, tmp_path) == []

    def complaints(ledger: str, page: str) -> str:
        return "\n".join(broken_links(ledger, {"README.md": page}, tmp_path))

    assert "'new' is claimed in README.md" in complaints(ledger, page + "<!-- claim: new -->")
    assert "'run' has a row but no marker" in complaints(ledger, "Holds.<!-- claim: good -->")
    assert "'good' is marked twice" in complaints(ledger, page + "<!--claim:good-->")
    assert "has no test_x" in complaints(ledger.replace("test_b[x]", "test_x"), page)
    assert "has no TestC" in complaints(ledger.replace("TestC::test_d", "TestC"), page)
    assert "no file tests/test_z.py" in complaints(ledger.replace("test_a.py::test_b", "test_z.py::test_b"), page)
    assert "no module benchmarks.slow" in complaints(ledger.replace("fast --json", "slow"), page)
    assert "neither a test nor a command" in complaints(
        ledger.replace("`python -m benchmarks.fast --json`", "trust me"), page
    )
