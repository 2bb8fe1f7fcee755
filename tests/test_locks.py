"""What is installed is what was locked, and nothing else."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement

LOCKS = (
    "requirements.lock",
    "requirements-runtime.lock",
    "requirements-build.lock",
    "scripts/lock.lock",
    "benchmarks/requirements.lock",
    "benchmarks/arq.lock",
    "benchmarks/celery.lock",
    "benchmarks/fuzz.lock",
)
INSTALLERS = ("Dockerfile", ".ci/run", "scripts/*")


def read(path):
    """Return a lock's requirements, each with its hashes, as pip reads them: a backslash joins lines."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def pins(path):
    """Return name → version and marker of a lock."""
    return {line.split("==")[0]: line.split("==")[1].split("--hash")[0].strip() for line in read(path)}


@pytest.mark.parametrize("name", LOCKS)
def test_exact_and_hashed(project, name):
    """Every line of a lock is one version with its hashes: no address, no option, no folder."""
    lines = read(project / name)
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!+]+( ; [^:/]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", line), line


def test_all_locks_are_known(project):
    """No lock escapes the test above."""
    found = [
        path.relative_to(project) for pattern in ("*.lock", "*/*.lock") for path in project.glob(pattern)
    ]
    assert {str(path) for path in found if not path.parts[0].startswith(".")} == set(LOCKS)


@pytest.mark.parametrize("name", ["requirements-runtime.lock", "requirements-build.lock"])
def test_same_versions(project, name):
    """What runs and what builds the image are versions that were tested."""
    assert pins(project / name).items() <= pins(project / "requirements.lock").items()


def test_everything_is_locked(project):
    """Whatever pyproject.toml asks for, to build with, too, is in the locks."""
    content = tomllib.loads((project / "pyproject.toml").read_text())
    for lock, wanted in (
        ("requirements-runtime.lock", content["project"]["dependencies"]),
        ("requirements.lock", content["project"]["optional-dependencies"]["dev"]),
        ("requirements-build.lock", content["build-system"]["requires"]),
    ):
        names = {Requirement(text).name for text in wanted}
        assert names <= pins(project / lock).keys()


def test_installs_enforce_it(project):
    """Every `pip install` of ours wants hashes and wheels, or fetches nothing at all."""
    found = []
    for path in (path for pattern in INSTALLERS for path in project.glob(pattern) if path.is_file()):
        text = path.read_text().replace("\\\n", " ")
        found += [
            (path.name, line) for line in text.splitlines() if re.search(r"\bpip\b.* (install|wheel) ", line)
        ]
    assert len(found) >= 6
    for name, line in found:
        locked = "--require-hashes" in line and "--only-binary :all:" in line
        assert locked or ("--no-index" in line and "--no-deps" in line), f"{name}: {line}"
        assert " -e " not in line or "--no-build-isolation" in line, f"{name}: {line}"
