import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


def test_an_address_in_use_is_unavailable_and_says_so_before_the_backbone_is_loaded(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = run("serve", "--local", "--port", port)
    assert result.exit_code == 7
    assert port in result.stderr
    assert "loading" not in result.stderr


def test_an_address_that_others_reach_is_refused_until_there_is_a_token(run: Run) -> None:
    refused = run("serve", "--local", "--host", "0.0.0.0")
    assert refused.exit_code == 4
    assert refused.stderr == (
        "error: 0.0.0.0 can be reached from elsewhere, and there is no token that would let anybody in\n"
        "  promptctl token create NAME --role viewer\n"
        "  or serve this machine alone: --host 127.0.0.1\n"
    )
    assert run("token", "create", "ci").exit_code == 0
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run("serve", "--local", "--host", "0.0.0.0", "--port", port).exit_code == 7  # in use: it got that far


def test_the_options_of_serve_come_from_a_file_and_the_environment_as_before(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("promptctl.toml").write_text("[serve]\nport = 9001\n[serve.status]\nserver = 'http://127.0.0.1:9'\n")
    assert run("serve", "status").exit_code == 7
    listed = run("config", "list").stdout
    assert "serve --port\t9001" in listed
    assert "serve status --server\thttp://127.0.0.1:9" in listed
    Path("promptctl.toml").write_text("[serve]\nprot = 1\n")
    assert "no option 'prot'" in run("serve", "--local").stderr
    Path("promptctl.toml").write_text("[serve]\nport = 0\n")
    assert run("serve", "--local").exit_code == 2
    Path("promptctl.toml").unlink()
    monkeypatch.setenv("PROMPTCTL_SERVE_PORT", "70000")
    assert run("serve", "--local").exit_code == 2


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_an_impossible_port_is_usage(run: Run, port: str) -> None:
    assert run("serve", "--local", "--port", port).exit_code == 2


@pytest.mark.parametrize("options", [("--replicas", "two"), ("--replicas", "8:2"), ("--local", "--replicas", "2")])
def test_replicas_are_a_number_or_a_range_and_not_for_one_process(run: Run, options: tuple[str, ...]) -> None:
    assert run("serve", *options).exit_code == 2
