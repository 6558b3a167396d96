"""What a HAProxy that Ray runs leaves open on this machine, unless promptctl-haproxy closes it."""

from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/tmp/haproxy-serve")  # where Ray puts its files, if it is not told otherwise
PORTS = {8404: "statistics", 9101: "metrics"}
_LISTENS = "0A"  # a state in /proc/net/tcp
_ANYWHERE = {"00000000", "0" * 32}  # an address there: all interfaces, of IPv4 and of IPv6


def admin_sockets(folder: Path = FOLDER) -> Iterator[Path]:
    """Sockets by which every user of this machine can stop, drain or redirect the proxy."""
    if not folder.is_dir():
        return
    for socket in folder.rglob("*.sock"):
        ways = [place.stat().st_mode for place in (socket.parent, *socket.parent.parents)]
        if socket.is_socket() and socket.stat().st_mode & 0o002 and all(mode & 0o001 for mode in ways):
            yield socket


def open_ports(tables: tuple[Path, ...] = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))) -> Iterator[int]:
    """HAProxy's own ports that listen on all interfaces."""
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    local = [fields[1].split(":") for fields in lines if fields[3] == _LISTENS]
    listening = {int(port, 16) for address, port in local if address in _ANYWHERE}
    yield from sorted(listening & PORTS.keys())
