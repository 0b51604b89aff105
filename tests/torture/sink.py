"""An SMTP server that keeps accounts: every acceptance is on disk before it is answered. It delivers nothing.

Run it as `python -m tests.torture.sink --log FILE`; it prints its port. It knows nothing of Mailshot: its log, compared
with the ledger by `checker`, is what a real server would have delivered. Acceptances at the same time share an fsync.

The local part of a recipient chooses a fault, `ACTION-PHASE-[TIMESx-]name`:

    451-rcpt-ann   421-dot-1x-ann   fin-body-ann   rst-after-accept-ann   stall-dot-ann   greylist-rcpt-1x-ann
    slow-dot-ann   tarpit-rcpt-ann (byte by byte)   deaf-body-ann (nothing is read for a while)

With `TIMES` only so many attempts of that recipient fail. MAIL and the connection itself belong to no recipient: these
faults, and the time that a reply to the dot takes, are set by lines of JSON on the standard input (see `Behaviour`).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

PHASES = ("connect", "mail", "rcpt", "data", "body", "dot", "after-accept")
FAULT = re.compile(rf"(?P<act>[45]\d\d|[a-z]+)-(?P<phase>{'|'.join(PHASES[2:])})-(?:(?P<times>\d+)x-)?")
MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>]+)>", re.IGNORECASE | re.MULTILINE)
SUBJECT = re.compile(rb"^subject:\s*(.*)", re.IGNORECASE | re.MULTILINE)
#: Enhanced status codes that fit the basic ones.
STATUS = {"421": "4.3.2", "450": "4.2.0", "451": "4.3.0", "550": "5.1.1", "554": "5.6.0"}
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Behaviour:
    """What the sink does to everyone. Each line of JSON on the standard input replaces some of the fields."""

    #: The reply to the dot takes a random time up to this long, in seconds.
    delay: float = 0.0
    #: So do the replies to MAIL, RCPT and DATA, so that a kill finds connections in every phase.
    step: float = 0.0
    #: How long `slow` and `deaf` wait, and how long `tarpit` takes for one reply, in seconds.
    slow: float = 5.0
    #: What happens at every so-manieth connection, or MAIL: an action, "" for nothing.
    connect: str = ""
    mail: str = ""
    every: int = 10
    #: Whether PIPELINING is offered, and whether DATA is accepted although each recipient was refused (RFC 2920).
    pipelining: bool = True
    lenient: bool = False


class Gone(Exception):
    """This connection is over."""


class Log:
    """One JSON line per event. `enter` returns when the line is on disk; `note` does not wait."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()

    async def enter(self, **fields: Any) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self.note(**fields)
        await future

    def note(self, **fields: Any) -> None:
        self._lines.append(json.dumps({**fields, "at": time.monotonic(), "time": time.time()}).encode() + b"\n")
        self._wake.set()

    async def run(self) -> None:
        while await self._wake.wait():
            self._wake.clear()
            lines, self._lines = self._lines, []
            waiting, self._waiting = self._waiting, []
            await asyncio.to_thread(self._write, b"".join(lines), bool(waiting))
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _write(self, lines: bytes, durably: bool) -> None:
        os.write(self._file, lines)
        if durably:
            os.fsync(self._file)


class Sink:
    """What all connections share."""

    def __init__(self, log: Log, behaviour: Behaviour) -> None:
        self.log, self.behaviour = log, behaviour
        self.counts: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Session(self, reader, writer).serve()

    async def obey(self) -> None:
        """Read changes of the behaviour until the standard input ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self.behaviour = replace(self.behaviour, **json.loads(line))


class Session:
    """One connection."""

    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sink, self.reader, self.writer = sink, reader, writer
        self.sender, self.recipients = "", list[str]()
        self.byte_wise = False

    async def serve(self) -> None:
        try:
            if await self._general("connect"):
                await self._say("220 sink ESMTP")
            while True:
                await self._command((await self._line()).decode("utf-8", "replace").strip())
        except (Gone, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.writer.close()

    async def _command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb in ("EHLO", "HELO"):
            offers = ["PIPELINING"] * self.sink.behaviour.pipelining + ["8BITMIME", "ENHANCEDSTATUSCODES", "HELP"]
            lines = ["sink", *offers] if verb == "EHLO" else ["sink"]
            await self._say("\r\n".join(f"250{' ' if n == len(lines) else '-'}{x}" for n, x in enumerate(lines, 1)))
        elif verb == "MAIL":
            self.sender, self.recipients = line.partition("<")[2].partition(">")[0], []
            if await self._general("mail"):
                await self._wait(self.sink.behaviour.step)
                await self._say("250 2.1.0 sender ok")
        elif verb == "RCPT":
            recipient = line.partition("<")[2].partition(">")[0]
            if await self._fault(recipient, "rcpt"):
                self.recipients.append(recipient)
                await self._wait(self.sink.behaviour.step)
                await self._say("250 2.1.5 recipient ok")
        elif verb == "DATA":
            await self._data()
        elif verb in ("RSET", "NOOP"):
            self.recipients = []
            await self._say("250 2.0.0 ok")
        elif verb == "QUIT":
            await self._say("221 2.0.0 bye")
            raise Gone
        else:
            await self._say("502 5.5.1 not here")

    async def _data(self) -> None:
        if not self.recipients and not self.sink.behaviour.lenient:
            await self._say("503 5.5.1 no recipient")
            return
        if not all([await self._fault(recipient, "data") for recipient in self.recipients]):
            return
        await self._wait(self.sink.behaviour.step)
        await self._say("354 go on")
        line = await self._line()
        for recipient in self.recipients:
            await self._fault(recipient, "body")
        data = bytearray()
        while line != b".\r\n":
            data += line[1:] if line.startswith(b".") else line
            line = await self._line()
        await self._accept(bytes(data))

    async def _accept(self, data: bytes) -> None:
        if not self.recipients:
            await self._say("554 5.5.1 no valid recipients")
            return
        if not all([await self._fault(recipient, "dot") for recipient in self.recipients]):
            return
        await self._wait(self.sink.behaviour.delay)
        message_id, subject = MESSAGE_ID.search(data), SUBJECT.search(data)
        message = {
            "id": message_id[1].decode() if message_id else "",
            "sha256": hashlib.sha256(data).hexdigest(),
            "subject": subject[1].decode("utf-8", "replace").strip() if subject else "",
            "bytes": len(data),
        }
        for recipient in self.recipients:
            await self.sink.log.enter(phase="accepted", rcpt=recipient, sender=self.sender, **message)
        for recipient in self.recipients:
            await self._fault(recipient, "after-accept")
        await self._say("250 2.0.0 queued")

    async def _fault(self, recipient: str, phase: str) -> bool:
        """Misbehave if the recipient asks for it in this phase; return whether the transaction goes on."""
        fault = FAULT.match(recipient)
        if not fault or fault["phase"] != phase:
            return True
        self.sink.counts[recipient] += 1
        if fault["times"] and self.sink.counts[recipient] > int(fault["times"]):
            return True
        self.sink.log.note(phase=phase, act=fault["act"], rcpt=recipient)
        return await self._act(fault["act"], phase)

    async def _general(self, phase: str) -> bool:
        """Misbehave at every so-manieth MAIL or connection; return whether the session goes on."""
        action = getattr(self.sink.behaviour, phase)
        self.sink.counts[phase] += 1
        if not action or self.sink.counts[phase] % self.sink.behaviour.every:
            return True
        self.sink.log.note(phase=phase, act=action, rcpt="")
        return await self._act(action, phase)

    async def _act(self, action: str, phase: str) -> bool:
        if action.isdigit():
            await self._say(
                f"{action} {STATUS.get(action, '4.0.0' if action[0] == '4' else '5.0.0')} as asked at {phase}"
            )
            if action == "421" or phase in ("connect", "body"):
                raise Gone
            return False
        if action == "greylist":
            await self._say("451 4.7.1 greylisted, try again in five minutes")
            return False
        if action == "stall":
            await asyncio.sleep(3600)
        elif action == "slow":
            await asyncio.sleep(self.sink.behaviour.slow)
        elif action == "deaf":
            transport: Any = self.writer.transport
            transport.pause_reading()
            await asyncio.sleep(self.sink.behaviour.slow)
            transport.resume_reading()
        elif action == "tarpit":
            self.byte_wise = True
        elif action == "rst":
            self.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
            raise Gone
        elif action == "fin":
            raise Gone
        return True

    async def _wait(self, most: float) -> None:
        if most:
            await asyncio.sleep(random.random() * most)

    async def _line(self) -> bytes:
        line = await self.reader.readline()
        if not line:
            raise Gone
        return line

    async def _say(self, line: str) -> None:
        reply = line.encode() + b"\r\n"
        if not self.byte_wise:
            self.writer.write(reply)
            return
        self.byte_wise = False
        for byte in reply:
            self.writer.write(bytes((byte,)))
            await asyncio.sleep(self.sink.behaviour.slow / len(reply))


async def serve(log_path: Path, behaviour: Behaviour) -> None:
    """Serve until killed, or until the standard input ends; print the port."""
    log = Log(log_path)
    sink = Sink(log, behaviour)
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, limit=MOST_BYTES, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    writing = asyncio.create_task(log.run())
    await sink.obey()
    writing.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="An SMTP server that keeps accounts and misbehaves on demand.")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--behaviour", type=json.loads, default={}, help="JSON, see Behaviour")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.log, Behaviour(**arguments.behaviour)))


if __name__ == "__main__":
    main()
