"""Collects what an installed receiver needs to run, as an image's root: for the Dockerfile's build stage.

    python3 image_root.py APP ROOT

APP is the virtual environment; it keeps its place. Into ROOT come it, the Python it was made with, without
what no server needs, every shared library that one of those binaries names, and the few files of /etc that
libraries read. No shell, no other program, no package manager. It works where the C library is glibc.
"""

from __future__ import annotations

import compileall
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from py_compile import PycInvalidationMode

UNNEEDED = shutil.ignore_patterns(
    *("__pycache__", "*.pyc", "*.a", "config-*", "site-packages", "dist-packages", "sitecustomize.py"),
    *("test", "tests", "idlelib", "turtledemo", "turtle.py", "tkinter", "lib2to3", "pydoc_data", "ensurepip"),
    *("_test*.so", "_ctypes_test*.so", "_xxtestfuzz*.so", "_tkinter*.so", "_curses*.so", "readline*.so"),
    *("_dbm*.so", "_gdbm*.so", "nis*.so", "ossaudiodev*.so"),
)
"""Of the standard library: tests, windows, terminals, databases of old, and what installs packages."""

UNNEEDED_IN_WHEELS = shutil.ignore_patterns(
    *("__pycache__", "*.pyc", "tests", "include", "*.pyx", "*.pxd", "*.c", "*.h")
)
PROGRAMS = ("python", "receiver")
"""What begins like these stays in APP/bin."""

LOADED_BY_NAME = ("libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2")
"""Libraries that no binary names: a thread that is cancelled and a host name that is looked up need them."""

USER = 10001
ETC = {
    "passwd": f"root:x:0:0::/:/nonexistent\nreceiver:x:{USER}:{USER}::/srv:/nonexistent\n",
    "group": f"root:x:0:\nreceiver:x:{USER}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def inside(root: Path, path: Path | str) -> Path:
    """Return where a file of the build stage lies in the image's root."""
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def copy(root: Path, path: Path) -> None:
    """Copy a file, and what a link leads to, link by link."""
    target = inside(root, path)
    if target.is_symlink() or target.exists():
        return
    shutil.copy2(path, target, follow_symlinks=False)
    if path.is_symlink():
        copy(root, path.parent.resolve() / path.readlink())


def binaries(root: Path) -> Iterator[Path]:
    """Give every binary in the image's root, at its place in the build stage."""
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield Path("/") / path.relative_to(root)


def libraries(files: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that binaries need, the loader included."""
    said = subprocess.run(["ldd", *files], capture_output=True, text=True, check=True).stdout
    if missing := re.findall(r"(\S+) => not found", said):
        raise SystemExit(f"not there: {', '.join(sorted(set(missing)))}")
    found = {
        Path(os.path.normpath(path)) for path in re.findall(r"^\s+(?:\S+ => )?(/\S+) \(", said, re.MULTILINE)
    }
    c_library = next(path for path in found if path.name == "libc.so.6")
    return found | {path for name in LOADED_BY_NAME if (path := c_library.with_name(name)).exists()}


def packages(files: Iterable[Path]) -> list[dict[str, str]]:
    """Return the packages of the build stage's system that files came with, where dpkg knows them."""
    if not shutil.which("dpkg-query"):
        return []
    # A system whose /lib is a link to /usr/lib knows a file by one of two names.
    names = [name for path in files for name in (str(path), str(path).removeprefix("/usr"), f"/usr{path}")]
    owners = subprocess.run(
        ["dpkg-query", "--search", *names], capture_output=True, text=True, check=False
    ).stdout
    owned = sorted(set(re.findall(r"^(\S+): /", owners, re.MULTILINE)))
    form = "${Package} ${Version} ${Architecture}\n"
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat", form, *owned], capture_output=True, text=True, check=True
    )
    return [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{version}?arch={arch}",
        }
        for name, version, arch in (line.split() for line in shown.stdout.splitlines())
    ]


def bill(app: Path, files: Iterable[Path]) -> str:
    """Return the bill of materials (CycloneDX) of what was collected; scanners find no dpkg there."""
    folders = [str(path) for path in app.glob("lib/python*/site-packages")]
    installed = sorted((d.name.lower(), d.version) for d in distributions(path=folders))
    wheels = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
        for name, version in installed
    ]
    return json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "components": [*wheels, *packages(files)],
        },
        indent=1,
    )


def main(app: Path, root: Path) -> None:
    """Collect."""
    shutil.copytree(app, inside(root, app), symlinks=True, ignore=UNNEEDED_IN_WHEELS)
    for path in inside(root, app / "bin").iterdir():
        if not path.name.startswith(PROGRAMS):
            path.unlink()
    copy(root, (app / "bin/python3").parent / (app / "bin/python3").readlink())
    stdlib = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(stdlib, inside(root, stdlib), symlinks=True, ignore=UNNEEDED)
    needed = libraries(binaries(root))
    for path in needed:
        if not inside(root, path).exists():  # libraries in wheels are there, beside what needs them
            shutil.copy2(path, inside(root, path))
    for name, content in ETC.items():
        inside(root, f"/etc/{name}").write_text(content)
    if (cache := Path("/etc/ld.so.cache")).exists():  # where the loader finds what lies elsewhere
        copy(root, cache)
    if not CERTIFICATES.exists():
        raise SystemExit("the build stage needs certificates (Debian: apt install ca-certificates)")
    shutil.copy2(CERTIFICATES, inside(root, ssl.get_default_verify_paths().openssl_cafile))
    inside(root, "/usr/share/sbom.cdx.json").write_text(bill(app, [*needed, stdlib / "os.py"]))
    for name, mode in (("tmp", 0o1777), ("srv", 0o755)):
        inside(root, name).mkdir()
        inside(root, name).chmod(mode)
    # A file's time may change when it is copied: what was compiled isn't compared with its source.
    unchecked = PycInvalidationMode.UNCHECKED_HASH
    for folder in (app, stdlib):
        place = inside(root, folder)
        if not compileall.compile_dir(
            place, quiet=1, stripdir=root, prependdir="/", workers=0, invalidation_mode=unchecked
        ):
            raise SystemExit(f"{folder} can't be compiled")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
