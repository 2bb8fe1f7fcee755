"""`receiver serve`: what it says, and what it refuses to start with."""

from __future__ import annotations

import socket


def test_says_whose_metrics(run):
    """With several processes, /metrics shows one's requests: the help says so."""
    code, out, _ = run("serve", "--help")
    assert code == 0
    assert "With --workers N, each process counts the requests" in " ".join(out.split())


def test_port_taken(run, monkeypatch, tmp_path):
    """A port that is taken ends it with 1, and says by which options to choose another."""
    monkeypatch.setenv("RECEIVER_REDIS_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("SENDBIRD_API_TOKEN", "a-token")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("serve", "--port", str(taken.getsockname()[1]))
    assert code == 1
    assert err.endswith("Choose another with --host and --port.\n")
