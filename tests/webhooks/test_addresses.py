"""Which addresses may be told."""

import asyncio

import httpcore
import pytest

from orchestrator.errors import InvalidSpec
from orchestrator.webhooks.addresses import Forbidden, Guarded, check_url, may_be_told, networks

PRIVATE = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "2002:0a00:0001::1"),
)
PUBLIC = ("93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::93.184.215.14")


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_everybodys_is_told_nothing(address: str) -> None:
    assert not may_be_told(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_told(address: str) -> None:
    assert may_be_told(address)


def test_a_network_that_is_allowed_may_be_told_and_no_other() -> None:
    allowed = networks(["10.1.0.0/16", "fd00::/8"])
    told = [address for address in (*PRIVATE, "10.1.9.9", "::ffff:10.1.9.9") if may_be_told(address, allowed)]
    assert told == ["10.1.2.3", "fd12::1", "10.1.9.9", "::ffff:10.1.9.9"]
    with pytest.raises(InvalidSpec, match="webhook_networks"):
        networks(["10.1.0.0/33"])


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/", "file:///etc/passwd", "https://", "//example.org", "example.org", "http://[::1", ""),
        *("https://ada:secret@example.org/", "https://exämple.org/", "https://exa mple.org/", "http://x.org:99999/"),
        *("http://127.0.0.1/", "http://[::1]:8000/", "http://[::ffff:169.254.169.254]/", "http://x.org:0/"),
        "http://x.org/\r\nhost: y",
    ],
)
def test_what_could_never_be_told_is_refused_when_a_webhook_is_made(url: str) -> None:
    with pytest.raises(InvalidSpec, match=r"is no URL that could be told|is not a public address"):
        check_url(url, ())


def test_a_name_is_looked_up_when_it_is_told_and_not_before() -> None:
    for url in ("https://hooks.example.org/a?b=c", "http://127.1/", "http://[2606:4700::1111]/"):
        assert check_url(url, ()) == url

    async def connect(host: str) -> None:
        await Guarded(()).connect_tcp(host, 9, timeout=1)

    for host in ("127.1", "0x7f000001", "2130706433", "localhost", "0", "::1"):
        with pytest.raises(Forbidden, match="has no public address"):
            asyncio.run(connect(host))
    with pytest.raises(httpcore.ConnectError, match="has no address"):
        asyncio.run(connect("nowhere.invalid"))
