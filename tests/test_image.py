"""What the image and the compose file promise in docs/security.md. That the image works is tried by hand."""

from __future__ import annotations

import json
import re

import pytest
import yaml


@pytest.fixture
def stages(project):
    """Return the Dockerfile's stages: each a list of its instructions."""
    text = (project / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "ARG"))]
    found = []
    for line in lines:
        if line.startswith("FROM "):
            found.append([])
        found[-1].append(line)
    return found


@pytest.fixture
def services(project):
    """Return the services of the compose file."""
    return yaml.safe_load((project / "docker-compose.yml").read_text())["services"]


def test_nothing_but_what_was_collected(stages):
    """The image begins with nothing, and holds what the build stage collected, run by nobody but 10001."""
    last = stages[-1]
    assert last[0] == "FROM scratch"
    assert [line for line in last if line.startswith(("COPY", "ADD", "RUN"))] == [
        "COPY --from=build /image /",
        "COPY --from=build --chown=10001:10001 /build/own /",
    ]
    assert [line for line in last if line.startswith("USER")] == ["USER 10001:10001"]


def test_no_shell_needed(stages):
    """What the image starts is started without a shell."""
    started = re.findall(r"^(ENTRYPOINT|CMD|HEALTHCHECK .*CMD) (.*)$", "\n".join(stages[-1]), re.MULTILINE)
    assert len(started) == 3
    for _, words in started:
        assert "sh" not in [word.rpartition("/")[2] for word in json.loads(words)]


def test_build_context(project):
    """No file gets near the image unless it is named: not .git, not .env, not a data folder."""
    lines = (project / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (project / "Dockerfile").read_text(), re.MULTILINE)
    assert {line[1:] for line in lines if line.startswith("!")} == set(" ".join(copied).split())


def test_shut(services):
    """No service can write to its image, keeps a capability or gains one."""
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert "cap_add" not in service, name


def test_redis_is_inside(services, project):
    """Redis is reached by those who use it only, and nothing but the receiver by others."""
    networks = yaml.safe_load((project / "docker-compose.yml").read_text())["networks"]
    assert networks["inside"]["internal"] is True
    assert services["redis"]["networks"] == ["inside"]
    assert "ports" not in services["redis"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"receiver": ["8000:8000"], "sandbox": ["127.0.0.1:8001:8001"]}


def test_no_secrets_inside(services, stages):
    """Secrets come from a file that isn't part of the project."""
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search(r"TOKEN|SECRET|KEY", name)
            assert not re.search("PASSW|AUTH", name) or value == "${REDIS_PASSWORD:-}"
    assert not re.search(r"TOKEN|SECRET|PASSWORD", "\n".join(line for stage in stages for line in stage))
