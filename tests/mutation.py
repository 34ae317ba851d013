"""Mutation testing of what holds the promise: `python -m tests.mutation [MODULE…]`.

Each mutant differs from a module in one place: a comparison turned, a branch taken always or never, a statement left
out, a number or a boolean changed, an argument dropped. A mutant that no test notices shows what is not tested. The
result, with a hash of each module, is kept in docs/mutation.md; what survives there is argued to be equivalent.

Every module, or function of a module, names its tests. They run once to see which of them reach each line, and a mutant
is tested with those alone, the quickest first. Each runs in a copy of the repository, in a process that is forked
after the libraries were imported, which takes most of the time of a small test; as many at once as there are cores.
"""

import argparse
import ast
import copy
import hashlib
import importlib
import importlib.util
import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "mutation.md"
COPIED = ("scaler", "mover", "shared", "sandbox", "tests", "docs", "pyproject.toml")

BY_CLAIMS = (
    "tests/scaler/test_claim_moves.py tests/scaler/test_moves.py tests/scaler/test_claims.py"
    " tests/scaler/test_kept_uploads.py tests/scaler/test_undescribed.py"
    " tests/scaler/test_odd_servers.py tests/scaler/test_recovery.py tests/scaler/test_steps.py -k 'not nextcloud'"
)
# For each module, or function of a module, the tests that notice its mutants.
TESTS: dict[str, str] = {
    "scaler/marker.py": "tests/scaler/test_marker.py",
    "scaler/rights.py": "tests/scaler/test_rights.py",
    "scaler/selection.py": "tests/scaler/test_selection.py tests/scaler/test_marker.py",
    "scaler/names.py": "tests/scaler/test_names.py",
    "scaler/moves.py": BY_CLAIMS,
    "scaler/claims.py": BY_CLAIMS,
    "scaler/claim_moves.py": BY_CLAIMS,
    "scaler/recovery.py": (
        "tests/scaler/test_recovery_steps.py tests/scaler/test_recovery.py tests/scaler/test_claims.py"
        " tests/scaler/test_undescribed.py"
        " tests/scaler/test_kept_uploads.py tests/scaler/test_odd_servers.py tests/faults/test_state_gaps.py"
    ),
    "scaler/in_place.py": (
        "tests/scaler/test_in_place_steps.py tests/scaler/test_in_place.py tests/scaler/test_upload_notes.py"
        " tests/scaler/test_steps.py"
    ),
    "scaler/detection.py": "tests/scaler/test_detection.py",
    "mover/selection.py": "tests/mover/test_selection.py",
    "mover/move.py": (
        "tests/mover/test_move_steps.py tests/mover/test_one_image.py tests/mover/test_meanwhile.py"
        " tests/mover/test_poll.py"
    ),
    "shared/printable.py": "tests/shared/test_logging.py",
    "shared/redaction.py": "tests/shared/test_redaction.py tests/shared/test_logging.py tests/faults/test_secrets.py",
    "shared/logging.py": "tests/shared/test_logging.py",
    "shared/log_file.py": "tests/shared/test_logging.py",
    "shared/webdav/client.py::_ask_environment_once": "tests/shared/test_webdav.py tests/shared/webdav",
    "shared/config/vault_session.py": "tests/shared/test_vault_transport.py",
    "shared/config/vault.py": "tests/shared/test_vault_transport.py tests/shared/test_vault.py",
}
LIBRARIES = (
    "cheroot.wsgi",
    "cv2",
    "hvac",
    "hypothesis",
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
# Of the time that its tests take without a mutant, and seconds besides; a mutant may loop for ever.
LONGEST, STARTING = 10, 30.0
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
        lines: the first and the last one that changed, counted from 1.
        change: in words: the source before and after.
        source: of the whole module.
    """

    lines: tuple[int, int]
    change: str
    source: str


def mutants_of(module: str) -> Iterator[Mutant]:
    """All mutants of a module, or of a function of it."""
    file, _, function = module.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    seen = {ast.unparse(tree)}
    named = [node for node in ast.walk(tree) if getattr(node, "name", "") == function]
    # What a type is called is no behaviour.
    names = {id(node) for alias in ast.walk(tree) if isinstance(alias, ast.TypeAlias) for node in ast.walk(alias)}
    for parent in [node for top in named or [tree] for node in ast.walk(top)]:
        # How a data class is stored is none either.
        if id(parent) in names or (isinstance(parent, ast.keyword) and parent.arg in ("frozen", "slots", "repr")):
            continue
        for field, value in list(ast.iter_fields(parent)):
            if field in ("annotation", "returns"):
                continue
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
                        last = node.test if isinstance(node, ast.If) else node
                        lines = node.lineno, last.end_lineno or node.lineno
                        yield Mutant(lines, f"{_short(node)} → {_short(changed)}", text)


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
        case ast.Assign(targets=[ast.Name() | ast.Tuple(elts=[ast.Name(), *_])]):
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


class _Survey:
    """A plugin of pytest that notes which tests reach each line of a file, and how long they take."""

    def __init__(self, file: Path) -> None:
        self._file = str(file)
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=[self._file])
        self._seconds: dict[str, float] = {}
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._coverage.switch_context(item.nodeid)
        start = time.monotonic()
        result = yield
        self._seconds[item.nodeid] = time.monotonic() - start
        return result

    def reached(self) -> "Reached":
        self._coverage.stop()
        lines = self._coverage.get_data().contexts_by_lineno(self._file)
        return Reached(self._seconds, {line: [test for test in tests if test] for line, tests in lines.items()})


@dataclass(frozen=True, slots=True)
class Reached:
    """Which tests reach what.

    Attributes:
        seconds: of each test.
        tests: by line; none for what runs only while the module is imported.
    """

    seconds: dict[str, float]
    tests: dict[int, list[str]]

    def by(self, mutant: Mutant) -> list[str]:
        """The tests that can notice a mutant, the quickest first."""
        first, last = mutant.lines
        lines = [self.tests[line] for line in range(first, last + 1) if line in self.tests]
        while not lines and first > 1:  # a continued line has no entry of its own
            first -= 1
            lines = [self.tests[first]] if first in self.tests else []
        found = {test for line in lines for test in line} or (self.seconds if [] in lines else ())
        return sorted(found, key=lambda test: self.seconds[test])


class Bench:
    """A copy of the repository in which mutants of a module are tested."""

    def __init__(self, module: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mutation-"))
        self._file = self._folder / _file(module)
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, self._folder / name) if source.is_dir() else shutil.copy(source, self._folder)
        for library in LIBRARIES:
            importlib.import_module(library)

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)

    def survey(self, tests: str) -> Reached:
        """Run all tests, which have to pass."""
        result = self._folder / "reached.json"

        def run() -> int:
            survey = _Survey(self._file)
            status = _pytest(shlex.split(tests), survey)
            reached = survey.reached()
            result.write_text(json.dumps([reached.seconds, list(reached.tests.items())]))
            return status

        if self._run(run, float("inf")):
            raise SystemExit(f"The tests of {self._file.name} fail without a mutant, or the machine is too busy.")
        seconds, reached = json.loads(result.read_text())
        return Reached(seconds, dict(reached))

    def survives(self, mutant: Mutant, reached: Reached) -> bool:
        """Whether all tests pass with this mutant."""
        tests = reached.by(mutant)
        if not tests:
            return True
        self._file.write_text(mutant.source)
        # Bytecode is recognized by size and second, which two mutants may share.
        Path(importlib.util.cache_from_source(str(self._file))).unlink(missing_ok=True)
        limit = STARTING + LONGEST * sum(reached.seconds[test] for test in tests)
        return self._run(lambda: _pytest(tests), limit) == 0

    def _run(self, act: Callable[[], int], limit: float) -> int:
        """The status of a child process that does it in the copy; 1 if it takes longer than the limit, in seconds."""
        child = os.fork()
        if not child:
            try:
                self._enter()
                os._exit(act())
            finally:
                os._exit(1)
        until = time.monotonic() + limit
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 1

    def _enter(self) -> None:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        os.chdir(self._folder)
        # Before the repository, which the environment's own path names; also for the processes that tests start.
        sys.path.insert(0, str(self._folder))
        os.environ["PYTHONPATH"] = str(self._folder)
        # What is not mutated is compiled once.
        sys.dont_write_bytecode = False
        for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
            del sys.modules[name]
        importlib.invalidate_caches()


def _pytest(tests: Sequence[str], *plugins: object) -> int:
    quick = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not server and not slow")
    imported = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
    return int(pytest.main([*quick, *imported, *tests], plugins=plugins))


def survivors(module: str) -> list[Mutant]:
    """The mutants of a module that no test notices, in the order of their lines; each is printed at once."""
    with Bench(module) as bench:
        reached = bench.survey(TESTS[module])
    mutants = list(mutants_of(module))
    cores = os.cpu_count() or 1
    shares = [(module, mutants[core::cores], reached) for core in range(cores)]
    with ProcessPoolExecutor(cores, multiprocessing.get_context("fork")) as pool:
        found = [mutant for share in pool.map(_survivors_among, shares) for mutant in share]
    return sorted(found, key=lambda mutant: mutant.lines)


def _survivors_among(share: tuple[str, list[Mutant], Reached]) -> list[Mutant]:
    module, mutants, reached = share
    with Bench(module) as bench:
        found = []
        for mutant in mutants:
            if bench.survives(mutant, reached):
                found.append(mutant)
                how = "" if reached.by(mutant) else " (no test gets there)"
                _say(f"survived: {module}:{mutant.lines[0]}: {mutant.change}{how}")
        return found


def hash_of(module: str) -> str:
    """The first digits of a module's SHA-256."""
    return hashlib.sha256((ROOT / _file(module)).read_bytes()).hexdigest()[:12]


def _file(module: str) -> str:
    return module.partition("::")[0]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Test the modules that are named, or all, and print a row of the table and the survivors of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    for module in parser.parse_args().modules or TESTS:
        found = survivors(module)
        everything = len(list(mutants_of(module)))
        _say(f"| `{module}` | {hash_of(module)} | {everything} | {len(found)} |")
        for mutant in found:
            _say(f"| `{module}` | {mutant.lines[0]} | `{re.sub('[|`]', '/', mutant.change)}` | |")


if __name__ == "__main__":
    main()
