"""`receiver sandbox` as a process."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import time

import httpx
import pytest
import typer
from typer.testing import CliRunner

from receiver import ports
from receiver.cli.sandbox import sandbox

# The command itself, without the program that collects all of them.
ALONE = "import typer; from receiver.cli.sandbox import sandbox; typer.run(sandbox)"


@pytest.fixture
def clean_env(tmp_path):
    names = ("SENDBIRD_", "RECEIVER_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    return env | {"RECEIVER_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "200"}


@pytest.fixture
def start(clean_env, tmp_path):
    """Start the command, and end it with the test."""
    running = []

    def begin(*arguments, **env):
        process = subprocess.Popen(
            [sys.executable, "-c", ALONE, "--smtp-port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=clean_env | env,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def free_port_too():
    return ports.free()


def up(port):
    """Wait until something answers at `port`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError("the sandbox did not come up")


def test_start_and_stop(start, free_port, tmp_path):
    """It says where everything is, answers with the printed token, and ends quietly at Ctrl-C."""
    process = start("--port", str(free_port))
    assert up(free_port).status_code == 200
    token = (tmp_path / "data/sandbox/credentials.json").read_text()
    token = re.search(r'"api_token":"(\w+)"', token)[1]
    url = f"http://127.0.0.1:{free_port}"
    answer = httpx.get(f"{url}/v3/users", headers={"api-token": token}, trust_env=False)
    assert [user["user_id"] for user in answer.json()["users"]] == ["ada", "grace", "mary"]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in said
    for line in (f"SENDBIRD_API_URL={url}/v3", f"SENDBIRD_API_TOKEN={token}", "SENDBIRD_APP_ID=", f"{url}/"):
        assert line in said


def test_given_token(start, free_port):
    """A token from the environment is used, and not shown; --empty starts without sample data."""
    secret = "a-real-token-from-elsewhere"
    process = start(
        "--port", str(free_port), "--empty", SENDBIRD_API_TOKEN=f"{secret},other", SENDBIRD_APP_ID="MY-APP"
    )
    up(free_port)
    url = f"http://127.0.0.1:{free_port}/v3"
    answer = httpx.get(f"{url}/users", headers={"api-token": secret}, trust_env=False)
    assert answer.json()["users"] == []
    info = httpx.get(f"{url}/applications/info", headers={"api-token": secret}, trust_env=False)
    assert info.json()["app_id"] == "MY-APP"
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert secret not in said


def test_mails(start, free_port, free_port_too):
    """It takes mails on the port that is told, for this machine only, and shows them."""
    process = start("--port", str(free_port), "--smtp-port", str(free_port_too))
    up(free_port)
    with smtplib.SMTP("127.0.0.1", free_port_too, timeout=10) as client:
        client.sendmail("a@example.com", ["b@example.com"], b"Subject: hello\r\n\r\nhi\r\n")
    answer = httpx.get(f"http://127.0.0.1:{free_port}/mail.json", trust_env=False)
    assert [mail["subject"] for mail in answer.json()["mails"]] == ["hello"]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert f"http://127.0.0.1:{free_port}/mail " in said
    assert f"smtp://127.0.0.1:{free_port_too}" in said


def test_smtp_port_taken(start):
    """A port for mails that is taken is told with the option that chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", "0", "--smtp-port", str(taken.getsockname()[1]))
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "is taken" in said
    assert "choose another one with --smtp-port" in said


def test_port_taken(start):
    """A port that is taken ends it with 1 and a message that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "is taken" in said
    assert "--port" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "chat.example"])
def test_other_machines(clean_env, host):
    """Without a token it doesn't listen for other machines, and says what to set."""
    app = typer.Typer()
    app.command()(sandbox)
    result = CliRunner(env=clean_env).invoke(app, ["--host", host])
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert f"RECEIVER_INSPECTOR_TOKEN is not set. --host {host} lets other machines in" in said
    assert "A right value: " in said


def test_with_a_token(start, free_port):
    """With a token it listens for others, and its pages ask for it, which is said; it isn't shown."""
    secret = "the-token-of-the-pages"
    process = start("--host", "0.0.0.0", "--port", str(free_port), RECEIVER_INSPECTOR_TOKEN=secret)
    assert up(free_port).status_code == 401
    url = f"http://127.0.0.1:{free_port}/page/state"
    proof = {"authorization": f"Bearer {secret}", "host": "chat.example"}
    assert httpx.get(url, headers=proof, trust_env=False).status_code == 200
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert "asks for RECEIVER_INSPECTOR_TOKEN" in said
    assert secret not in said


def test_folder_in_use(start, free_port):
    """A second sandbox on the same folder ends with 1 and says why."""
    start("--port", str(free_port))
    up(free_port)
    process = start("--port", "0")
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "another sandbox" in said
