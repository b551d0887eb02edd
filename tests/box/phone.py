"""A phone in a few lines, for a machine with nothing but Python: registers once and prints the status it got.

python3 phone.py HOST PORT USER PASSWORD
python3 phone.py --ready              prints the status of /health/ready instead
"""

from __future__ import annotations

import hashlib
import http.client
import re
import secrets
import socket
import sys

PATIENCE_S = 5.0


def md5(text: str) -> str:
    """RFC 7616 §3.4.1: H, with the algorithm every phone knows."""
    return hashlib.md5(text.encode()).hexdigest()


def register(host: str, port: int, user: str, password: str) -> int:
    """The final status of a REGISTER with a password (RFC 3261 §22.4). Raises OSError when nobody answers."""
    call, proof = secrets.token_hex(8), ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(PATIENCE_S)
        phone.connect((host, port))
        mine = phone.getsockname()[1]
        for seq in (1, 2):
            phone.send(
                f"REGISTER sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{mine};branch=z9hG4bK{call}{seq};rport\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:{user}@{host}>;tag={call}\r\nTo: <sip:{user}@{host}>\r\n"
                f"Call-ID: {call}\r\nCSeq: {seq} REGISTER\r\nContact: <sip:{user}@{host}:{mine}>;expires=60\r\n"
                f"{proof}Content-Length: 0\r\n\r\n".encode()
            )
            answer = phone.recv(65536).decode()
            status = int(answer.split()[1])
            asked = re.search(r"WWW-Authenticate: Digest ([^\r]*algorithm=MD5\b[^\r]*)", answer)
            if status != 401 or asked is None:
                break
            said = dict(re.findall(r'(\w+)="([^"]*)"', asked[1]))
            ha1 = md5(f"{user}:{said['realm']}:{password}")
            response = md5(f"{ha1}:{said['nonce']}:00000001:box:auth:{md5(f'REGISTER:sip:{host}')}")
            proof = (
                f'Authorization: Digest username="{user}", realm="{said["realm"]}", nonce="{said["nonce"]}", '
                f'uri="sip:{host}", response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="box"\r\n'
            )
    return status


def ready() -> int:
    """The status of /health/ready."""
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE_S)
    connection.request("GET", "/health/ready")
    return connection.getresponse().status


if __name__ == "__main__":
    if sys.argv[1] == "--ready":
        print(ready())
    else:
        print(register(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
