"""Packages that another one imports and hardly ever uses, imported when it does."""

import contextlib
import importlib.abc
import importlib.machinery
import pkgutil
import sys
import types
from collections.abc import Iterator
from typing import Any


class _Deferred(types.ModuleType):
    """Stands for what its name says, a module or something in one, until that is used."""

    importing = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # such a question is about the module, and not for what is in it
            raise AttributeError(name)
        if type(self).importing:
            return _Deferred(f"{self.__name__}.{name}")
        return getattr(pkgutil.resolve_name(self.__name__), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return pkgutil.resolve_name(self.__name__)(*args, **kwargs)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for every module of the packages, whether it exists or not."""

    def __init__(self, packages: set[str]) -> None:
        self.packages = packages

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        known = fullname.partition(".")[0] in self.packages
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Deferred(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


@contextlib.contextmanager
def deferred(*packages: str) -> Iterator[None]:
    """What is imported here gets stand-ins for the modules of these packages, unless they are loaded; nobody else does.

    Using anything of a stand-in later imports the module, and says then if it is not installed.
    """
    finder = _Finder({package for package in packages if package not in sys.modules})
    sys.meta_path.insert(0, finder)
    _Deferred.importing = True
    try:
        yield
    finally:
        _Deferred.importing = False
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] in finder.packages]:
            del sys.modules[name]
