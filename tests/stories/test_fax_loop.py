"""The lab faxes itself through its own trunk: a document goes in by HTTP and comes out of the box, page for page."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pypdfium2

from pbxd.app import App
from pbxd.config import load
from tests.api.client import Client
from tests.media import papers

LAB = Path(__file__).resolve().parents[2] / "etc" / "lab.yaml"
PATIENCE_S = 150.0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_fax_to_the_houses_own_number_is_in_its_box(tmp_path: Path) -> None:
    port = free_port()
    overrides = (
        f"data_dir={tmp_path}/data",
        f"sip.udp=['127.0.0.1:{port}']",
        "sip.tcp=[]",
        "sip.tls=[]",
        "http.listen=127.0.0.1:0",
        "rtp.ports=47700-47799",
        f"trunks.lab-loop.proxy=sip:127.0.0.1:{port}",
    )
    app = App(load(LAB, overrides))
    await app.start()
    try:
        ((host, http),) = app.server.bound
        async with aiohttp.ClientSession() as session:
            client = Client(f"http://{host}:{http}", session)
            form = aiohttp.FormData()
            form.add_field("to", "+12025550150")
            form.add_field("ident", "+1 555 0199")  # the call goes out with the trunk's number all the same
            source = papers.pdf(tmp_path / "two.pdf", 2)
            form.add_field("file", source.read_bytes(), filename="two.pdf", content_type="application/pdf")
            job = (await client.ask("POST", "/fax", key="lab-fax-key", data=form)).json
            nowhere = aiohttp.FormData({"to": "+4930123456"})
            nowhere.add_field("file", b"nobody", filename="a.txt", content_type="text/plain")
            lost = (await client.ask("POST", "/fax", key="lab-fax-key", data=nowhere)).json
            async with asyncio.timeout(PATIENCE_S):
                while job["status"] in ("queued", "in_progress"):
                    await asyncio.sleep(0.5)
                    job = (await client.get(f"/fax/{job['id']}", key="lab-fax-key")).json
            detail = (await client.get(f"/admin/fax-jobs/{job['id']}", key="lab-admin")).json
            assert (job["status"], job["pages"], job["error"]) == ("SUCCESS", 2, None), detail
            assert (detail["pages_confirmed"], detail["tries"], detail["transport"]) == (2, 1, "t38")
            lost = (await client.get(f"/fax/{lost['id']}", key="lab-fax-key")).json
            assert (lost["status"], lost["error"]) == ("FAILED", "no route leads to +4930123456")
            async with asyncio.timeout(20):
                while not (received := (await client.get("/inbound?mailbox=lab", key="lab-admin")).json):
                    await asyncio.sleep(0.2)
            (fax,) = received
            assert (fax["to"], fax["fr"], fax["status"], fax["pages"]) == (
                *("+12025550150", "+12025550150", "received", 2),
            )
            pdf = tmp_path / "received.pdf"
            pdf.write_bytes((await client.get(f"/inbound/{fax['id']}/pdf", key="lab-admin")).body)
            assert len(pypdfium2.PdfDocument(pdf)) == 2
    finally:
        await app.stop()
