"""What `pbxd check` tries beyond the words of a file: whether the certificates, authorities and store it names are of
use. What passes here is not refused by `pbxd run`; nothing is opened, made or changed."""

from __future__ import annotations

from pbxd.certificates import CertificateError, given
from pbxd.config import Config
from pbxd.config.problem import Problem
from pbxd.services.deliveries import mail_sender
from pbxd.store.engine import url_problem


def problems(config: Config) -> list[Problem]:
    """Each with its place in the file. Files that are not there are `check_ports`' to name."""
    found = [(key, text) for key, text in (*_certificates(config), *_store(config), *_authorities(config))]
    return [Problem(config.source(key).where, key, text) for key, text in found]


def _certificates(config: Config) -> list[tuple[str, str]]:
    sip = config.sip
    named = [("sip.certificate", sip.certificate, sip.private_key)]
    named += [
        (f"sip.certificates.{index}.certificate", one.certificate, one.private_key)
        for index, one in enumerate(sip.certificates)
    ]
    found = []
    for key, certificate, private_key in named:
        if certificate is None or private_key is None or not (certificate.is_file() and private_key.is_file()):
            continue
        try:
            given(certificate, private_key)
        except CertificateError as error:
            found.append((key, error.message))
    return found


def _store(config: Config) -> list[tuple[str, str]]:
    url = config.store.url
    problem = url_problem(url.get_secret_value()) if url else None
    return [("store.url", problem)] if problem else []


def _authorities(config: Config) -> list[tuple[str, str]]:
    try:
        mail_sender(config)
    except OSError as error:
        return [("mail.authorities", f"{config.mail.authorities} cannot be read: {error.strerror or error}")]
    return []
