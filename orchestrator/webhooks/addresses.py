"""Which addresses may be told: public ones, and the private networks that were allowed.

What counts is the address that is connected to, not what a name resolved to when somebody looked.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

import httpcore

from ..errors import InvalidSpec

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
NAT64 = IPv6Network("64:ff9b::/96")


class Forbidden(httpcore.ConnectError):
    """No address of a host may be told."""


def networks(named: Iterable[str]) -> tuple[Network, ...]:
    """Networks as 10.0.0.0/8, or single addresses."""
    try:
        return tuple(map(ip_network, named))
    except ValueError as error:
        raise InvalidSpec(f"settings: webhook_networks: {error}", hint="write networks as 10.0.0.0/8") from None


def may_be_told(text: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether an address is public, or in an allowed network; one inside another (::ffff:10.0.0.1) counts as both."""
    meant = _meant(ip_address(text.partition("%")[0]))
    return all(_is_public(one) or any(one in network for network in allowed) for one in meant)


def check_url(url: str, allowed: Sequence[Network]) -> str:
    """The URL, if a message can be sent there; a name is not looked up before that."""
    try:
        parts = urlsplit(url)
        host, plain = parts.hostname, url.isascii() and url.isprintable() and " " not in url and parts.port != 0
    except ValueError:
        parts = host = plain = None
    if not parts or not plain or parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise InvalidSpec("that is no URL that could be told", hint="write https://host/path, without a user's name")
    try:
        told = may_be_told(host, allowed)
    except ValueError:  # a name
        return url
    if not told:
        raise InvalidSpec(f"{host} is not a public address", hint="PROMPTCTL_WEBHOOK_NETWORKS allows private networks")
    return url


def _network() -> httpcore.AsyncNetworkBackend:
    return httpcore.AnyIOBackend()  # pyright: ignore[reportReturnType] - it is one where there is anyio, which httpx has


@dataclass
class Guarded(httpcore.AsyncNetworkBackend):
    """Connects to the very address that it has checked, so that a name cannot become another one in between."""

    allowed: Sequence[Network]
    inner: httpcore.AsyncNetworkBackend = field(default_factory=_network)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of a host's addresses that may be told and answers."""
        found = await self._addresses(host, port)
        fault: Exception = Forbidden(f"{host} has no public address")
        for address in found:
            try:
                return await self.inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Nothing is told through a file."""
        raise Forbidden(path)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self.inner.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError("the host has no address") from error
        addresses = dict.fromkeys(str(address[0]) for *_, address in found)
        return [address for address in addresses if may_be_told(address, self.allowed)]


def _is_public(address: Address) -> bool:
    odd = address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False)
    return address.is_global and not odd


def _meant(address: Address) -> list[Address]:
    """The address, or that which it stands for where it wraps one."""
    if isinstance(address, IPv4Address):
        return [address]
    if address in NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    return [address, address.sixtofour] if address.sixtofour else [address]
