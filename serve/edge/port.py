"""The address to listen on."""

import errno
import socket
from ipaddress import ip_address

from ..config import ServeConfig
from ..errors import Unavailable


def listen(config: ServeConfig) -> socket.socket:
    """A socket that listens at the configured address.

    Raises:
        Unavailable: somebody else listens there, or the address is not this host's.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listening = socket.create_server((config.host, config.port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = "stop what listens there, or choose another port with --port"
        else:
            hint = "choose another address with --host or --port"
        reason = error.strerror or type(error).__name__
        raise Unavailable(f"cannot listen on {config.url}: {reason}", hint=hint) from error
    # The sockets that it accepts have this from it; asyncio leaves it out where it did not make the socket itself, and
    # an answer's body then waits up to 40 ms for the client to acknowledge its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def loops_back(host: str) -> bool:
    """Whether that host, by its address or as `localhost`, is this machine and reached from nowhere else."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
