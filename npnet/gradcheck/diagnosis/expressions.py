"""The expressions in the source of forward: their values, and how to change one of them."""

from __future__ import annotations

import ast
import copy
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_WATCH = "_gradcheck_watch"
_PARENT = "_gradcheck_parent_"
_WATCHED = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Subscript, ast.Attribute, ast.Name, ast.Constant)
_LIBRARIES = {"npnet", "numpy", "scipy", "numba", "torch", *sys.stdlib_module_names}
Apply = Callable[..., Any]  # computes an expression of the values of its parts
Change = Callable[[Apply, tuple[Any, ...], int], Any]  # also given how often it was computed


class Expression(NamedTuple):
    """A part of the source; `parts` are the numbers of what it is computed of, or None."""

    text: str
    line: int
    node: ast.AST
    parts: tuple[int | None, ...]
    function: str


class Expressions:
    """The expressions of some functions; `values` are those at first, None if not floating.

    One of them may be changed; the `still` are constants besides.
    """

    def __init__(self, layers: list[Any]) -> None:
        self.found: list[Expression] = []
        self.values: list[list[Any]] = []
        self.still: set[int] = set()
        self._keeping, self._numbers, self._counts = False, set[int](), list[int]()
        self._changed: Any = None
        self._done: dict[Any, Any] = {}
        self._copies: dict[int, Any] = {}
        for layer in layers:
            if layer is not layers[0] and not _is_users(type(layer)):
                continue
            own = (k for k in type(layer).__mro__ if _is_users(k))
            for name, value in [pair for k in own for pair in vars(k).items()]:
                if isinstance(value, dict | list | set | np.ndarray) and name not in vars(layer):
                    object.__setattr__(layer, name, self._copied(value))
            self._rewrite_methods(layer, ["terms" if hasattr(layer, "terms") else "forward"])

    def keep(self, run: Callable[[], object]) -> None:
        """Run forward and keep the values of its expressions."""
        self.values, self._keeping = [[] for _ in self.found], True
        self._counts = [0] * len(self.found)
        run()
        self._keeping = False

    def change(self, number: int, changed: Change | None) -> None:
        """Change one of them in the next pass, a number wherever it stands; none if it is -1."""
        self._numbers, self._changed = {number}, changed
        if number >= 0 and isinstance(self.found[number].node, ast.Attribute):
            text, shape = self.found[number].text, np.shape(self.values[number][0])
            alike = (k for k, e in enumerate(self.found) if e.text == text and not shape)
            self._numbers.update(k for k in alike if self.values[k])
        self._counts = [0] * len(self.found)

    def watch(self, number: int, apply: Apply, *parts: Any) -> Any:
        """Return the value of an expression, or what it is changed to."""
        k = self._counts[number]
        self._counts[number] += 1
        if not self._keeping and k > 100 + 2 * len(self.values[number]):
            raise IndexError("a loop does not end when an expression is changed")
        if self._keeping:
            value = apply(*parts)
            floating = isinstance(value, np.ndarray | float) and np.asarray(value).dtype.kind == "f"
            if floating and self.found[number].text.startswith("np.empty"):
                value.fill(np.nan)  # whatever memory held must not be taken for a value
            known = floating and not np.isnan(value).any()
            self.values[number].append(np.array(value) if known else None)
            return value
        if number in self._numbers:
            counts = self._counts.copy()
            value = self._changed(apply, parts, k)
            self._counts = counts
        elif number in self.still:
            value = self.values[number][k]
        else:
            return apply(*parts)
        return np.asarray(value).astype(self.values[number][k].dtype)

    def shown(self, number: int) -> str:
        """Show an expression, a name with what it is part of."""
        e = self.found[number]
        text = e.text if len(e.text) < 120 else e.text[:117] + "..."
        whole = next((o for o in self.found if number in o.parts), None)
        if isinstance(e.node, ast.Name | ast.Attribute | ast.Subscript) and whole:
            return f"`{text}` in `{whole.text}` (line {e.line})"
        return f"`{text}` (line {e.line})"

    def _rewrite_methods(self, layer: Any, names: list[str]) -> None:
        for name in names:
            method = inspect.getattr_static(type(layer), name, None)
            if isinstance(method, types.FunctionType) and name not in vars(layer):
                new = self._rewritten(method, type(layer))
                if new is not None:
                    object.__setattr__(layer, name, types.MethodType(new, layer))
                    called = set(method.__code__.co_names) - {"backward"}
                    own = [n for n in called if _is_users(getattr(type(layer), n, None))]
                    self._rewrite_methods(layer, own)

    def _rewritten(self, function: types.FunctionType, owner: Any = None) -> Any:
        """Return the same function with all its expressions watched; None without its source."""
        if function in self._done:
            return self._done[function]
        self._done[function] = function
        definition = _definition(function)
        if definition is None:
            return None
        marker = _Marker(self.found, definition)
        definition.body = [marker.visit(s) for s in definition.body]
        scope = dict(function.__globals__)
        names = set(function.__code__.co_names)
        for name in scope.keys() & names:
            scope[name] = self._replaced(scope[name], names)
        scope[_WATCH] = self.watch
        for name in marker.of_parents:
            above = [k for k in owner.__mro__ if name in vars(k)] if owner else []
            after = [k for k in above if vars(k)[name] is not function]
            if after:
                method = vars(after[0])[name]
                scope[_PARENT + name] = self._replaced(method, set(), owner)
        exec(_compiled(definition, function), scope)
        cells = [self._copied(c.cell_contents) for c in function.__closure__ or ()]
        new = scope["_outer"](*cells)
        new.__defaults__ = self._copied(function.__defaults__)
        new.__kwdefaults__ = self._copied(function.__kwdefaults__)
        self._done[function] = new
        return new

    def _replaced(self, found: Any, names: set[str], owner: Any = None) -> Any:
        """Rewrite a function, or those of a module; copy what a changed forward may write into."""
        if isinstance(found, types.ModuleType):
            used = vars(found).keys() & names if _is_users(found) else set()
            own = {n: self._replaced(getattr(found, n), set()) for n in used}
            return types.SimpleNamespace(**own) if own else found
        if isinstance(found, types.FunctionType) and _is_users(found):
            return self._rewritten(found, owner) or found
        return self._copied(found)

    def _copied(self, value: Any) -> Any:
        return copy.deepcopy(value, self._copies)


def _definition(function: types.FunctionType) -> ast.FunctionDef | None:
    """Parse a function; None without its source, or if that is not what runs (edited, wrapped)."""
    try:
        text = inspect.getsource(function)
        inner = text[:1].isspace()
        (tree,) = ast.parse("if True:\n" * inner + text).body
    except (OSError, TypeError, SyntaxError, ValueError):  # there is none, or it is a lambda
        return None
    definition = tree.body[0] if isinstance(tree, ast.If) else tree
    code = function.__code__
    if not isinstance(definition, ast.FunctionDef) or definition.name != code.co_name:
        return None
    ast.increment_lineno(definition, code.co_firstlineno - 1 - inner)
    definition.decorator_list, definition.args.defaults = [], []
    definition.args.kw_defaults = [None for _ in definition.args.kw_defaults]
    found = _compiled(definition, function)
    while found.co_name != code.co_name:
        found = next(c for c in found.co_consts if isinstance(c, types.CodeType))
    return definition if _same(found, code) else None


def _compiled(definition: ast.FunctionDef, function: types.FunctionType) -> types.CodeType:
    outer = ast.parse(
        f"def _outer({', '.join(function.__code__.co_freevars)}):\n    return {definition.name}"
    )
    outer.body[0].body.insert(0, definition)  # type: ignore[attr-defined]
    return compile(ast.fix_missing_locations(outer), "<watched>", "exec")


def _same(one: Any, other: Any) -> bool:
    """Whether two constants, or code in which they stand, are the same."""
    if not (isinstance(one, types.CodeType) and isinstance(other, types.CodeType)):
        return repr(one) == repr(other)
    parts = [(c.co_names, c.co_varnames, c.co_freevars, len(c.co_consts)) for c in (one, other)]
    return parts[0] == parts[1] and all(map(_same, one.co_consts, other.co_consts))


def _is_users(found: Any) -> bool:
    """Whether a function, class or module is the user's, or npnet's arithmetic."""
    module = isinstance(found, types.ModuleType)
    name = found.__name__ if module else getattr(found, "__module__", None) or "numpy"
    return name.startswith("npnet.ops") or name.split(".")[0] not in _LIBRARIES


class _Marker(ast.NodeTransformer):
    """Writes watch(number, lambda parts: expression, parts) where there may be an array."""

    def __init__(self, found: list[Expression], function: ast.FunctionDef) -> None:
        self.found, self.function = found, function.name
        self.first = function.args.args[0].arg if function.args.args else ""
        self.of_parents: list[str] = []

    def visit(self, node: ast.AST) -> Any:
        """Mark what is read; leave alone what is written, called, compared or an index."""
        if isinstance(node, ast.Compare | ast.JoinedStr | ast.Slice | ast.Lambda):
            return node
        if isinstance(getattr(node, "ctx", None), ast.Store):
            return node if isinstance(node, ast.Subscript) else self.generic_visit(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("super()."):
            name = node.func.attr  # type: ignore[attr-defined]
            self.of_parents.append(name)
            node.func = ast.Name(_PARENT + name, ast.Load())
            arguments = [self.visit(a) for a in node.args]
            node.args = [ast.Name(self.first, ast.Load()), *arguments]
            return node
        if not isinstance(node, _WATCHED):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                call, owner = node.value, ast.unparse(node.value.func).partition(".")[0]
                # NumPy's functions may write into their first argument, one's own into any.
                kept = {"np": 1, "numpy": 1, "self": len(call.args)}.get(owner, 0)
                call.args[kept:] = [self.visit(a) for a in call.args[kept:]]
                return node
            return self.generic_visit(node)
        text, line = ast.unparse(node), node.lineno
        where: list[tuple[Any, Any]] = []  # what holds a part, and its name or place there
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and not _is_module(node.func):
                where.append((node.func, "value"))
            where += [(node.args, i) for i in range(len(node.args))]
            where += [(k, "value") for k in node.keywords if k.arg not in ("out", None)]
        elif isinstance(node, ast.BinOp):
            where = [(node, "left"), (node, "right")]
        elif isinstance(node, ast.UnaryOp):
            where = [(node, "operand")]
        elif not _dotted(node):
            where = [(node, "value")]
        parts, names, numbers = list[ast.expr](), list[str](), list[int | None]()
        for holder, at in where:
            part = holder[at] if isinstance(at, int) else getattr(holder, at)
            new = self.visit(part)
            if not isinstance(part, ast.Starred):
                names.append(f"_p{len(names)}")
                parts.append(new)
                marked = isinstance(new, ast.Call) and getattr(new.func, "id", "") == _WATCH
                numbers.append(new.args[0].value if marked else None)
                new = ast.Name(names[-1], ast.Load())
            if isinstance(at, int):
                holder[at] = new
            else:
                setattr(holder, at, new)
        self.found.append(Expression(text, line, node, tuple(numbers), self.function))
        of_parts = ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, [])
        number = ast.Constant(len(self.found) - 1)
        watch = ast.Name(_WATCH, ast.Load())
        return ast.Call(watch, [number, ast.Lambda(of_parts, node), *parts], [])


def _dotted(node: ast.AST) -> bool:
    """Whether it is a name with attributes alone, as self.weight.data, or a number."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name | ast.Constant)


def _is_module(node: ast.AST) -> bool:
    """Whether a function belongs to a module, the layer or its context, and to no array."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in ("np", "numpy", "self", "ctx")
