"""An SMTP server that logs every message exactly and fails on demand. It delivers nothing.

Every acceptance is on disk before it is answered, so the log holds what a real server would deliver.
Run it as `python -m tests.support.smtp_server --port 0 --log FILE`; it prints its port.
The local part of the recipient chooses the fault:

    450-rcpt-ann   421-mail-ann   554-dot-ann   fin-body-ann   rst-data-ann   stall-dot-ann   rst-after-accept-ann

`connect` is not the recipient's: `--at-connect 421`, `fin`, `rst` or `stall`.

`--pipelining` offers it (RFC 2920), truthfully unless `--lies` says how:

    after-command   what comes together with a MAIL command is lost
    after-dot       what comes together with a dot is lost
    too-early       a command that comes together with MAIL is refused, and the connection closed
    data-for-none   DATA is accepted although the recipient was refused
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import ssl
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

FAULT = re.compile(r"(?:(?P<code>[45]\d\d)|(?P<act>fin|rst|stall))-(?P<phase>mail|rcpt|data|body|dot|after-accept)-")
MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>]+)>", re.IGNORECASE | re.MULTILINE)
SAYS = {"450": "4.2.0", "451": "4.3.0", "421": "4.3.2", "550": "5.1.1", "554": "5.6.0", "454": "4.7.0", "557": "5.7.1"}


LIES = ("", "after-command", "after-dot", "too-early", "data-for-none")


class Gone(Exception):
    """This connection is over."""


@dataclass(frozen=True)
class Options:
    """How the sink behaves. `delay`: the longest random wait before the reply to the dot, in seconds.

    `most`: messages of one connection, 0 for any number. `certificate`: PEM of key and certificate, to offer STARTTLS.
    """

    log: Path
    delay: float = 0.0
    eight_bit: bool = True
    most: int = 0
    at_connect: str = ""
    certificate: str = ""
    whole: bool = False
    pipelining: bool = False
    lies: str = ""


class Books:
    """The log: one JSON line per recipient and acceptance, on disk when `enter` returns."""

    def __init__(self, path: Path, whole: bool) -> None:
        self._whole = whole
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def enter(self, sender: str, recipient: str, data: bytes) -> None:
        message_id = MESSAGE_ID.search(data)
        entry = {
            "rcpt": recipient,
            "from": sender,
            "id": message_id[1].decode() if message_id else "",
            "at": time.time(),
            "sha256": hashlib.sha256(data).hexdigest(),
            **({"data": data.decode("utf-8", "replace")} if self._whole else {}),
        }
        os.write(self._file, json.dumps(entry).encode() + b"\n")
        os.fsync(self._file)


class Session:
    """One connection."""

    def __init__(self, options: Options, books: Books, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.options, self.books, self.reader, self.writer = options, books, reader, writer
        self.accepted = 0
        self.sender = ""
        self.secured = False

    async def serve(self) -> None:
        try:
            await self._act(self.options.at_connect, "connect")
            self._say("220 sink ESMTP")
            while True:
                await self._command((await self._line()).decode("utf-8", "replace").strip())
        except (Gone, OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.writer.close()

    async def _command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb in ("EHLO", "HELO"):
            offers = ["8BITMIME"] * self.options.eight_bit + ["PIPELINING"] * self.options.pipelining
            offers += ["STARTTLS"] * bool(self.options.certificate and not self.secured)
            lines = ["sink", *offers, "HELP"] if verb == "EHLO" else ["sink"]
            self._say("\r\n".join(f"250{' ' if n == len(lines) else '-'}{text}" for n, text in enumerate(lines, 1)))
        elif verb == "STAR" and self.options.certificate:
            await self._secure()
        elif verb == "MAIL":
            await self._mail(line)
        elif verb == "RCPT":
            await self._recipient(line)
        elif verb == "DATA" and self.options.lies == "data-for-none":
            self._say("354 go on")
            await self._line()
            self._say("554 5.5.1 no valid recipients")
        elif verb == "RSET":
            self._say("250 2.0.0 forgotten")
        elif verb == "QUIT":
            self._say("221 2.0.0 bye")
            raise Gone
        else:
            self._say("502 5.5.1 not here")

    async def _mail(self, line: str) -> None:
        self.sender = line.partition("<")[2].partition(">")[0]
        if self.options.most and self.accepted >= self.options.most:
            self._say("421 4.3.2 enough for one connection")
            raise Gone
        if self.options.lies == "after-command":
            await self._lose()
        if self.options.lies == "too-early" and await self._lose():
            self._say("554 5.5.0 SMTP synchronization error")
            raise Gone
        if await self._fault(self.sender, "mail"):
            self._say("250 2.1.0 sender ok")

    async def _lose(self) -> int:
        """Lose what has come and comes within a moment; return how many bytes."""
        lost = 0
        try:
            async with asyncio.timeout(0.05):
                while data := await self.reader.read(65536):
                    lost += len(data)
        except TimeoutError:
            return lost
        raise Gone

    async def _recipient(self, line: str) -> None:
        """Take one recipient and the message that follows: more than one is not Mailshot's way."""
        recipient = line.partition("<")[2].partition(">")[0]
        if not await self._fault(recipient, "rcpt"):
            return
        self._say("250 2.1.5 recipient ok")
        if (await self._line()).strip().upper() != b"DATA":
            raise Gone
        if not await self._fault(recipient, "data"):
            return
        self._say("354 go on")
        await self._body(recipient)

    async def _body(self, recipient: str) -> None:
        data = bytearray()
        while (line := await self._line()) != b".\r\n":
            await self._fault(recipient, "body")
            data += line[1:] if line.startswith(b".") else line
        if not await self._fault(recipient, "dot"):
            return
        if self.options.delay:
            await asyncio.sleep(random.random() * self.options.delay)
        self.books.enter(self.sender, recipient, bytes(data))
        self.accepted += 1
        await self._fault(recipient, "after-accept")
        if self.options.lies == "after-dot":
            await self._lose()
        self._say("250 2.0.0 queued")

    async def _line(self) -> bytes:
        line = await self.reader.readline()
        if not line:
            raise Gone
        return line

    async def _fault(self, address: str, phase: str) -> bool:
        """Misbehave if the address asks for it in this phase; True when nothing happened."""
        fault = FAULT.match(address)
        if not fault or fault["phase"] != phase:
            return True
        await self._act(fault["code"] or fault["act"], phase, address)
        return False

    async def _act(self, fault: str, phase: str, address: str = "") -> None:
        if fault.isdigit():
            # Servers repeat the address they object to.
            reason = f"as asked at {phase} <{address}>" if address else f"as asked at {phase}"
            self._say(f"{fault} {SAYS.get(fault, '4.0.0' if fault[0] == '4' else '5.0.0')} {reason}")
            if fault == "421" or phase in ("connect", "body"):
                raise Gone
        elif fault == "stall":
            await asyncio.sleep(3600)
        elif fault == "rst":
            self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
            raise Gone
        elif fault == "fin":
            raise Gone

    def _say(self, line: str) -> None:
        self.writer.write(line.encode() + b"\r\n")

    async def _secure(self) -> None:
        self._say("220 2.0.0 go ahead")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.options.certificate)
        await self.writer.start_tls(context)
        self.secured = True


async def serve(port: int, options: Options) -> None:
    """Serve until killed; print the port."""
    books = Books(options.log, options.whole)

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Session(options, books, reader, writer).serve()

    server = await asyncio.start_server(session, "127.0.0.1", port, limit=2**21)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server that keeps exact books and misbehaves on demand.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--seven-bit", action="store_true")
    parser.add_argument("--most", type=int, default=0, help="messages per connection")
    parser.add_argument("--at-connect", default="")
    parser.add_argument("--certificate", default="", help="PEM of key and certificate: offer STARTTLS")
    parser.add_argument("--whole", action="store_true", help="keep the messages too")
    parser.add_argument("--pipelining", action="store_true", help="offer PIPELINING")
    parser.add_argument("--lies", default="", choices=LIES, help="how the offer is not kept")
    arguments = parser.parse_args()
    options = Options(
        arguments.log,
        arguments.delay,
        not arguments.seven_bit,
        arguments.most,
        arguments.at_connect,
        arguments.certificate,
        arguments.whole,
        arguments.pipelining or bool(arguments.lies),
        arguments.lies,
    )
    asyncio.run(serve(arguments.port, options))


if __name__ == "__main__":
    main()
