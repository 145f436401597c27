"""The types of `retinue_client.sync`, written from the source of the asynchronous classes.

Owns that transformation: `async def` becomes `def`, an asynchronous iterator a plain one, and bodies go. Run it with
`python -m retinue_client.sync_types`; a test fails when `sync.pyi` is not what it would write.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from retinue_client import account, agents, client, executions, versions

TARGET = Path(__file__).with_name("sync.pyi")
_CLASSES: tuple[tuple[ModuleType, str], ...] = (
    (agents, "Agent"),
    (agents, "Agents"),
    (versions, "Versions"),
    (executions, "Executions"),
    (account, "Tokens"),
    (client, "Retinue"),
)
_MADE = {name for _, name in _CLASSES}
_CONSTRUCTED = "Retinue"
_ITERATORS = ("AsyncGenerator", "AsyncIterator")
_RENAMED = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
_HEAD = """\
# The client without `await`. Written by `python -m retinue_client.sync_types`; do not edit.
from collections.abc import Iterator
"""


def render() -> str:
    """The text of `sync.pyi`."""
    trees = {module: ast.parse(Path(str(module.__file__)).read_text()) for module, _ in _CLASSES}
    made = [_face(_class(trees[module], name)) for module, name in _CLASSES]
    used = {node.id for part in made for node in ast.walk(part) if isinstance(node, ast.Name)} - _MADE
    lines = sorted({line for module, tree in trees.items() for line in _imports(module, tree, used)})
    return _HEAD + "\n".join([*lines, *map(ast.unparse, map(ast.fix_missing_locations, made))]) + "\n"


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _imports(module: ModuleType, tree: ast.Module, used: set[str]) -> Iterator[str]:
    """What a stub imports to use these names: what the module imports, and what it defines itself."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for alias in node.names:
                if (alias.asname or alias.name) in used:
                    yield f"from {node.module} import {alias.name}"
        elif isinstance(node, ast.ClassDef) and node.name in used:
            yield f"from {module.__name__} import {node.name}"


def _face(found: ast.ClassDef) -> ast.ClassDef:
    body = [kept for member in found.body for kept in _member(member, constructed=found.name == _CONSTRUCTED)]
    return ast.ClassDef(name=found.name, bases=[], keywords=[], body=body, decorator_list=[])


def _member(member: ast.stmt, *, constructed: bool) -> Iterable[ast.stmt]:
    """A member of a class as a stub has it; none of what callers do not use."""
    if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
        return [] if member.target.id.startswith("_") else [member]
    if not isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    if member.name.startswith("_") and not (constructed and member.name in ("__init__", *_RENAMED)):
        return []
    _Plain().generic_visit(member)
    member.args.defaults = [_default(value) for value in member.args.defaults]
    member.args.kw_defaults = [None if value is None else _default(value) for value in member.args.kw_defaults]
    documented = [member.body[0]] if ast.get_docstring(member) else []
    return [
        ast.FunctionDef(
            name=_RENAMED.get(member.name, member.name),
            args=member.args,
            body=[*documented, ast.Expr(ast.Constant(...))],
            decorator_list=member.decorator_list,
            returns=member.returns,
        )
    ]


class _Plain(ast.NodeTransformer):
    """Annotations without what is asynchronous."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.Subscript:
        """Make an asynchronous iterator a plain one."""
        if isinstance(node.value, ast.Name) and node.value.id in _ITERATORS:
            inner = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
            return ast.Subscript(ast.Name("Iterator"), inner)
        return node


def _default(value: ast.expr) -> ast.expr:
    return value if isinstance(value, ast.Constant) else ast.Constant(...)


if __name__ == "__main__":
    TARGET.write_text(render())
