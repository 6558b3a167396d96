import socket
from collections.abc import Callable

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


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_an_impossible_port_is_usage(run: Run, port: str) -> None:
    assert run("serve", "--local", "--port", port).exit_code == 2
