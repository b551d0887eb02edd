"""A house that listens on all its addresses goes, toward each far side, by the one that far side knows."""

from pathlib import Path

from tests.clients.block import leased_block
from tests.clients.house import House
from tests.clients.raw_message import sdp
from tests.clients.raw_sip import RawDialog, RawSip, register

KNOWN_AS = "127.0.0.5"  # the system would send from 127.0.0.1


def test_contact_and_sound_are_at_the_address_that_was_called(tmp_path: Path) -> None:
    with leased_block() as block:
        port, phone_ip = block.port(0), block.address()
        with (
            House(block, tmp_path, {"sip.udp": [f"0.0.0.0:{port}"]}),
            RawSip(phone_ip, (KNOWN_AS, port)) as phone,
        ):
            phone.hears_only_the_server()
            assert register(phone, "1001", "lab-1001").status == 200
            dialog = RawDialog.calling(phone, "1001", "600")
            ok, _ = dialog.invite(sdp(phone_ip, 20_000, formats="0"), user="1001", password="lab-1001")
            assert ok.status == 200
            assert f"@{KNOWN_AS}:{port}" in ok.contact()
            assert f"c=IN IP4 {KNOWN_AS}\r\n" in ok.body
            dialog.acknowledge(ok)
            dialog.send("BYE")
            assert phone.response(method="BYE").status == 200
