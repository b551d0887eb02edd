"""The network: ports of ours, ports to open, the address we give out, names, and what the far side really sees."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from pbxd.config import Config
from pbxd.config.values import Address
from pbxd.doctor.around import Surroundings
from pbxd.doctor.finding import Finding, Level
from pbxd.sip.uri import Uri


def ports(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Without a daemon every port must be free; a daemon that is ready has them."""
    if around.daemon is not None:
        yield Finding("ports", Level.GOOD, f"the daemon has its ports: {', '.join(_listening(config))}")
        return
    problems = around.ports(config)
    for problem in problems:
        yield Finding("ports", Level.PROBLEM, f"{problem.key}: {problem.message}",
                      "stop the other program, or choose another port in the configuration")  # fmt: skip
    if not problems:
        yield Finding("ports", Level.GOOD, f"free: {', '.join(_listening(config))}")


def _listening(config: Config) -> list[str]:
    sip = [f"{kind} {address}" for kind in ("udp", "tcp", "tls") for address in getattr(config.sip, kind)]
    return [*sip, f"http {config.http.listen}", *(f"https {address}" for address in config.http.tls)]


def firewall(config: Config, _around: Surroundings) -> Iterator[Finding]:
    """What phones and providers must get through to."""
    rtp = config.rtp.ports
    udp = [*_open(config.sip.udp), f"{rtp.first}-{rtp.last}"]
    tcp = _open([*config.sip.tcp, *config.sip.tls, *config.http.tls])
    said = [f"{kind} {', '.join(rows)}" for kind, rows in (("UDP", udp), ("TCP", tcp)) if rows]
    rules = [f"nft add rule inet filter input udp dport '{{ {', '.join(udp)} }}' accept"]
    if tcp:
        rules.append(f"nft add rule inet filter input tcp dport '{{ {', '.join(tcp)} }}' accept")
    rules += [f"or: ufw allow {port.replace('-', ':')}/udp" for port in udp]
    rules += [f"or: ufw allow {port}/tcp" for port in tcp]
    yield Finding("firewall", Level.NOTE, f"must be open for phones and providers: {'; '.join(said)}", "\n".join(rules))
    open_http = config.http.listen
    if not ipaddress.ip_address(open_http.host).is_loopback:
        yield Finding("firewall", Level.WARNING, f"the control plane is on {open_http} in the clear: keys can be read",
                      "http.listen: 127.0.0.1:8080, and http.tls for the network")  # fmt: skip


def _open(addresses: Sequence[Address]) -> list[str]:
    """Their ports, each once, without those that only this machine reaches."""
    outside = [address for address in addresses if not ipaddress.ip_address(address.host).is_loopback]
    return list(dict.fromkeys(str(address.port) for address in outside))


def advertised(config: Config, around: Surroundings) -> Iterator[Finding]:
    """What phones and providers are told to send sound to."""
    external = config.sip.external
    stated = [ip for ip in (external.ipv4, external.ipv6) if ip]
    for ip in stated:
        if any(ip.version == net.version and ip in net for net in config.sip.local_nets):
            yield Finding("address", Level.PROBLEM, f"sip.external {ip} is an address of sip.local_nets",
                          "state the address of the router's outside there, or null")  # fmt: skip
        else:
            yield Finding("address", Level.GOOD, f"far sides outside local_nets are told {ip}")
    if not around.addresses:
        yield Finding("address", Level.PROBLEM, "this machine has no way to any network", "ip route; ip address")
        return
    private = [text for text in around.addresses if not ipaddress.ip_address(text).is_global]
    wild = any(address.is_wildcard for kind in ("udp", "tcp", "tls") for address in getattr(config.sip, kind))
    if not external.ipv4 and wild and any("." in text for text in private):
        yield Finding("address", Level.WARNING, f"we give out {', '.join(private)}, which only this network reaches",
                      "fine for phones in the house. For providers and phones outside: sip.external.ipv4: the address "
                      "of your router")  # fmt: skip
    elif not stated:
        yield Finding("address", Level.GOOD, f"everybody is told {', '.join(around.addresses)}")


def far_side(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Only where a server is named: it learns that we are here."""
    external = config.sip.external
    if external.stun is None:
        yield Finding("far side", Level.NOTE, "nobody was asked what the far side sees of us",
                      "pbxd doctor --stun SERVER, or sip.external.stun")  # fmt: skip
        return
    try:
        seen, _ = around.stun(external.stun)
    except OSError as error:
        yield Finding("far side", Level.WARNING, f"the STUN server {external.stun} gives no answer: {error}",
                      "is UDP let out? try another server in sip.external.stun")  # fmt: skip
        return
    stated = external.ipv6 if ":" in seen else external.ipv4
    key = "ipv6" if ":" in seen else "ipv4"
    if str(stated) == seen or (stated is None and seen in around.addresses):
        yield Finding("far side", Level.GOOD, f"the far side sees {seen}, which is what we give out")
    else:
        yield Finding("far side", Level.PROBLEM, f"the far side sees {seen}, but is told {stated or 'our own address'}",
                      f"sip.external.{key}: {seen}")  # fmt: skip


def names(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Names of ours must lead to us, those of trunks must lead somewhere."""
    for domain in config.account.domains:
        if _is_address(domain) or domain == "localhost":
            continue
        yield from _own_name(f"account.domains: {domain}", domain, config, around)
    for name, trunk in config.trunks.items():
        host = Uri.parse(trunk.proxy).host.strip("[]") if trunk.proxy else ""
        if not host or _is_address(host):
            continue
        if found := around.lookup(host):
            yield Finding("dns", Level.GOOD, f"trunks.{name}: {host} is {', '.join(found[:4])}")
        else:
            yield Finding("dns", Level.PROBLEM, f"trunks.{name}: {host} is not found",
                          "is the name right? does DNS work (resolvectl query, /etc/resolv.conf)?")  # fmt: skip


def control_plane(config: Config, around: Surroundings) -> Iterator[Finding]:
    """The address that links of ours begin with."""
    url = config.http.public_url
    if url is None:
        return
    host = urlsplit(url).hostname or ""
    if not url.startswith("https:"):
        yield Finding("public url", Level.WARNING, f"http.public_url {url} is not https: what is sent can be read",
                      "http.tls, or a proxy with TLS in front")  # fmt: skip
    if not _is_address(host):
        yield from _own_name(f"http.public_url: {host}", host, config, around)


def _own_name(label: str, name: str, config: Config, around: Surroundings) -> Iterator[Finding]:
    found = around.lookup(name)
    external = config.sip.external
    ours = {*around.addresses, *(str(ip) for ip in (external.ipv4, external.ipv6) if ip)}
    if not found:
        yield Finding("dns", Level.WARNING, f"{label} is not found", "an A or AAAA record for it that leads here")
    elif ours.isdisjoint(found):
        yield Finding("dns", Level.WARNING, f"{label} is {', '.join(found[:4])}, which is none of ours",
                      "correct its record, or set sip.external to that address")  # fmt: skip
    else:
        yield Finding("dns", Level.GOOD, f"{label} leads here")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
