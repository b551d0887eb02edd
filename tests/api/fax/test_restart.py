"""An admin restarts the daemon by HTTP: it ends as a stop does and the same process begins anew."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

import aiohttp

CONFIG = """
data_dir: {folder}/data
sip: {{udp: ['127.0.0.1:0'], tcp: [], tls: []}}
http: {{listen: '127.0.0.1:{port}'}}
rtp: {{ports: 47800-47899}}
first_start: {{phones: "", admin_key: false}}
keys: {{boss: {{secret: boss-secret, scopes: ["*"]}}}}
faxes: {{allow_restart: true}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_same_process_begins_anew(tmp_path: Path) -> None:
    port, file, log = free_port(), tmp_path / "pbxd.yaml", tmp_path / "log"
    file.write_text(CONFIG.format(folder=tmp_path, port=port))
    base, key = f"http://127.0.0.1:{port}", {"X-API-Key": "boss-secret"}
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pbxd", "run", str(file), stderr=stderr, stdout=asyncio.subprocess.DEVNULL
        )

    async def starts(count: int) -> None:
        async with asyncio.timeout(60):
            while log.read_text().count('"event":"ready"') + log.read_text().count('"event": "ready"') < count:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.1)

    try:
        await starts(1)
        async with aiohttp.ClientSession() as session:
            async with session.put(f"{base}/admin/settings", json={"fax_header": "Kept"}, headers=key) as answer:
                assert answer.status == 200
            async with session.post(f"{base}/admin/restart", headers=key) as answer:
                assert (answer.status, (await answer.json())["ok"]) == (200, True)
            await starts(2)
            async with session.get(f"{base}/admin/settings", headers=key) as answer:
                assert (await answer.json())["sip"]["header"] == "Kept"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
