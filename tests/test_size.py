"""Small files, short functions, one place for a broad except: the house plan's numbers, kept by a test."""

import ast
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_FILE = 400
P95_FUNCTION = 26
MEDIAN_FUNCTION = 9


def files(*patterns: str) -> list[Path]:
    """Files of the tree by git's patterns, without migrations and vendored code."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    kept = [name for name in listed if "migrations/" not in name and "/vendor/" not in name]
    return [ROOT / name for name in kept if (ROOT / name).exists()]


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and length in lines of every function, docstring not counted."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            doc = (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            )
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            found.append(
                (f"{path.relative_to(ROOT)}:{node.name}", lines - ((first.end_lineno or 0) - first.lineno + 1) * doc)
            )
    return found


def test_no_file_is_over_400_lines() -> None:
    wanted = files("*.py", "*.html", "run", "test")
    long = {str(path.relative_to(ROOT)): n for path in wanted if (n := len(path.read_text().splitlines())) > MAX_FILE}
    assert long == {}


def test_functions_are_short() -> None:
    found = sorted((lines, name) for path in files("gateway/*.py", "server/*.py") for name, lines in functions(path))
    lengths = [lines for lines, _ in found]
    p95 = statistics.quantiles(lengths, n=20)[-1]
    longest = found[-len(found) // 20 :]
    assert p95 <= P95_FUNCTION, f"95 % of functions must be at most {P95_FUNCTION} lines, is {p95}: {longest}"
    assert statistics.median(lengths) <= MEDIAN_FUNCTION


def test_the_size_test_sees_a_long_function(tmp_path: Path) -> None:
    file = ROOT / "server" / "clock.py"
    assert ("server/clock.py:now", 2) in functions(file)


def test_broad_excepts_stand_in_one_place() -> None:
    found = []
    for path in files("gateway/*.py", "server/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or getattr(node.type, "id", "") == "Exception"
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert [place for place in found if not place.startswith("server/jobs.py")] == []
    assert len(found) <= 1


def test_imports_stand_at_the_top() -> None:
    """Except where an optional library or a driver is loaded late."""
    late = {
        "server/__init__.py",
        "gateway/feedback.py",
        "gateway/readers/__init__.py",
        "server/outbox/providers/__init__.py",
    }
    found = []
    for path in files("gateway/*.py", "server/*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                inner = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
                found += [f"{path.relative_to(ROOT)}:{n.lineno}" for n in inner]
    assert [place for place in found if place.split(":")[0] not in late] == []


def test_locks_and_templates_name_no_host() -> None:
    for path in files("requirements/*.txt"):
        text = path.read_text()
        assert "://" not in text and "index" not in text.replace("index_", ""), path
