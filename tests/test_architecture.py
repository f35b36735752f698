"""The plan of the house as a test: which room opens on which, and who may know which library."""

import ast
import subprocess
import sys
from pathlib import Path

import ci_toolkit

ROOT = Path(ci_toolkit.__file__).parent

FOUNDATIONS = {"errors", "limits", "paths", "scope", "results", "cancellation", "telemetry"}
SEAMS = {"backends.base", "workspaces.base"}

PLAN: dict[str, set[str]] = {
    "errors": set(),
    "limits": {"errors"},
    "paths": {"errors"},
    "scope": {"errors"},
    "cancellation": {"errors"},
    "libraries": set(),
    "results": {"errors"},
    "telemetry": {"results", "scope"},
    "backends": set(),
    "backends.base": {"results"},
    "backends.memory": {"backends.base", *FOUNDATIONS},
    "backends.local": {"backends.base", "backends.orphans", *FOUNDATIONS},
    "backends.orphans": set(),
    "backends.transfers": {"errors"},
    "backends.errands": {*FOUNDATIONS},
    "backends.foreign": {"backends.base", "backends.errands", *FOUNDATIONS},
    "backends.strands_sandbox": {"backends.foreign", "doors", *FOUNDATIONS},
    "backends.deepagents_sandbox": {"backends.foreign", "doors", *FOUNDATIONS},
    "backends.agentcore": {
        "backends.base",
        "backends.errands",
        "backends.orphans",
        "backends.transfers",
        "ends",
        *FOUNDATIONS,
    },
    "workspaces": {
        "workspaces.base",
        "workspaces.directory",
        "workspaces.memory",
        "workspaces.presigned",
        "workspaces.s3",
    },
    "workspaces.base": set(),
    "workspaces.presigned": set(),
    "workspaces.keys": {"errors"},
    "workspaces.memory": {"workspaces.base", "workspaces.keys", "errors"},
    "workspaces.directory": {"workspaces.base", "workspaces.keys", "errors"},
    "workspaces.s3": {
        "workspaces.base",
        "workspaces.keys",
        "workspaces.presigned",
        "errors",
        "telemetry",
    },
    "schemas": {"errors"},
    "files": {"workspaces.base", "workspaces.presigned", *FOUNDATIONS},
    "moving": {"backends.base", "backends.transfers", "files", *FOUNDATIONS},
    "reading": {"files", *FOUNDATIONS},
    "saving": {"backends.base", "files", "moving", *FOUNDATIONS},
    "context": {"backends.base", "files", "saving", *FOUNDATIONS},
    "outputs": {"backends.base", "context", "reading", *FOUNDATIONS},
    "tools": {"context", "outputs", "reading", "schemas", *FOUNDATIONS},
    "turns": {"cancellation", "errors"},
    "backends.detaching": set(),
    "carrying": {"backends.base", *FOUNDATIONS},
    "records": {"workspaces.base", *FOUNDATIONS},
    "losses": {"carrying"},
    "ends": set(),
    "contents": {
        "backends.base",
        "files",
        "losses",
        "moving",
        "records",
        "workspaces.base",
        *FOUNDATIONS,
    },
    "tenancy": {
        "backends.detaching",
        "carrying",
        "contents",
        "files",
        "losses",
        "records",
        *SEAMS,
        *FOUNDATIONS,
    },
    "sessions": {"backends.base", "files", "tenancy", "turns", *FOUNDATIONS},
    "rendering": {*FOUNDATIONS},
    "interpreter": {
        "context",
        "ends",
        "files",
        "rendering",
        "schemas",
        "sessions",
        "tenancy",
        "tools",
        "turns",
        "workspaces.memory",
        *SEAMS,
        *FOUNDATIONS,
    },
    "": {"interpreter", *FOUNDATIONS},
    "doors": {"tools", *FOUNDATIONS},
    "bridge": {"interpreter", "rendering", "turns", *FOUNDATIONS},
    "skill": {"backends.base", "doors", "libraries", "schemas", *FOUNDATIONS},
    "routing": {"doors", "schemas", "skill", *FOUNDATIONS},
    "langchain": {"bridge", "doors", "interpreter", "skill", "turns", *FOUNDATIONS},
    "deepagents": {
        "backends.base",
        "bridge",
        "doors",
        "interpreter",
        "langchain",
        "outputs",
        "rendering",
        *FOUNDATIONS,
    },
    "strands": {
        "backends.base",
        "bridge",
        "doors",
        "interpreter",
        "rendering",
        "schemas",
        "skill",
        "turns",
        *FOUNDATIONS,
    },
    "mcp": {
        "bridge",
        "doors",
        "files",
        "interpreter",
        "rendering",
        "schemas",
        "skill",
        "workspaces.base",
        *FOUNDATIONS,
    },
    "emulator": {"backends.base", "doors", *FOUNDATIONS},
    "testing": {"backends.detaching", "backends.memory", "doors", "emulator", *SEAMS, *FOUNDATIONS},
    "terminal": set(),
    "chat": {
        "interpreter",
        "langchain",
        "schemas",
        "skill",
        "strands",
        "terminal",
        "turns",
        "workspaces",
        *SEAMS,
        *FOUNDATIONS,
    },
    "demo": {
        "backends.agentcore",
        "backends.local",
        "emulator",
        "interpreter",
        "langchain",
        "strands",
        "terminal",
        "testing",
        "workspaces",
        *FOUNDATIONS,
    },
    "sandbox_env": {"backends.base", "libraries", *FOUNDATIONS},
    "cli": {
        "backends.agentcore",
        "backends.local",
        "backends.memory",
        "backends.orphans",
        "chat",
        "demo",
        "emulator",
        "interpreter",
        "mcp",
        "routing",
        "skill",
        "terminal",
        "libraries",
        "sandbox_env",
        "workspaces",
        "backends.base",
        *FOUNDATIONS,
    },
}
"""A room, and the rooms that it may open on; a package stands for all files below it."""

LIBRARIES: dict[str, set[str]] = {
    "PIL": {"rendering"},
    "langchain": {"chat", "langchain", "testing", "demo", "cli"},
    "langchain_core": {"chat", "deepagents", "langchain", "routing", "testing", "demo"},
    "langgraph": {"langchain", "testing", "demo"},
    "strands": {"chat", "strands", "backends.strands_sandbox", "routing", "testing", "demo"},
    "deepagents": {"deepagents", "backends.deepagents_sandbox"},
    "jupyter_client": {"backends.local"},
    "ipykernel": {"backends.local"},
    "zmq": {"backends.local"},
    "tree_sitter": {"backends.local"},
    "tree_sitter_typescript": {"backends.local"},
    "deno": {"backends.local"},
    "opentelemetry": {"telemetry"},
    "pytest": {"testing"},
    "rich": {"chat", "cli", "demo", "terminal"},
    "anyio": {"mcp"},
    "mcp": {"mcp"},
    "mcp_types": {"mcp"},
    "starlette": {"emulator", "mcp"},
    "uvicorn": {"emulator", "mcp"},
    "typer": {"cli"},
    "statsmodels": {"demo"},
    "boto3": {"backends.agentcore", "cli", "demo", "workspaces.s3"},
    "botocore": {"backends.agentcore", "cli", "emulator", "workspaces.s3"},
}
"""An optional or far-reaching library, and the rooms that may know it."""


def room_of(module: str) -> str:
    """The name on the plan: the longest one that is the module or a package above it."""
    return max(
        (room for room in PLAN if module == room or module.startswith(f"{room}.") or not room),
        key=len,
    )


def imports() -> list[tuple[str, str]]:
    """Every import of every file, as (room, imported module)."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found += [(module, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.append((module, node.module))
    return found


def test_every_file_stands_on_the_plan() -> None:
    strangers = {module for module, _ in imports() if not room_of(module) and module}

    assert strangers == set()


def test_rooms_open_only_on_the_rooms_that_the_plan_shows() -> None:
    arrows = {
        (room_of(module), room_of(target.removeprefix("ci_toolkit").lstrip(".")))
        for module, target in imports()
        if target.split(".")[0] == "ci_toolkit"
    }
    undrawn = {(a, b) for a, b in arrows if a != b and b not in PLAN[a]}

    assert undrawn == set()


def test_a_library_is_known_only_in_its_rooms() -> None:
    trespassing = {
        (room_of(module), library)
        for module, target in imports()
        if (library := target.split(".")[0]) in LIBRARIES
        and room_of(module) not in LIBRARIES[library]
    }

    assert trespassing == set()


def test_the_front_door_imports_no_optional_library() -> None:
    optional = sorted(set(LIBRARIES) - {"PIL", "boto3", "botocore"})
    script = f"import sys, ci_toolkit; print([m for m in {optional} if m in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_the_library_reads_the_environment_only_where_it_says_so() -> None:
    readers = {
        file.relative_to(ROOT).as_posix()
        for file in ROOT.rglob("*.py")
        if "guest" not in file.parts  # these files run inside the sandbox, in its environment
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }

    assert readers <= {"backends/local/factory.py"}
