"""Every invariant of docs/architecture.md is proven by a test that says so, and no test claims another one."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def stated() -> dict[str, str]:
    """The invariants, by id."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| (I\d+) \| (.+) \|$", text, re.MULTILINE))


def claimed() -> dict[str, set[str]]:
    """Which tests claim which: id → names of tests, test classes or modules."""
    claims: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        for holder, mark in marks(ast.parse(path.read_text(encoding="utf-8"))):
            assert len(mark.args) == 1, f"{path.name}: {holder}: one invariant a marker"
            assert isinstance(mark.args[0], ast.Constant), f"{path.name}: {holder}: name the invariant itself"
            claims[str(mark.args[0].value)].add(f"{path.relative_to(TESTS)}::{holder}")
    return dict(claims)


def marks(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every `pytest.mark.invariant(…)` and what it marks. Raises AssertionError for one that marks no test."""
    calls = {node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == MARK}
    for node in ast.walk(tree):
        holder, inside = "", list[ast.expr]()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            holder, inside = node.name, node.decorator_list
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            holder, inside = "pytestmark", [node.value]
        found = {call for expression in inside for call in ast.walk(expression)} & calls
        if found:
            assert re.match(r"test_|Test|pytestmark", holder), f"{holder} is no test"
        calls -= found
        yield from ((holder, call) for call in found if isinstance(call, ast.Call))
    assert not calls, f"markers that mark nothing: {[ast.unparse(call) for call in calls]}"


MARK = "pytest.mark.invariant"


def test_the_table_is_complete() -> None:
    assert list(stated()) == [f"I{number}" for number in range(1, 12)]


def test_every_invariant_is_proven() -> None:
    assert set(stated()) - set(claimed()) == set(), "invariants that no test proves"


def test_no_test_claims_an_invariant_that_is_not_stated() -> None:
    unknown = {name: tests for name, tests in claimed().items() if name not in stated()}
    assert unknown == {}
