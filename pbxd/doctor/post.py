"""Mail: the whole conversation with the mail server but the mail itself, unless one is wanted."""

from __future__ import annotations

from collections.abc import Iterator

from pbxd.config import Config
from pbxd.doctor.around import Surroundings
from pbxd.doctor.finding import Finding, Level

_CURES = (
    ("log-in", "mail.username and mail.password: many providers want a password made for programs"),
    ("TLS:", "a certificate of your own authority: name it in mail.authorities; else mail.server must be its name"),
    ("STARTTLS", "security: tls (port 465), or none for a relay on this machine"),
    ("cannot be used", "mail.server and mail.port; is TCP let out to it (nc -v SERVER PORT)?"),
    ("takes too long", "is TCP let out to it (nc -v SERVER PORT)? many networks block port 25"),
    ("in time", "is TCP let out to it (nc -v SERVER PORT)? many networks block port 25"),
    ("settings", "look at `mail` in the configuration"),
)


def mail(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Would a mail be taken? Without `mail_to` that is asked for `mail.from`, and nothing is sent."""
    server = config.mail.server
    if server is None or config.mail.from_ is None:
        yield Finding("mail", Level.NOTE, "no mail is sent: there is no mail.server",
                      "mail: {server, from, …} if voicemail or alarms are to be mailed")  # fmt: skip
        return
    to = around.mail_to or config.mail.from_
    try:
        verdict = around.mail(config, around.mail_to)
    except OSError as error:
        yield Finding("mail", Level.WARNING, str(error), "name a PEM file in mail.authorities that pbxd can read")
        return
    at = f"{server}:{config.mail.port}"
    if verdict.taken:
        done = f"a mail to {to} was taken" if around.mail_to else f"would take a mail to {to}; none was sent"
        yield Finding("mail", Level.GOOD, f"{at}: {done} ({verdict.said})")
        return
    cure = next((cure for word, cure in _CURES if word in verdict.said), "")
    yield Finding("mail", Level.WARNING, f"{at} does not take a mail to {to}: {verdict.said}",
                  cure or "is mail.from an address that this server sends for? its log says more")  # fmt: skip
