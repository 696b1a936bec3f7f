"""The house's import law (who may import whom), as a function over source text that names every breach."""

import ast
import sys
from pathlib import Path

from server import FEATURES

TOP = {"pipeline", "replies", "ingest", "gatelists", "demo", "cli", "supervisor", "check", "jobs"}
PURE = {"rules", "news", "summary"}  # file names of rules: facts in, verdict out
ROUTE_PARTS = {"routes", "jobs", "cli"}
SHARED = {
    "gateway.wire",
    "gateway.gatelist",
    "gateway.timebase",
    "gateway.forms",
}  # what the server may use of the gateway
NEEDS = {
    "wire": {"msgspec"},
    "gatelist": {"gateway", "msgspec"},
    "timebase": {"msgspec"},
    "forms": set[str](),
}  # beside the standard library
READER_BANNED = {"serial", "time", "socket", "os", "threading", "select", "datetime", "paho", "subprocess", "pathlib"}


def imports(source: str) -> list[tuple[str, int]]:
    """Every imported module with its line; `from a import b` counts as `a.b`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def breaches(path: str, source: str) -> list[str]:
    """What this file must not do, each as `path:line what`."""
    parts = Path(path).with_suffix("").parts
    found = [f"{path}:{line} {reason}" for module, line in imports(source) if (reason := _forbidden(parts, module))]
    if parts[-1] == "service":
        found += _service_breaches(path, source)
    return found


def _forbidden(parts: tuple[str, ...], module: str) -> str | None:
    if parts[0] == "gateway":
        return _gateway(parts, module)
    if _under(module, "gateway") and not any(_under(module, shared) for shared in SHARED):
        return f"imports {module}: the server may import only {', '.join(sorted(SHARED))}"
    if len(parts) == 2:
        return None if parts[1] in TOP or parts[1] == "__init__" else _core(module)
    feature, name = parts[1], parts[2]
    if feature in FEATURES:
        return _direction(feature, module) or _by_part(feature, name, module)
    return None


def _gateway(parts: tuple[str, ...], module: str) -> str | None:
    if _under(module, "server"):
        return f"imports {module}: the gateway never imports the server"
    if parts[1] in NEEDS and not _is_stdlib(module) and module.split(".", maxsplit=1)[0] not in NEEDS[parts[1]]:
        needs = " and ".join(["the standard library", *sorted(NEEDS[parts[1]])])
        return f"imports {module}: {parts[1]} needs only {needs}"
    if parts[1] == "readers" and parts[2] != "__init__":
        inside = _under(module, "gateway") and _under(module, "gateway.readers")
        if (_under(module, "gateway") and not inside) or module.split(".", maxsplit=1)[0] in READER_BANNED:
            return f"imports {module}: a reader is bytes in, values out; no port, clock or I/O"
    return None


def _core(module: str) -> str | None:
    parts = module.split(".")
    known = {"accounts"}  # web.py draws the logged-in user's name
    if parts[0] == "server" and parts[1] in FEATURES and parts[1] not in known and parts[2:3] != ["models"]:
        return f"imports {module}: the common base must not know features"
    return None


def _direction(feature: str, module: str) -> str | None:
    parts = module.split(".")
    if parts[0] != "server" or len(parts) < 2:
        return None
    if parts[1] in {"pipeline", "replies", "ingest", "gatelists", "demo"}:
        return f"imports {module}: no feature imports the top"
    if parts[1] in FEATURES and FEATURES.index(parts[1]) > FEATURES.index(feature):
        return f"imports {module}: {parts[1]} stands after {feature} in FEATURES"
    return None


def _by_part(feature: str, name: str, module: str) -> str | None:
    parts = module.split(".")
    ours = parts[0] == "server"
    if name in PURE and not (_is_stdlib(module) or parts[0] in {"msgspec", "phonenumbers"}):
        pure = (ours and parts[2:3] and parts[2] in PURE) or _under(module, "gateway.forms")
        return None if pure else f"imports {module}: rules are pure; only the standard library and other rules"
    if name == "models" and ours and parts[1] in FEATURES and not {*parts[2:3]} <= {*PURE, "models"}:
        return f"imports {module}: models know the database and own rules, never service or routes"
    if name == "service" and module in {"flask.request", "flask.session", "flask.g"}:
        return f"imports {module}: a service does not know about requests"
    if name == "service" and ours and parts[1] == feature and ROUTE_PARTS & set(parts[2:]):
        return f"imports {module}: a service never imports routes, jobs or cli"
    return None


def _service_breaches(path: str, source: str) -> list[str]:
    """A service never commits: routes, jobs and cli own the transaction."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in {"commit", "transaction"}:
                found.append(f"{path}:{node.lineno} calls {name}(): a service never commits")
    return found


def _under(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _is_stdlib(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in sys.stdlib_module_names
