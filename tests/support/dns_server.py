"""A name server on loopback, by UDP and TCP, that answers from a zone and can keep silent.

It answers as a recursive resolver does: it follows CNAMEs, says NXDOMAIN for names that nothing is below, and cuts
answers that are too long for UDP.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

MAX_UDP_BYTES = 512
MAX_ALIASES = 8


@dataclass
class Zone:
    """Records by name and type, as a zone file spells them. Changes count from the next question on."""

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    #: Names for which no answer comes, and names for which the answer is a failure.
    silent: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    #: The questions that were asked, as name and type.
    asked: list[tuple[str, str]] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Add a line of a zone file: `name. IN TXT "text"`."""
        name, _, kind, value = line.split(" ", 3)
        self.records.setdefault((name.rstrip(".").lower(), kind), []).append(value)

    def remove(self, name: str, kind: str) -> None:
        self.records.pop((name, kind), None)

    def answer(self, wire: bytes, by_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        self._fill(response, name, kind)
        content = response.to_wire()
        if by_tcp or len(content) <= MAX_UDP_BYTES:
            return content
        response.answer.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(MAX_ALIASES):
            values = self.records.get((name, kind), [])
            aliases = self.records.get((name, "CNAME"), []) if kind != "CNAME" else []
            if values or aliases:
                response.answer.append(
                    dns.rrset.from_text_list(f"{name}.", 60, "IN", kind if values else "CNAME", values or aliases)
                )
            if values or not aliases:
                break
            name = aliases[0].rstrip(".").lower()
        if not any(known == name or known.endswith(f".{name}") for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)


@contextmanager
def name_server(zone: Zone) -> Iterator[str]:
    """Serve a zone; give the address of the server with its port."""

    class ByUdp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            content, socket = self.request
            if (answer := zone.answer(content, by_tcp=False)) is not None:
                socket.sendto(answer, self.client_address)

    class ByTcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack("!H", self.rfile.read(2))
            if (answer := zone.answer(self.rfile.read(length), by_tcp=True)) is not None:
                self.wfile.write(struct.pack("!H", len(answer)) + answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), ByTcp) as tcp:
        port = tcp.server_address[1]
        with socketserver.ThreadingUDPServer(("127.0.0.1", port), ByUdp) as udp:
            threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in (udp, tcp)]
            for thread in threads:
                thread.start()
            try:
                yield f"127.0.0.1:{port}"
            finally:
                udp.shutdown()
                tcp.shutdown()
                for thread in threads:
                    thread.join()
