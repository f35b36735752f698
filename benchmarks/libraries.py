"""Does one small thing with each promised library in a sandbox, and prints the table of the docs.

ci-toolkit sandbox-env --libraries all
python benchmarks/libraries.py sandbox-env/bin/python [--write docs/libraries.md]
"""

import argparse
import platform
from datetime import UTC, datetime
from pathlib import Path

from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.libraries import LIBRARIES
from ci_toolkit.sandbox_env import Tried, check

START, END = "<!-- made by benchmarks/libraries.py -->\n", "<!-- end -->\n"


def main() -> None:
    """Prints the table, or puts it into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="the interpreter of the environment")
    parser.add_argument("--write", type=Path, help="the page to put the table into")
    arguments = parser.parse_args()
    backend = LocalBackend(python=arguments.python)
    try:
        text = table(list(check(backend, LIBRARIES)))
    finally:
        backend.close()
    if arguments.write:
        before, _, rest = arguments.write.read_text().partition(START)
        arguments.write.write_text(f"{before}{START}{text}{END}{rest.partition(END)[2]}")
    else:
        print(text)


def table(tried: list[Tried]) -> str:
    """The results as Markdown, with what was measured and where."""
    working = sum(each.works for each in tried)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    where = f"Python {platform.python_version()}, {platform.machine()}, Linux"
    lines = [
        f"{working} of {len(tried)} worked, {where}, {day}. Each ran in a fresh sandbox without",
        "network; the seconds are those of the run, import included.",
        "",
        "| group | library | version | what was done | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in tried:
        group, name = each.library.group, each.library.name
        done = each.does if each.works else f"**failed**: {each.failure}"
        lines.append(f"| {group} | {name} | {each.version} | {done} | {each.seconds:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
