"""What a bubblewrap sandbox sees of the file system, as bubblewrap's arguments."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

__all__ = [
    "as_file",
    "bind",
    "environment",
    "free_place",
    "settings",
    "system",
    "visible",
    "write_etc",
]

_ROOT_NAMES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_RUN_BYTES = 64 * 1024 * 1024
# What tells about the whole machine, or is a handle of it; as container runtimes hide it.
_HIDDEN_FILES = (
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
)
_HIDDEN_FOLDERS = ("acpi", "asound", "scsi")
# Nothing here holds a secret: root may start a sandbox, and could then read root's files in it.
_SHARED_SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ImageMagick-6",
    "/etc/ImageMagick-7",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/var/cache/fontconfig",
)
_ETC = {
    "group": "user:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "passwd": "user:x:1000:1000:user:{home}:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
}


def write_etc(folder: Path) -> None:
    """Writes the sandbox's own settings files, where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _ETC.items():
        if not (folder / name).exists():
            (folder / name).write_text(content.format(home="/home/user"))


def visible(paths: Iterable[str]) -> list[str]:
    """The paths that have to be shown, parents first, without those that are seen anyway."""
    shown: list[str] = []
    for path in sorted(dict.fromkeys(filter(None, paths)), key=lambda path: (len(path), path)):
        if not any(_within(path, above) for above in ("/usr", *_SHARED_SETTINGS, *shown)):
            shown.append(path)
    return shown


def free_place(wish: str, shown: Iterable[str]) -> str:
    """A place that neither lies in nor holds anything that is shown."""
    place, number = wish, 1
    while any(_within(path, place) or _within(place, path) for path in shown):
        number += 1
        place = f"{wish}{number}"
        if number > 99:
            return f"/sandbox{wish}"
    return place


def _within(path: str, above: str) -> bool:
    return PurePosixPath(path).is_relative_to(above)


def system(temporary_bytes: int) -> list[str]:
    """Programs and libraries, and everything that a process takes for granted."""
    words = ["--ro-bind", "/usr", "/usr"]
    for path in (Path("/", name) for name in _ROOT_NAMES):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    return [
        *words,
        *_processes(),
        *("--dev", "/dev"),
        *("--size", str(temporary_bytes), "--perms", "1777", "--tmpfs", "/tmp"),  # noqa: S108
        *("--size", str(temporary_bytes), "--perms", "1777", "--tmpfs", "/dev/shm"),  # noqa: S108
        *("--size", str(_RUN_BYTES), "--perms", "0755", "--tmpfs", "/run"),
        *("--perms", "0755", "--dir", "/var", "--symlink", "/tmp", "/var/tmp"),  # noqa: S108
    ]


def _processes() -> list[str]:
    """The sandbox's own `/proc`, of which nothing can be written.

    To the kernel the user inside is the one who started the sandbox. Where that is root, the
    kernel's settings of the whole machine would be root's to write, capabilities or not.
    """
    words = ["--proc", "/proc"]
    for path in (f"/proc/{name}" for name in _HIDDEN_FILES):
        if Path(path).exists():
            # Devices are of no use in such a place, so that it cannot even be opened.
            words += ["--ro-bind", os.devnull, path]
    for path in (f"/proc/{name}" for name in _HIDDEN_FOLDERS):
        if Path(path).exists():
            words += ["--tmpfs", path, "--remount-ro", path]
    return [*words, "--remount-ro", "/proc"]


def settings(etc: Path, *, network: bool) -> list[str]:
    """The sandbox's `/etc`: its own files, and those of the host that tell nothing."""
    words = ["--perms", "0755", "--dir", "/etc", "--perms", "0755", "--dir", "/etc/ssl"]
    for name in _ETC:
        words += ["--ro-bind", str(etc / name), f"/etc/{name}"]
    shared = [*_SHARED_SETTINGS, *(["/etc/resolv.conf"] if network else [])]
    for path in shared:
        if Path(path).exists():
            words += [*_parents(path), "--ro-bind", path, path]
    return words


def bind(source: Path, place: str, *, read_only: bool = False) -> list[str]:
    """Shows a host path at a place; the folders above it can be passed by anybody."""
    return [*_parents(place), "--ro-bind" if read_only else "--bind", str(source), place]


def _parents(path: str) -> list[str]:
    parents = [str(parent) for parent in PurePosixPath(path).parents][-2::-1]
    fixed = ("/usr", "/tmp", "/run", "/dev", "/proc")  # noqa: S108
    return [
        word
        for parent in parents
        if not parent.startswith(fixed)
        for word in ("--perms", "0755", "--dir", parent)
    ]


def environment(env: Mapping[str, str]) -> list[str]:
    """The variables that are set inside."""
    return [word for name, value in env.items() for word in ("--setenv", name, value)]


@contextlib.contextmanager
def as_file(arguments: Iterable[str]) -> Iterator[int]:
    """Arguments in a file of memory, so that no process list shows host paths to the guest."""
    descriptor = os.memfd_create("arguments")
    try:
        os.write(descriptor, b"".join(os.fsencode(word) + b"\0" for word in arguments))
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
