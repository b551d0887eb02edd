"""Faxes handed to a provider over HTTP, as its manifest says."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import ValidationError
from yarl import URL

from media.fax import FaxOutcome, FaxReason
from pbxd.config.providers import FaxProvider
from pbxd.errors import Conflict, Invalid, Unavailable
from pbxd.services.faxes.builtin import BUILT_IN, PHAXIO, SIGNALWIRE
from pbxd.services.faxes.carrier import Handed, News, Papers, Refused, failed
from pbxd.services.faxes.exchange import Exchange, Replied, Unreached
from pbxd.services.faxes.job import FaxJob, JobState
from pbxd.services.faxes.manifest import (
    MAX_ERROR,
    MAX_MANIFEST,
    Action,
    BodyKind,
    Manifest,
    Scheme,
    expand,
    fields_of,
    news_of,
    url_of,
    value_at,
)

log = logging.getLogger(__name__)

FIRST_LOOK_S = 30.0
LONGEST_LOOK_S = 1800.0
UNTOLD_S = 86_400.0  # who cannot be asked tells by then, or never
MAX_FILE = 64 << 20
FILE_TIMEOUT_S = 60.0
_FILE = "{{file_path}}"
_CALLBACKS = {PHAXIO: "/phaxio-callback", SIGNALWIRE: "/signalwire-callback"}
_TYPES = {".pdf": "application/pdf", ".tiff": "image/tiff"}
Link = Callable[[str], str | None]
"""What opens the PDF of a fax of ours to a provider; None where nobody said what we are called outside."""


class HttpProvider:
    """One provider. `said` is what the settings say of it; `file_link` and `callback_link` make links by a fax's id."""

    def __init__(self, manifest: Manifest, said: FaxProvider, exchange: Exchange) -> None:
        self.manifest = manifest
        self.said = said
        self.name = manifest.id
        self.dials = manifest.tiff
        self.file_link: Link = _no_link
        self.callback_link: Link = _no_link
        self._exchange = exchange
        self._base = URL(said.base_url) if said.base_url else None

    @property
    def trouble(self) -> str | None:
        """What is missing in the settings."""
        lacking = [name for name in self.manifest.needs() if not self._said(name)]
        if not self._variables()["base_url"]:
            lacking.append("base_url")
        if lacking:
            return f"faxes.providers.{self.name} lacks {', '.join(lacking)}"
        return None

    @property
    def refreshes(self) -> bool:
        """Whether it can be asked for news, when somebody wants some."""
        return self.manifest.refresh and self.manifest.actions.get_status is not None

    @property
    def places(self) -> frozenset[str]:
        """Where it may be asked, its secrets with it: its base, where each action goes, the domains it may name."""
        variables = self._variables()
        found = {variables["base_url"], *self.manifest.allowed_domains}
        for _name, action in self.manifest.actions:
            if action is None:
                continue
            try:
                found.add(str(url_of(action, variables).origin()))
            except ValueError:  # nowhere yet
                found.add(expand(action.url, variables))
        return frozenset(found)

    # ---- out

    async def carry(self, job: FaxJob, papers: Papers) -> FaxOutcome | Handed:
        """Hands a fax over. Raises Refused where the provider says no, or where it is not known whether it was taken:
        a fax is not sent twice."""
        if self.trouble is not None:
            raise Refused(self.trouble)
        variables = self._of_job(job) | {"file_path": str(papers.tiff if self.dials else papers.pdf)}
        action = self.manifest.actions.send_fax
        if "{{file_url}}" in action.model_dump_json() and not variables["file_url"]:
            raise Refused(f"{self.name} fetches documents, and http.public_url is not set")
        try:
            reply = await self._ask(action, variables)
        except Unreached as error:
            return failed(FaxReason.NO_ANSWER, f"{self.name}: {error}")
        except Unavailable as error:
            raise Refused(f"{self.name}: {error}; it may have taken the fax") from None
        if reply.status in (429, 503):
            return failed(FaxReason.BUSY, f"{self.name} answered {reply.status}")
        if not 200 <= reply.status < 300:
            raise Refused(f"{self.manifest.name} create fax error {reply.status}: {_line(reply.text)}")
        news = news_of(reply.value, action.response)
        sid = value_at(reply.value, action.response.job_id)
        if news.state is JobState.FAILED:
            raise Refused(f"{self.manifest.name} create fax error: {news.error}")
        if not sid or len(sid) > 128:
            raise Refused(f"{self.name} took the fax and gave it no id")
        return Handed(sid, FIRST_LOOK_S if self.manifest.actions.get_status else UNTOLD_S)

    async def look(self, job: FaxJob, asked: int) -> tuple[News | None, float]:
        """What it says of a fax now. Raises Unavailable."""
        action = self.manifest.actions.get_status
        if action is None:
            return News(JobState.FAILED, f"{self.name} never said how it ended"), 0.0
        pause = min(FIRST_LOOK_S * 2 ** min(asked + 1, 16), LONGEST_LOOK_S)
        reply = await self._ask(action, self._of_job(job))
        if reply.status in (429, 503) or not reply.text:
            return None, pause
        if reply.status >= 400:
            raise Unavailable(f"its answer was {reply.status}")
        return news_of(reply.value, action.response), pause

    async def check(self) -> dict[str, bool | str]:
        """Whether it is `ready` to be asked, `reachable`, and takes our `credentials`; a sentence says why not."""
        if self.trouble is not None:
            return {"ready": self.trouble}
        action = self.manifest.actions.check or self.manifest.actions.get_status
        if action is None or action.method != "GET":
            return {"ready": True}
        try:
            reply = await self._ask(action, self._variables() | {"job_id": "0"})
        except (Invalid, Unavailable) as error:
            return {"ready": True, "reachable": error.message}
        if reply.status in (401, 403):
            return {"ready": True, "reachable": True, "credentials": f"its answer was {reply.status}"}
        return {"ready": True, "reachable": True, "credentials": True}

    async def withdraw(self, job: FaxJob) -> None:
        """Takes a fax back. Raises Conflict where it does not let it go, Unavailable."""
        action = self.manifest.actions.cancel_fax
        if action is None:
            raise Conflict(f"{self.name} has this fax and takes none back")
        reply = await self._ask(action, self._of_job(job))
        if not 200 <= reply.status < 300:
            raise Conflict(f"{self.name} has this fax and does not let it go: it answered {reply.status}")

    # ---- in

    async def fetch(self, file_url: str | None, sid: str, target: Path) -> None:
        """Writes what came in to `target`: from `file_url`, or by its id.

        Raises Invalid for a URL that is none of the provider's, Unavailable, TooLarge, OSError.
        """
        variables = self._variables() | {"job_id": sid}
        action = self.manifest.actions.get_file
        if file_url:
            try:
                url = URL(file_url)
            except ValueError:
                raise Invalid("Invalid file_url") from None
        elif action is not None:
            url = url_of(action, variables)
        else:
            raise Invalid("Invalid file_url")
        if not self.manifest.permits(url, self._base):
            raise Invalid("Invalid file_url")
        await self._exchange.fetch(
            "GET", self._with_key(url), target, headers=self._auth(), timeout_s=FILE_TIMEOUT_S, most=MAX_FILE
        )

    def cred(self, name: str) -> str:
        """What a credential is; nothing where it is not set."""
        secret = self.said.creds.get(name)
        return secret.get_secret_value() if secret else ""

    # ---- inside

    def _said(self, name: str) -> str:
        group, _, word = name.partition(".")
        return self.cred(word) if group == "creds" else self.said.settings.get(word, "")

    def _variables(self) -> dict[str, str]:
        known = {f"settings.{name}": value for name, value in self.said.settings.items()}
        known |= {f"creds.{name}": self.cred(name) for name in self.said.creds}
        return known | {"base_url": (self.said.base_url or expand(self.manifest.base_url, known)).rstrip("/")}

    def _of_job(self, job: FaxJob) -> dict[str, str]:
        return self._variables() | {
            "to": job.to,
            "from": "".join(job.ident.split()),
            "header": job.header,
            "fax_id": job.id,
            "job_id": job.provider_sid or "",
            "file_url": self.file_link(job.id) or "",
            "callback_url": self.callback_link(job.id) or "",
        }

    async def _ask(self, action: Action, variables: Mapping[str, str]) -> Replied:
        try:
            url = url_of(action, variables)
        except ValueError:
            raise Refused(f"{self.name}: its URL is none") from None
        if not self.manifest.permits(url, self._base):
            raise Refused(f"{self.name} may not be asked there: it is none of its allowed_domains")
        headers = {name: expand(text, variables) for name, text in action.headers.items()} | self._auth()
        body = action.body
        if body.kind is BodyKind.MULTIPART and _FILE in body.template.values():
            file = Path(variables["file_path"])
            content = await asyncio.to_thread(file.read_bytes)
            form = aiohttp.FormData()
            for name, value in body.template.items():
                if value == _FILE:
                    form.add_field(name, content, filename=f"fax{file.suffix}", content_type=_TYPES[file.suffix])
                elif made := fields_of(value, variables):
                    form.add_field(name, str(made))
            return await self._exchanged(action, url, headers, data=form)
        made = fields_of(body.template, variables)
        if body.kind is BodyKind.JSON:
            return await self._exchanged(action, url, headers, json=made)
        if body.kind is BodyKind.FORM:
            return await self._exchanged(action, url, headers, data={name: str(one) for name, one in made.items()})
        if body.kind is BodyKind.MULTIPART:
            form = aiohttp.FormData(default_to_multipart=True)
            for name, one in made.items():
                form.add_field(name, str(one))
            return await self._exchanged(action, url, headers, data=form)
        return await self._exchanged(action, url, headers)

    async def _exchanged(self, action: Action, url: URL, headers: Mapping[str, str], **body: Any) -> Replied:
        timeout_s = self.manifest.timeout_ms / 1000
        return await self._exchange.ask(
            action.method, self._with_key(url), headers=headers, timeout_s=timeout_s, **body
        )

    def _auth(self) -> dict[str, str]:
        match self.manifest.auth.scheme:
            case Scheme.BASIC:
                pair = base64.b64encode(f"{self.cred('key')}:{self.cred('secret')}".encode()).decode()
                return {"Authorization": f"Basic {pair}"}
            case Scheme.BEARER:
                return {"Authorization": f"Bearer {self.cred('token')}"}
            case Scheme.HEADER:
                return {self.manifest.auth.header_name: self.cred("key")}
        return {}

    def _with_key(self, url: URL) -> URL:
        if self.manifest.auth.scheme is Scheme.QUERY:
            return url.update_query({self.manifest.auth.query_name: self.cred("key")})
        return url


def manifest_of(name: str, said: FaxProvider) -> Manifest:
    """The manifest of a provider in the settings. Raises Invalid, saying what is wrong with it."""
    if said.manifest is None:
        if name not in BUILT_IN:
            raise Invalid("it is not built in, and has no manifest")
        return BUILT_IN[name]
    try:
        with said.manifest.open("rb") as file:
            text = file.read(MAX_MANIFEST + 1)
        if len(text) > MAX_MANIFEST:
            raise Invalid(f"its manifest has more than {MAX_MANIFEST} bytes")
        manifest = Manifest.model_validate_json(text)
    except OSError as error:
        raise Invalid(f"its manifest cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise Invalid(f"its manifest is none: {place}: {first['msg']}") from None
    if manifest.id != name:
        raise Invalid("its manifest has another id")
    return manifest


class Providers:
    """Those in the settings that can be used. `file_link` and `public_url` may be assigned to."""

    def __init__(self) -> None:
        self._exchange = Exchange()
        self._known: dict[str, HttpProvider] = {}
        self.file_link: Link = _no_link
        self.public_url: Callable[[], str | None] = lambda: None

    def take(self, said: Mapping[str, FaxProvider]) -> dict[str, HttpProvider]:
        """What the settings say from now on; the providers by name."""
        known: dict[str, HttpProvider] = {}
        for name, one in said.items():
            try:
                known[name] = self._made(manifest_of(name, one), one)
            except Invalid as error:
                log.error("the fax provider %s cannot be used: %s", name, error)
        self._known = known
        return known

    def get(self, name: str) -> HttpProvider | None:
        return self._known.get(name)

    def items(self) -> Iterable[tuple[str, HttpProvider]]:
        return self._known.items()

    def trial(self, name: str, said: FaxProvider) -> HttpProvider:
        """A provider as it would be with other settings. Raises Invalid."""
        return self.by(manifest_of(name, said), said)

    def by(self, manifest: Manifest, said: FaxProvider) -> HttpProvider:
        """A provider as it would be by another manifest."""
        return HttpProvider(manifest, said, self._exchange)

    async def close(self) -> None:
        await self._exchange.close()

    def _made(self, manifest: Manifest, said: FaxProvider) -> HttpProvider:
        provider = HttpProvider(manifest, said, self._exchange)
        provider.file_link = self._file
        if (door := _CALLBACKS.get(manifest.id)) is not None:
            provider.callback_link = partial(self._callback, door)
        return provider

    def _file(self, fax_id: str) -> str | None:
        return self.file_link(fax_id)

    def _callback(self, door: str, fax_id: str) -> str | None:
        base = self.public_url()
        return f"{base}{door}?job_id={fax_id}" if base else None


def _no_link(_fax_id: str) -> str | None:
    return None


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_ERROR]
