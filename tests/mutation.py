"""Mutation testing of what holds the promise: `python -m tests.mutation [MODULE…]`.

Each mutant differs from a module in one place: a comparison turned, a branch taken always or never, a statement left
out, a number or a boolean changed, an argument dropped. A mutant that no test notices shows what is not tested. The
result, with a hash of each module, is kept in docs/mutation.md; what survives there is argued to be equivalent.

Every module names the tests that cover it, the quickest first. Mutants are tested in a copy of the repository, each
in a process that is forked after the libraries were imported, which takes most of the time of a small test.
"""

import argparse
import ast
import copy
import hashlib
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "mutation.md"
COPIED = ("scaler", "mover", "shared", "sandbox", "tests", "docs", "pyproject.toml")

# For each module the tests that notice its mutants.
TESTS: dict[str, str] = {
    "scaler/marker.py": "tests/scaler/test_marker.py",
    "scaler/rights.py": "tests/scaler/test_rights.py",
    "scaler/selection.py": "tests/scaler/test_selection.py tests/scaler/test_marker.py",
    "scaler/names.py": "tests/scaler/test_names.py",
    "scaler/moves.py": "tests/scaler/test_claims.py tests/scaler/test_steps.py -k 'not nextcloud'",
    "scaler/claims.py": "tests/scaler/test_claims.py tests/scaler/test_steps.py -k 'not nextcloud'",
    "scaler/claim_moves.py": "tests/scaler/test_claims.py tests/scaler/test_steps.py -k 'not nextcloud'",
    "scaler/recovery.py": "tests/scaler/test_recovery.py tests/scaler/test_claims.py tests/faults/test_state_gaps.py",
    "scaler/in_place.py": "tests/scaler/test_in_place.py",
    "scaler/detection.py": "tests/scaler/test_detection.py",
    "mover/selection.py": "tests/mover/test_selection.py",
    "mover/move.py": "tests/mover/test_one_image.py tests/mover/test_meanwhile.py",
    "shared/printable.py": "tests/shared/test_logging.py",
    "shared/logging.py": "tests/shared/test_logging.py",
    "shared/log_file.py": "tests/shared/test_logging.py",
    "shared/config/vault_session.py": "tests/shared/test_vault_transport.py",
    "shared/config/vault.py": "tests/shared/test_vault_transport.py tests/shared/test_vault.py",
}
LIBRARIES = (
    "cheroot.wsgi",
    "cv2",
    "hvac",
    "imagecodecs",
    "lxml.etree",
    "nc_py_api",
    "numpy",
    "PIL.Image",
    "prometheus_client",
    "pydantic",
    "tenacity",
    "tifffile",
    "tqdm",
    "webdav3.client",
    "wsgidav.wsgidav_app",
)
# Longer than any of these tests takes; a mutant may loop for ever.
TIMEOUT = 240.0
_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPPOSITE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one change.

    Attributes:
        line: where, counted from 1.
        change: in words: the source before and after.
        source: of the whole module.
    """

    line: int
    change: str
    source: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """All mutants of a module."""
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    for parent in list(ast.walk(tree)):
        # How a data class is stored is no behaviour.
        if isinstance(parent, ast.keyword) and parent.arg in ("frozen", "slots", "repr"):
            continue
        for field, value in list(ast.iter_fields(parent)):
            places = enumerate(value) if isinstance(value, list) else [(None, value)]
            for place, node in places:
                if not isinstance(node, ast.stmt | ast.expr):
                    continue
                for changed in _changed(node):
                    _put(parent, field, place, ast.copy_location(changed, node))
                    text = ast.unparse(ast.fix_missing_locations(tree))
                    _put(parent, field, place, node)
                    if text not in seen:
                        seen.add(text)
                        yield Mutant(node.lineno, f"{_short(node)} → {_short(changed)}", text)


def _put(parent: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[place] = node


def _changed(node: ast.AST) -> Iterator[ast.AST]:  # noqa: PLR0912 - a table
    """What a node can be replaced with."""
    match node:
        case ast.Compare(ops=[op]):
            yield _with(node, ops=[_TURNED[type(op)]()])
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            yield from values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=op) if type(op) in _OPPOSITE:
            yield _with(node, op=_OPPOSITE[type(op)]())
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.If(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Constant):
            yield _with(node, test=ast.Constant(True))
            yield _with(node, test=ast.Constant(False))
        case ast.Call(func=ast.Name("dataclass")):
            return
        case ast.Call(keywords=keywords) if keywords:
            for keyword in keywords:
                yield _with(node, keywords=[other for other in keywords if other is not keyword])
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Constant()):
            return
        # Without a local name the module would only fail.
        case ast.Assign(targets=[ast.Name() | ast.Tuple()]):
            return
        case ast.Expr() | ast.Raise() | ast.Assign() | ast.AugAssign() | ast.Delete():
            yield ast.Pass()


def _with(node: ast.AST, **changes: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def _short(node: ast.AST) -> str:
    line = " ".join(ast.unparse(node).split())
    return line if len(line) <= 60 else line[:57] + "…"


class Bench:
    """A copy of the repository in which mutants are tested."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder)
        for library in LIBRARIES:
            importlib.import_module(library)

    def passes(self, module: str, source: str, tests: str) -> bool:
        """Whether all tests pass with this source."""
        file = self._folder / module
        before = file.read_text()
        file.write_text(source)
        # Bytecode is recognized by size and second, which two mutants may share.
        Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
        try:
            child = os.fork()
            if not child:
                try:
                    os._exit(self._test(tests))
                finally:
                    os._exit(1)
            return self._status(child) == 0
        finally:
            file.write_text(before)

    def _test(self, tests: str) -> int:
        """In the child: run the tests; return their status."""
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        os.chdir(self._folder)
        # Before the repository, which the environment's own path names; also for the processes that tests start.
        sys.path.insert(0, str(self._folder))
        os.environ["PYTHONPATH"] = str(self._folder)
        for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
            del sys.modules[name]
        importlib.invalidate_caches()
        quick = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not server and not slow")
        imported = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
        return int(pytest.main([*quick, *imported, *shlex.split(tests)]))

    def _status(self, child: int) -> int:
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 1


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one module."""

    module: str
    tested: int
    survivors: tuple[Mutant, ...]


def try_module(bench: Bench, module: str, limit: float) -> Result:
    """Test all mutants of a module, or those that fit into the time.

    Args:
        limit: seconds.
    """
    source, tests = (ROOT / module).read_text(), TESTS[module]
    if not bench.passes(module, ast.unparse(ast.parse(source)), tests):
        raise SystemExit(f"The tests of {module} fail without a mutant, or the machine is too busy.")
    survivors, tested, until = [], 0, time.monotonic() + limit
    # Mixed, so that a part of them is a fair sample.
    mutants = sorted(mutants_of(source), key=lambda mutant: hashlib.sha256(mutant.source.encode()).digest())
    for mutant in mutants:
        if time.monotonic() > until:
            break
        tested += 1
        if bench.passes(module, mutant.source, tests):
            survivors.append(mutant)
            _say(f"survived: {module}:{mutant.line}: {mutant.change}")
    return Result(module, tested, tuple(survivors))


def hash_of(module: str) -> str:
    """The first digits of a module's SHA-256."""
    return hashlib.sha256((ROOT / module).read_bytes()).hexdigest()[:12]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Test the modules that are named, or all, and print a row of the table and the survivors of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS", help="for each module")
    options = parser.parse_args()
    for module in options.modules or TESTS:
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            result = try_module(Bench(Path(folder)), module, options.limit)
        everything = len(list(mutants_of((ROOT / module).read_text())))
        _say(f"| `{module}` | {hash_of(module)} | {everything} | {result.tested} | {len(result.survivors)} |")
        for mutant in result.survivors:
            _say(f"| `{module}` | {mutant.line} | `{re.sub('[|`]', '/', mutant.change)}` | |")


if __name__ == "__main__":
    main()
