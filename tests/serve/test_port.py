import socket
from dataclasses import replace

from serve.config import ServeConfig
from serve.edge.port import listen

from .servers import free_port


def test_an_answer_does_not_wait_for_its_head_to_be_acknowledged(config: ServeConfig) -> None:
    """A second small write on a socket without TCP_NODELAY waits for up to 40 ms."""
    with listen(replace(config, port=free_port())) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
