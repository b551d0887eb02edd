# mypy: allow-subclassing-any, allow-untyped-calls
"""The phone `pjsua2-python` (PyPI): UDP, TCP and TLS, hold, UPDATE, 100rel, session timers, digits, REFER, MESSAGE.

Run as a program it is the phone's own process: an uncaught C++ error aborts it, it holds four calls, no IPv6.
"""

import os
import queue
from contextlib import suppress
from pathlib import Path
from typing import Any

import pjsua2 as pj

from tests.clients.agent import Agent, Command
from tests.clients.line import Kind, Srtp, Transport, Verb
from tests.clients.sound import RATE, tone_wav

POLL_MS = 10
LEAVING_POLLS = 40
WAV_HEADER_BYTES = 44
RTP_PORTS = (20_000, 400)


class PjCall(pj.Call):
    """One call: plays the line's tone and records what it hears whenever the stream is there."""

    def __init__(self, phone: "PjPhone", call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(phone.account, call_id)
        self.phone = phone
        self.index = len(phone.calls)
        self._player = pj.AudioMediaPlayer()
        self._recorder = pj.AudioMediaRecorder()
        self._sounding = False
        phone.calls.append(self)

    def emit(self, kind: Kind, **fields: object) -> None:
        self.phone.agent.emit(kind, call=self.index, **fields)

    def onCallState(self, _: Any) -> None:  # noqa: N802 (the library's name)
        info = self.getInfo()
        match info.state:
            case pj.PJSIP_INV_STATE_EARLY if info.role == pj.PJSIP_ROLE_UAC:
                self.emit(Kind.RINGING, code=info.lastStatusCode)
            case pj.PJSIP_INV_STATE_CONFIRMED:
                self.emit(Kind.ESTABLISHED)
            case pj.PJSIP_INV_STATE_DISCONNECTED:
                self.emit(Kind.ENDED, code=info.lastStatusCode, reason=info.lastReason)

    def onCallMediaState(self, _: Any) -> None:  # noqa: N802
        info = self.getInfo()  # owns the list below
        for number, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO or media.status == pj.PJSUA_CALL_MEDIA_NONE:
                continue
            if media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                self._connect(self.getAudioMedia(number))

    def _connect(self, audio: Any) -> None:
        line = self.phone.agent.line
        if not self._sounding:
            self._sounding = True
            source = tone_wav(Path(line.folder), line.tone_hz, 1.0, dbfs=line.tone_dbfs)
            self._player.createPlayer(str(source), 0)
            path = Path(line.folder) / f"heard-{os.getpid()}-{self.index}.wav"
            self._recorder.createRecorder(str(path))
            self.phone.agent.recording(self.index, str(path), header_bytes=WAV_HEADER_BYTES)
        self._player.startTransmit(audio)
        audio.startTransmit(self._recorder)

    def onDtmfDigit(self, digit: Any) -> None:  # noqa: N802
        self.emit(Kind.DIGIT, digit=digit.digit, duration_ms=digit.duration)

    def onCallTsxState(self, change: Any) -> None:  # noqa: N802
        transaction = change.e.body.tsxState.tsx
        if transaction.state not in (pj.PJSIP_TSX_STATE_COMPLETED, pj.PJSIP_TSX_STATE_TERMINATED):
            return
        if transaction.method == "REFER" and transaction.role == pj.PJSIP_ROLE_UAC:
            if transaction.state == pj.PJSIP_TSX_STATE_COMPLETED:
                self.emit(Kind.REFER_STATUS, code=transaction.statusCode)
        elif transaction.statusCode == 200 and transaction.state == pj.PJSIP_TSX_STATE_COMPLETED:
            ours = transaction.role == pj.PJSIP_ROLE_UAC
            self.emit(Kind.TRANSACTION, method=transaction.method, ours=ours)


class PjAccount(pj.Account):
    """The registration, and what arrives outside of calls."""

    def __init__(self, phone: "PjPhone") -> None:
        super().__init__()
        self._phone = phone

    def onRegState(self, state: Any) -> None:  # noqa: N802
        emit = self._phone.agent.emit
        if state.code // 100 != 2:
            emit(Kind.REGISTRATION_FAILED, code=state.code, reason=state.reason)
        elif state.expiration:
            emit(Kind.REGISTERED, expires_s=state.expiration)
        else:
            emit(Kind.UNREGISTERED)

    def onIncomingCall(self, incoming: Any) -> None:  # noqa: N802
        call = PjCall(self._phone, incoming.callId)
        call.answer(_with_status(180))
        call.emit(Kind.INCOMING, **{"from": call.getInfo().remoteUri})

    def onInstantMessage(self, message: Any) -> None:  # noqa: N802
        self._phone.agent.emit(
            Kind.MESSAGE, **{"from": message.fromUri}, text=message.msgBody, type=message.contentType
        )

    def onMwiInfo(self, info: Any) -> None:  # noqa: N802
        self._phone.agent.emit(Kind.LAMP, body=info.rdata.wholeMsg.partition("\r\n\r\n")[2])

    def onInstantMessageStatus(self, status: Any) -> None:  # noqa: N802
        self._phone.agent.emit(Kind.MESSAGE_STATUS, code=status.code)


def _with_status(code: int) -> Any:
    parameters = pj.CallOpParam(True)
    parameters.statusCode = code
    return parameters


class PjPhone:
    """Translates the words of the test into the library's."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.calls: list[PjCall] = []
        self._buddies: list[Any] = []
        self._endpoint = pj.Endpoint()
        self.account = PjAccount(self)

    def run(self) -> None:
        """Serve commands until told to quit."""
        self._start()
        self.account.create(self._account_settings())
        self.agent.emit(Kind.READY)
        while True:
            self._endpoint.libHandleEvents(POLL_MS)
            try:
                command = self.agent.commands.get_nowait()
            except queue.Empty:
                continue
            if command["verb"] == Verb.QUIT:
                break
            try:
                self._obey(command)
            except pj.Error as error:
                self.agent.emit(Kind.ERROR, verb=command["verb"], error=error.info())
        self._leave()

    def _start(self) -> None:
        line, settings = self.agent.line, pj.EpConfig()
        settings.logConfig.level = settings.logConfig.consoleLevel = line.log_level
        settings.uaConfig.userAgent = "pjsua2"
        settings.uaConfig.threadCnt = 0
        settings.uaConfig.mainThreadOnly = True
        settings.medConfig.noVad = True
        settings.medConfig.ecTailLen = 0
        settings.medConfig.clockRate = settings.medConfig.sndClockRate = RATE
        self._endpoint.libCreate()
        self._endpoint.libInit(settings)
        transport = pj.TransportConfig()
        transport.boundAddress = transport.publicAddress = line.address
        transport.tlsConfig.verifyServer = False
        self._endpoint.transportCreate(self._transport_type(), transport)
        self._endpoint.libStart()
        self._endpoint.audDevManager().setNullDev()
        for codec in self._endpoint.codecEnum2():
            name = codec.codecId.partition("/")[0]
            place = line.codecs.index(name) if name in line.codecs else None
            self._endpoint.codecSetPriority(codec.codecId, 0 if place is None else 200 - place)

    def _transport_type(self) -> Any:
        return {
            Transport.UDP: pj.PJSIP_TRANSPORT_UDP,
            Transport.TCP: pj.PJSIP_TRANSPORT_TCP,
            Transport.TLS: pj.PJSIP_TRANSPORT_TLS,
        }[self.agent.line.transport]

    def _account_settings(self) -> Any:
        line, settings = self.agent.line, pj.AccountConfig()
        settings.idUri = line.uri(line.extension)
        settings.regConfig.registrarUri = line.server_uri
        settings.regConfig.timeoutSec = line.expires_s
        settings.regConfig.registerOnAdd = False
        settings.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", line.extension, 0, line.password))
        settings.sipConfig.proxies.append(f"{line.server_uri};lr")
        settings.natConfig.contactRewriteUse = 0
        settings.natConfig.sdpNatRewriteUse = 0
        settings.natConfig.viaRewriteUse = 0
        settings.mwiConfig.enabled = line.lamp
        media = settings.mediaConfig
        media.transportConfig.boundAddress = media.transportConfig.publicAddress = line.address
        media.transportConfig.port, media.transportConfig.portRange = RTP_PORTS
        media.srtpUse = {
            Srtp.OFF: pj.PJMEDIA_SRTP_DISABLED,
            Srtp.OPTIONAL: pj.PJMEDIA_SRTP_OPTIONAL,
            Srtp.REQUIRED: pj.PJMEDIA_SRTP_MANDATORY,
        }[line.srtp]
        media.srtpSecureSignaling = 0
        if line.suite:
            crypto = pj.SrtpCrypto()
            crypto.name = line.suite
            media.srtpOpt.cryptos.append(crypto)
        if line.session_expires_s:
            settings.callConfig.timerUse = pj.PJSUA_SIP_TIMER_REQUIRED
            settings.callConfig.timerSessExpiresSec = line.session_expires_s
        if line.reliable_provisional:
            settings.callConfig.prackUse = pj.PJSUA_100REL_MANDATORY
        return settings

    def _obey(self, command: Command) -> None:
        match command["verb"]:
            case Verb.REGISTER:
                self.account.setRegistration(True)
            case Verb.UNREGISTER:
                self.account.setRegistration(False)
            case Verb.DIAL:
                call = PjCall(self)
                call.emit(Kind.DIALLING)
                call.makeCall(command["to"], pj.CallOpParam(True))
            case Verb.MESSAGE:
                self._send_message(command["to"], command["text"])
            case verb:
                self._obey_in_call(verb, self.calls[command["call"]], command)

    def _obey_in_call(self, verb: str, call: PjCall, command: Command) -> None:
        parameters = pj.CallOpParam(True)
        match verb:
            case Verb.ANSWER:
                call.answer(_with_status(command["code"]))
            case Verb.HANG_UP:
                call.hangup(pj.CallOpParam())
            case Verb.HOLD:
                call.setHold(parameters)
            case Verb.RESUME:
                parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
                call.reinvite(parameters)
            case Verb.UPDATE:
                call.update(parameters)
            case Verb.REFER:
                call.xfer(command["to"], parameters)
            case Verb.DIGITS:
                digits = pj.CallSendDtmfParam()
                digits.digits, digits.duration = command["digits"], 120
                digits.method = pj.PJSUA_DTMF_METHOD_RFC2833
                call.sendDtmf(digits)

    def _send_message(self, to: str, text: str) -> None:
        settings, message = pj.BuddyConfig(), pj.SendInstantMessageParam()
        settings.uri, settings.subscribe = to, False
        message.content = text
        buddy = pj.Buddy()
        self._buddies.append(buddy)
        buddy.create(self.account, settings)
        buddy.sendInstantMessage(message)

    def _leave(self) -> None:
        with suppress(pj.Error):
            self._endpoint.hangupAllCalls()
        with suppress(pj.Error):
            self.account.setRegistration(False)
        for _ in range(LEAVING_POLLS):
            self._endpoint.libHandleEvents(POLL_MS)
        self.agent.leave()


if __name__ == "__main__":
    PjPhone(Agent()).run()
