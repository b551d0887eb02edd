"""What else could be asked of the fax contract, settings and plugins too: no answer is a 500, and every one is as its
document says. What a request changes is taken back, so that the next finds every door open."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from pbxd.config.overlay import NAME
from tests.api.fax.house import ADMIN, fax_lab

CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"


async def test_no_request_is_too_strange(tmp_path: Path) -> None:
    async with fax_lab(tmp_path, "faxes.inbound_list_per_minute=0", "faxes.inbound_get_per_minute=0") as lab:
        house = lab.app.faxroom.house
        change = house.change

        async def and_back(changes: dict[str, Any]) -> list[str]:
            heard = await change(changes)
            await asyncio.to_thread((lab.folder / "data" / NAME).unlink)
            await house.reread()
            return heard

        house.change = and_back
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{lab.base}/openapi/fax.json"),
            *("--url", lab.base, "--header", f"X-API-Key: {ADMIN}", "--checks", CHECKS, "--seed", "7"),
            *("--max-examples", "6", "--phases", "examples,coverage,fuzzing"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(240):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, said.decode()[-6000:]
        assert b" passed" in said
