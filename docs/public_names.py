"""`from x import X as X` makes a name public: the reference shows it, and the build fails where it does not.

Loaded twice by `mkdocs.yml`: as an extension of Griffe, which reads the sources, and as a hook of MkDocs.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

LOG = logging.getLogger("mkdocs.hooks.public_names")
SHOWN_SPECIALS = {"__init__", "__call__"}
DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?! *```).*\S.*)*", re.MULTILINE)
VERBS = "<!-- the public verbs -->"


class PublicAliases(griffe.Extension):
    """Marks what a package's `__init__` re-exports as public, hides special methods, fences doctests."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        for module in modules(pkg):
            for name, member in module.members.items():
                own = isinstance(member, griffe.Alias) and member.target_path.startswith(f"{pkg.name}.")
                if module.is_init_module and own and not name.startswith("_"):
                    member.public = True

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        for name in [n for n in cls.members if n.startswith("__") and n not in SHOWN_SPECIALS]:
            if isinstance(cls.members[name], griffe.Function):
                cls.del_member(name)

    def on_instance(self, *, obj: griffe.Object | griffe.Alias, **_: Any) -> None:
        if not isinstance(obj, griffe.Alias) and obj.docstring is not None and "```" not in obj.docstring.value:
            obj.docstring.value = DOCTEST.sub(r"\1```pycon\n\g<0>\n\1```", obj.docstring.value)


def modules(module: griffe.Module) -> Iterator[griffe.Module]:
    """`module` and every module below it."""
    yield module
    for member in module.members.values():
        if isinstance(member, griffe.Module):
            yield from modules(member)


def public() -> dict[str, griffe.Object]:
    """Every public path -> what it finally names, shallow paths first."""
    search = Path(__file__).resolve().parents[1] / "src"
    package = griffe.load("journeyman", search_paths=[search], extensions=griffe.Extensions(PublicAliases()))
    assert isinstance(package, griffe.Module)
    found = {
        f"{module.path}.{name}": member.final_target if isinstance(member, griffe.Alias) else member
        for module in modules(package)
        if not any(part.startswith("_") for part in module.path.split("."))
        for name, member in module.members.items()
        if member.is_public and not isinstance(member, griffe.Module)
    }
    return dict(sorted(found.items(), key=lambda item: item[0].count(".")))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str | None:
    """Put the list of what `import journeyman` offers, each linked to its entry, in place of the mark."""
    if VERBS not in markdown:
        return None
    everything = public()
    lines = []
    for path, target in everything.items():
        deeper = [p for p, t in everything.items() if t is target and p.count(".") > 1]
        if path.count(".") == 1 and deeper:
            summary = target.docstring.value.splitlines()[0] if target.docstring else ""
            lines.append(f"- [`{path}`][{deeper[0]}]: {summary}")
    return markdown.replace(VERBS, "\n".join(lines))


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Warn, and so fail a strict build, for each public name that the reference does not show."""
    if page.file.src_uri != "api.md":
        return
    everything = public()
    for path, target in everything.items():
        same = [p for p, t in everything.items() if t is target]
        if not target.is_attribute and not any(f'id="{p}"' in html for p in same):
            LOG.warning("%s is public and not on the reference page", path)
