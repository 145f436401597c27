"""Where tools may not go: every spelling of an inner address, every scheme but http and https."""

from __future__ import annotations

import ipaddress

import pytest

from services.worker.egress.policy import RefusedError, parse_policy, parse_url, refusal

REFUSED_ADDRESSES = [
    *("127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.255", "0.0.0.0", "0.1.2.3"),
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255"),
    *("169.254.169.254", "169.254.170.2", "169.254.0.1", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
    *("100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::2", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::808:808"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1"),
    *("2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1", "3fff::1", "5f00::1", "4000::1"),
    *("fc00::1", "fd00::1", "fd00:ec2::254", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1"),
    *("ff02::1", "ff0e::1", "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1"),
]
PUBLIC_ADDRESSES = [
    *("8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"),
    *("169.253.1.1", "192.0.1.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "11.0.0.1", "126.255.255.255"),
    *("2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001:81b::200e", "2400:cb00::1"),
]
REFUSED_URLS = [
    # schemes
    *("file:///etc/passwd", "ftp://example.com/", "gopher://example.com/_x", "data:text/plain,x", "javascript:1"),
    *("ws://example.com/", "unix:///var/run/docker.sock", "ldap://example.com/", "dict://example.com:11211/"),
    *("//example.com/", "/etc/passwd", "example.com", "", "http:", "http://", "http:///path", "https://:443/"),
    # credentials
    *("http://user@example.com/", "http://user:pass@example.com/", "http://:@example.com/", "http://@example.com/"),
    *("http://example.com@127.0.0.1/", "http://127.0.0.1:80@example.com/"),
    # unusual spellings of addresses
    *("http://2130706433/", "http://017700000001/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/"),
    *("http://127.1/", "http://127.0.1/", "http://0/", "http://0x0/", "http://00/", "http://1/", "http://0.0/"),
    *("http://127.0.0.01/", "http://127.0.0.0x1/", "http://0x7f.1/", "http://127.0.0.1.5/", "http://256.0.0.1/"),
    *("http://127.0.0.-1/", "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/"),
    *("http://169.254.43518/", "http://foo.0x7f/", "http://foo.1/", "http://1.2.3/", "http://4294967296/"),
    # characters
    *("http://exa mple.com/", "http://example.com\\@127.0.0.1/", "http:\\\\127.0.0.1/", "http://127.0.0.1\n/"),
    *("http://example.com/\r\nHost: x", "http://example.com/\x00", " http://example.com/", "http://ex%61mple.com/"),
    *("http://127%2e0%2e0%2e1/", "http://example.com/é", "http://[::1/", "http://::1/", "http://[::1]x/"),
    *("http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::ffff:127.0.0.1.5]/", "http://[v1.x]/"),
    *("http://example.com:0/", "http://example.com:99999/", "http://example.com:80:80/", "http://example.com:-1/"),
    *("http://example..com/", "http://.example.com/", "http://-/", "http://a_b-.com/", "http://" + "a" * 64 + ".com/"),
    *("http://*.example.com/", "http://example.com;127.0.0.1/", "http://example,com/", "http://" + "a" * 5000),
]


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_an_inner_address_is_refused(address: str) -> None:
    assert refusal(ipaddress.ip_address(address))
    with pytest.raises(RefusedError):
        parse_policy([]).check_address("example.com", address, 80)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_is_allowed(address: str) -> None:
    assert refusal(ipaddress.ip_address(address)) == ""
    parse_policy([]).check_address("example.com", address, 443)


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a_url_that_is_not_plainly_http_is_refused(url: str) -> None:
    with pytest.raises(RefusedError):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com.:8080/", "http://example.com:8080/"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://①②⑦.⓪.⓪.①/", "http://127.0.0.1/"),
        ("http://127。0。0。1/", "http://127.0.0.1/"),
        ("http://[2606:4700:0:0::1111]:81/x", "http://[2606:4700::1111]:81/x"),
        ("http://[::FFFF:7f00:1]/", "http://[::ffff:7f00:1]/"),
    ],
)
def test_a_url_is_read_to_one_spelling(url: str, canonical: str) -> None:
    assert parse_url(url).url in (canonical, canonical.replace("7f00:1", "127.0.0.1"))


@pytest.mark.parametrize(
    ("rule", "host", "address", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", "127.0.0.1", 8080),
        ("localhost:8080", "localhost", "127.0.0.1", 8080),
        ("localhost:8080", "localhost", "::1", 8080),
        ("10.1.0.0/16", "db.internal", "10.1.2.3", 5432),
        ("10.1.0.0/16:443", "db.internal", "10.1.2.3", 443),
        ("[fd00::/8]:443", "db.internal", "fd00::5", 443),
        ("fd00::/8", "db.internal", "fd00::5", 1),
        ("Internal.Example", "internal.example", "10.0.0.1", 99),
    ],
)
def test_the_operator_may_except_a_place(rule: str, host: str, address: str, port: int) -> None:
    parse_policy([rule]).check_address(host, address, port)


@pytest.mark.parametrize(
    ("rule", "host", "address", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", "127.0.0.1", 8081),
        ("127.0.0.1:8080", "127.0.0.2", "127.0.0.2", 8080),
        ("localhost:8080", "localhost.example.com", "127.0.0.1", 8080),
        ("10.1.0.0/16:443", "db.internal", "10.1.2.3", 80),
        ("10.1.0.0/16", "db.internal", "10.2.2.3", 80),
        ("10.1.0.0/16", "db.internal", "::ffff:10.1.2.3", 80),
        ("0.0.0.0/0:81", "example.com", "fd00:ec2::254", 81),
    ],
)
def test_an_exception_excepts_nothing_else(rule: str, host: str, address: str, port: int) -> None:
    with pytest.raises(RefusedError):
        parse_policy([rule]).check_address(host, address, port)


@pytest.mark.parametrize("rule", ["10.0.0.0/33", "host:port", "host:0", "host:99999", "http://host", "10.0.0.1/8", ""])
def test_an_exception_that_cannot_be_read_is_an_error(rule: str) -> None:
    with pytest.raises(ValueError, match=r"neither|not a port"):
        parse_policy([rule])
