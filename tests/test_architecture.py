"""The house rules, read from the sources: what imports what, how large things are, what is documented.

Every rule is a function from sources to complaints, so that the second half of this file can plant a fault
and demand that it is found.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "journeyman"

# The way of the data: a station imports from itself and from those above it.
STATIONS = (
    "_refusals _settings parts episodes worlds policies experts collect corrections weights objectives geometry"
    " training algorithms diagnose verify report datasets figures label cluster sessions cli __main__"
).split()
LAZY = (
    "envpool gymnasium mujoco imageio plotly jinja2 tensorboardX orbax tyro rich safetensors gym_pusht h5py"
    " minari pyarrow ray starlette fastapi uvicorn gymnax mujoco_playground brax matplotlib"
).split()
EAGER_IN_CLI = {"tyro", "rich"}
CRACKS = {"utils", "util", "helpers", "helper", "common", "misc", "core"}

FILE_LINES, FUNCTION_LINES, NESTING, POSITIONAL = 350, 40, 3, 8

# A written reason for each exception: the rule's key as the complaint shows it in brackets -> why.
# Files may reach 500 lines and functions 80 with a reason; nothing may go beyond.
REASONS: dict[str, str] = {}
HARD_FILE_LINES, HARD_FUNCTION_LINES = 500, 80

Sources = Mapping[str, str]  # dotted module name -> text; a package's name ends in ".__init__"


def read_sources() -> dict[str, str]:
    src = ROOT / "src"
    return {
        ".".join(path.relative_to(src).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in sorted((src / PACKAGE).rglob("*.py"))
    }


# -- reading -----------------------------------------------------------------------------------------------


class Import(NamedTuple):
    target: str  # the module, and where a name is taken from it, "module.name"
    line: int
    top: bool  # runs when the module is imported


def imports(module: str, text: str) -> Iterator[Import]:
    package = module.split(".")[:-1]

    def visit(node: ast.AST, top: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                origin = ".".join([*base, *([child.module] if child.module else [])])
                yield from (Import(f"{origin}.{alias.name}", child.lineno, top) for alias in child.names)
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                yield from visit(child, top and not inside)

    yield from visit(ast.parse(text), True)


def station(module: str) -> str:
    """`journeyman.worlds._base` -> `worlds`; the package itself -> `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


def functions(text: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            name = f"{prefix}{getattr(child, 'name', '')}"
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield name, child
                yield from visit(child, name + ".")
            else:
                yield from visit(child, name + "." if isinstance(child, ast.ClassDef) else prefix)

    yield from visit(ast.parse(text), "")


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def nesting(node: ast.AST, depth: int = 0) -> int:
    """The deepest stack of blocks below `node`; an `elif` counts as its `if`."""
    deepest = depth
    for field, value in ast.iter_fields(node):
        children = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, ast.AST)]
        for child in children:
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            is_elif = (
                field == "orelse" and isinstance(node, ast.If) and len(children) == 1 and isinstance(child, ast.If)
            )
            deeper = isinstance(child, BLOCKS) and not is_elif
            deepest = max(deepest, nesting(child, depth + deeper))
    return deepest


# -- the rules: sources -> complaints ------------------------------------------------------------------------


def upward_imports(sources: Sources) -> list[str]:
    found = []
    for module, text in sources.items():
        here = station(module)
        if here == "__init__":
            continue
        if here not in STATIONS:
            found.append(f"{module}: '{here}' is no station; the stations are {', '.join(STATIONS)} [station:{here}]")
            continue
        for name, line, _ in imports(module, text):
            if name.split(".")[0] != PACKAGE:
                continue
            there = station(name)
            key = f"import:{module}->{there}"
            if there not in STATIONS:
                found.append(f"{module}:{line} imports '{name}' from the package itself; import the station [{key}]")
            elif STATIONS.index(there) > STATIONS.index(here):
                found.append(f"{module}:{line} imports {name}, but {there} comes after {here} [{key}]")
    return found


def eager_imports(sources: Sources) -> list[str]:
    return [
        f"{module}:{line} imports {name} at its top level; import it in a function [eager:{module}:{root}]"
        for module, text in sources.items()
        for name, line, top in imports(module, text)
        for root in [name.split(".")[0]]
        if top and root in LAZY and not (root in EAGER_IN_CLI and station(module) in ("cli", "__main__"))
    ]


def cracks(sources: Sources) -> list[str]:
    return [
        f"{module}: '{part}' says nothing about what is in it; name the thing [crack:{module}]"
        for module in sources
        for part in module.split(".")
        if part.strip("_") in CRACKS
    ]


def cycles(sources: Sources) -> list[str]:
    """Modules that import each other in a ring. A package's `__init__` counts like any other module."""
    names = {module.removesuffix(".__init__"): module for module in sources}

    def resolve(target: str) -> str | None:
        if target in names:
            return target
        parent = target.rpartition(".")[0]
        return parent if parent in names else None

    graph = {
        name: {there for each in imports(module, sources[module]) if each.top and (there := resolve(each.target))}
        for name, module in names.items()
        if name != PACKAGE
    }
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            ring = (*trail[trail.index(name) :], name)
            found.append(f"{' -> '.join(ring)} is a ring of imports [cycle:{ring[0]}]")
        elif name not in done:
            for there in sorted(graph.get(name, ())):
                visit(there, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    return found


def large(sources: Sources) -> list[str]:
    found = []
    for module, text in sources.items():
        lines = text.count("\n")
        if lines > FILE_LINES:
            found.append(f"{module} has {lines} lines, over {FILE_LINES} [file:{module}]")
        if lines > HARD_FILE_LINES:
            found.append(f"{module} has {lines} lines; no reason allows more than {HARD_FILE_LINES} [hard]")
        for name, function in functions(text):
            at, key = f"{module}:{function.lineno} {name}", f"{module}.{name}"
            count, depth = own_lines(function), nesting(function)
            arguments = [a.arg for a in function.args.posonlyargs + function.args.args]
            positional = len([a for a in arguments if a not in ("self", "cls")])
            if count > FUNCTION_LINES:
                found.append(f"{at} has {count} lines without its docstring, over {FUNCTION_LINES} [function:{key}]")
            if count > HARD_FUNCTION_LINES:
                found.append(f"{at} has {count} lines; no reason allows more than {HARD_FUNCTION_LINES} [hard]")
            if depth > NESTING:
                found.append(f"{at} nests {depth} deep, over {NESTING} [nesting:{key}]")
            if positional > POSITIONAL:
                found.append(f"{at} takes {positional} positional parameters, over {POSITIONAL} [positional:{key}]")
    return found


Public = tuple[str, str]  # (namespace, name): what a user can write


def public_names(sources: Sources) -> dict[Public, tuple[str, str]]:
    """Each public name -> (module, name) it comes from: `X as X` in an `__init__`, or a module's own."""
    found: dict[Public, tuple[str, str]] = {}
    for module, text in sources.items():
        if any(part.startswith("_") and part != "__init__" for part in module.split(".")):
            continue
        namespace = module.removesuffix(".__init__")
        package = module.split(".")[:-1]
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom) and module.endswith("__init__"):
                base = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*base, *([node.module] if node.module else [])])
                for alias in node.names:
                    if alias.asname == alias.name:
                        found[namespace, alias.name] = (origin, alias.name)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
                found[namespace, node.name] = (module, node.name)
    return found


def definition(sources: Sources, module: str, name: str, seen: int = 0) -> ast.AST | None:
    """The node that defines `module.name`, through re-exports; the tree itself for a submodule."""
    for dotted in (f"{module}.{name}", f"{module}.{name}.__init__"):
        if dotted in sources:
            return ast.parse(sources[dotted])
    text = sources.get(module, sources.get(f"{module}.__init__"))
    if text is None or seen > 9:
        return None
    here = module if module in sources else f"{module}.__init__"
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
            return node
        names = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == name for target in names):
            return node
        if isinstance(node, ast.ImportFrom) and any((a.asname or a.name) == name for a in node.names):
            base = here.split(".")[: -node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            real = next(a.name for a in node.names if (a.asname or a.name) == name)
            return definition(sources, origin, real, seen + 1)
    return None


DOCUMENTABLE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


def undocumented(sources: Sources) -> list[str]:
    found = []
    for (namespace, name), (module, real) in public_names(sources).items():
        node = definition(sources, module, real)
        if isinstance(node, DOCUMENTABLE) and ast.get_docstring(node) is None:
            found.append(f"{namespace}.{name} (in {module}) has no docstring [docstring:{namespace}.{name}]")
        if node is None and module.split(".")[0] == PACKAGE:
            found.append(f"{namespace}.{name} is taken from {module}, which does not define it [missing:{name}]")
    return found


def off_the_page(sources: Sources, pages: Mapping[str, str]) -> list[str]:
    """Public names that no page shows, neither by a mkdocstrings block of their namespace nor in `code`."""
    text = "\n".join(pages.values())
    blocks = set(re.findall(r"^::: +([\w.]+)", text, re.MULTILINE))
    mentioned = set(re.findall(r"[A-Za-z_]\w*", " ".join(re.findall(r"`[^`]+`", text))))
    return [
        f"{namespace}.{name} appears on no page below docs/ [page:{namespace}.{name}]"
        for namespace, name in public_names(sources)
        if not blocks & {namespace, f"{namespace}.{name}"} and name not in mentioned
    ]


def pages() -> dict[str, str]:
    docs = ROOT / "docs"
    return {str(path.relative_to(docs)): path.read_text(encoding="utf-8") for path in sorted(docs.rglob("*.md"))}


# -- the library keeps them ----------------------------------------------------------------------------------


def keys(complaints: list[str]) -> set[str]:
    return {complaint[complaint.rindex("[") + 1 : -1] for complaint in complaints}


def unexcused(complaints: list[str]) -> str:
    return "\n".join(c for c in complaints if not keys([c]) & set(REASONS))


def everything(sources: Sources) -> list[str]:
    rules = (upward_imports, eager_imports, cracks, cycles, large, undocumented)
    return [complaint for rule in rules for complaint in rule(sources)] + off_the_page(sources, pages())


@pytest.mark.parametrize("rule", [upward_imports, eager_imports, cracks, cycles, large, undocumented])
def test_the_library_keeps(rule):
    complaints = unexcused(rule(read_sources()))
    assert not complaints, f"\n{complaints}"


def test_every_public_name_is_on_a_page():
    complaints = unexcused(off_the_page(read_sources(), pages()))
    assert not complaints, f"\n{complaints}"


def test_exceptions_have_a_reason_and_are_still_needed():
    assert all(len(reason.split()) >= 4 for reason in REASONS.values())
    stale = set(REASONS) - keys(everything(read_sources()))
    assert not stale, f"no longer needed: {sorted(stale)}"


def test_stations_on_disk_are_the_stations_of_the_law():
    there = {station(module) for module in read_sources()} - {"__init__"}
    assert there <= set(STATIONS)


# -- and the rules can fail ----------------------------------------------------------------------------------

LONG = "def long():\n" + "    x = 1\n" * 45
DEEP = """
def deep(a):
    if a:
        for b in a:
            while b:
                with b:
                    pass
"""
LADDER = """
def ladder(a):
    if a == 1:
        return 1
    elif a == 2:
        return 2
    elif a == 3:
        return 3
    elif a == 4:
        return 4
    elif a == 5:
        return 5
"""
DOCSTRING = 'def documented():\n    """One.\n' + "    line\n" * 60 + '    """\n    return 1\n'

PLANTED = [
    (
        upward_imports,
        {"journeyman.worlds._a": "from journeyman.policies import x"},
        "policies comes after worlds",
    ),
    (
        upward_imports,
        {"journeyman.worlds._a": "import journeyman.training._fit"},
        "training comes after worlds",
    ),
    (upward_imports, {"journeyman.worlds._a": "from ..policies import x"}, "policies comes after worlds"),
    (
        upward_imports,
        {"journeyman.worlds.__init__": "from ..policies import x"},
        "policies comes after worlds",
    ),
    (
        upward_imports,
        {"journeyman.worlds._a": "from journeyman import policies"},
        "policies comes after worlds",
    ),
    (
        upward_imports,
        {"journeyman.worlds._a": "def f():\n    import journeyman.cli"},
        "cli comes after worlds",
    ),
    (
        upward_imports,
        {"journeyman.worlds._a": "if TYPE_CHECKING:\n    from journeyman.policies import P"},
        "policies comes after worlds",
    ),
    (upward_imports, {"journeyman.worlds._a": "from journeyman import fit"}, "from the package itself"),
    (upward_imports, {"journeyman.gadgets": ""}, "'gadgets' is no station"),
    (eager_imports, {"journeyman.worlds._envpool": "import envpool"}, "imports envpool"),
    (eager_imports, {"journeyman.training._run": "from orbax import checkpoint"}, "imports orbax.checkpoint"),
    (
        eager_imports,
        {"journeyman.worlds._a": "try:\n    import mujoco\nexcept ImportError: ..."},
        "imports mujoco",
    ),
    (eager_imports, {"journeyman.report._a": "class A:\n    import plotly"}, "imports plotly"),
    (eager_imports, {"journeyman.training._bar": "import rich"}, "imports rich"),
    (cracks, {"journeyman.worlds._utils": ""}, "'_utils' says nothing"),
    (cracks, {"journeyman.common.__init__": ""}, "'common' says nothing"),
    (
        cycles,
        {
            "journeyman.worlds._a": "from journeyman.worlds._b import b",
            "journeyman.worlds._b": "from journeyman.worlds import _a",
            "journeyman.worlds.__init__": "",
        },
        "journeyman.worlds._a -> journeyman.worlds._b -> journeyman.worlds._a is a ring",
    ),
    (large, {"journeyman.episodes": "\n" * 351}, "351 lines, over 350"),
    (large, {"journeyman.episodes": "\n" * 501}, "no reason allows more than 500"),
    (large, {"journeyman.episodes": LONG}, "46 lines without its docstring"),
    (
        large,
        {"journeyman.episodes": "class A:\n" + re.sub("^", "    ", LONG, flags=re.M)},
        "A.long has 46 lines",
    ),
    (large, {"journeyman.episodes": DEEP}, "nests 4 deep"),
    (large, {"journeyman.episodes": "def f(a, b, c, d, e, f, g, h, i): ..."}, "9 positional parameters"),
    (undocumented, {"journeyman.episodes": "def f(): ..."}, "journeyman.episodes.f"),
    (
        undocumented,
        {
            "journeyman.worlds.__init__": "from journeyman.worlds._a import A as A",
            "journeyman.worlds._a": "class A: ...",
        },
        "journeyman.worlds.A (in journeyman.worlds._a) has no docstring",
    ),
    (
        undocumented,
        {
            "journeyman.__init__": "from journeyman.worlds import A as A",
            "journeyman.worlds.__init__": "from ._a import A as A",
            "journeyman.worlds._a": "class A: ...",
        },
        "journeyman.A (in journeyman.worlds) has no docstring",
    ),
    (
        undocumented,
        {"journeyman.__init__": "from journeyman import worlds as worlds", "journeyman.worlds.__init__": ""},
        "journeyman.worlds (in journeyman) has no docstring",
    ),
]


@pytest.mark.parametrize(("rule", "sources", "message"), PLANTED)
def test_a_planted_fault_is_found(rule, sources, message):
    assert message in "\n".join(rule(sources))


CLEAN = [
    (upward_imports, {"journeyman.policies._a": "from journeyman.worlds import x\nimport jax"}),
    (upward_imports, {"journeyman.__init__": "from journeyman.cli import main as main"}),
    (eager_imports, {"journeyman.worlds._a": "def f():\n    import envpool"}),
    (eager_imports, {"journeyman.cli": "import tyro"}),
    (cracks, {"journeyman.geometry._score": ""}),
    (
        cycles,
        {
            "journeyman.worlds._a": "def f():\n    import journeyman.worlds._b",
            "journeyman.worlds._b": "import journeyman.worlds._a",
        },
    ),
    (large, {"journeyman.episodes": LADDER}),
    (large, {"journeyman.episodes": DOCSTRING}),
    (large, {"journeyman.episodes": "class A:\n    def f(self, a, b, c, d, e, f, g, h, *, i, j): ..."}),
    (undocumented, {"journeyman.episodes": "def _f(): ...\nX = 1\nfrom numpy import array"}),
]


@pytest.mark.parametrize(("rule", "sources"), CLEAN)
def test_what_is_allowed_is_not_flagged(rule, sources):
    assert rule(sources) == []


def test_a_name_on_no_page_is_found():
    sources = {"journeyman.episodes": "def lost(): ...\ndef told(): ..."}
    assert keys(off_the_page(sources, {"a.md": "see `told(1)`, never lost"})) == {"page:journeyman.episodes.lost"}
    assert off_the_page(sources, {"api.md": "::: journeyman.episodes\n"}) == []


# -- and the tests are as strict as they say ------------------------------------------------------------------


def test_types_and_ranks_are_not_promoted():
    with pytest.raises(Exception, match="promotion"):
        jnp.ones(3, jnp.int32) + jnp.ones(3, jnp.float32)
    with pytest.raises(ValueError, match="rank"):
        jnp.ones(3) + jnp.ones((2, 3))
