"""`cpd search` as it is typed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from cpd.cli import main
from cpd.config import Config
from cpd.errors import CpdError
from cpd.search import serve


def search(config: Config, *words: str) -> int:
    file = Path(config.results).parent / "config.yaml"
    return main(["search", *words, "--configfile", str(file)])


def test_a_wrong_run_is_one_message(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(config, "--run", "toldt", "--port", "0") == 2
    assert "did you mean told?" in capsys.readouterr().err


def test_results_of_another_config_are_noted(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.yaml"
    text = (Path(config.results).parent / "config.yaml").read_text()
    file.write_text(text.replace(f"results: {config.results}\n", "results: elsewhere\n"))
    run = str(Path(config.results) / "pretrain" / "told")
    assert main(["search", "--run", run, "--host", "192.0.2.1", "--configfile", str(file)]) == 2
    assert f"other.yaml is of elsewhere; --configfile names that of {config.results}" in capsys.readouterr().out
    assert search(config, "--run", run, "--host", "192.0.2.1") == 2
    assert "note" not in capsys.readouterr().out


def test_a_taken_port_is_one_message(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert search(config, "--run", "told", "--port", str(port)) == 2
    err = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in err
    assert "another --port" in err


def test_an_address_of_another_machine_is_one_message(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(config, "--run", "told", "--host", "192.0.2.1") == 2
    assert "another --host" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--k", "0"), ("--k", "201"), ("--k", "many"), ("--port", "70000"), ("--port", "-1")]
)
def test_numbers_out_of_bounds(config: Config, words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search(config, "--run", "told", *words)
    assert "is not a number from" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    assert "cpd search --run results/pretrain/cpd-r34" in capsys.readouterr().out


def test_who_may_ask_and_where() -> None:
    with serve.bind("localhost", 0) as listener:
        port = listener.getsockname()[1]
        assert serve.is_loopback(listener)
        assert serve.address(listener, "localhost") == f"http://localhost:{port}/"
        assert set(serve.allowed_hosts(listener, "localhost")) == {"localhost", "127.0.0.1", "[::1]"}
    with serve.bind("0.0.0.0", 0) as listener:
        assert not serve.is_loopback(listener)
        assert serve.allowed_hosts(listener, "0.0.0.0") == ["*"]
        assert serve.address(listener, "0.0.0.0").startswith(f"http://{socket.gethostname()}:")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6() -> None:
    try:
        listener = serve.bind("::1", 0)
    except CpdError:
        pytest.skip("this machine has no address ::1")
    with listener:
        assert serve.address(listener, "::1").startswith("http://[::1]:")
        assert "[::1]" in serve.allowed_hosts(listener, "::1")


@pytest.mark.slow
def test_it_starts_says_where_and_ends_with_ctrl_c(config: Config) -> None:
    file = Path(config.results).parent / "config.yaml"
    run = Path(config.results) / "pretrain" / "told"
    command = [sys.executable, "-m", "cpd", "search", "--run", str(run), "--port", "0", "--configfile", str(file)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "ready after" in line:
            break
    found = re.search(r"http://127\.0\.0\.1:\d+/", "".join(lines))
    assert found, lines
    with urllib.request.urlopen(f"{found[0]}?q=a+red+square+goes+left") as answer:
        assert "Clips for" in answer.read().decode()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.endswith("ended\n")
    assert "Traceback" not in err
