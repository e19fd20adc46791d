"""Two ICE agents of aioice with nothing but a relay between them, and data that goes there and back.

aioice_client.py HOST PORT udp|tcp|tls USERNAME PASSWORD [SECONDS]: prints "ok" once all came back unchanged and in order. Over TLS the
relay's certificate has to be of an authority in $SSL_CERT_FILE, and for HOST. With SECONDS it goes on for so long, four times a second,
and prints how many payloads have come back.
"""

import asyncio
import os
import socket
import sys

from aioice import Candidate, Connection, TransportPolicy

resolve = socket.getaddrinfo
# The names in the tests are in no DNS, and resolve to this machine.
socket.getaddrinfo = lambda host, *rest, **more: resolve("127.0.0.1" if str(host).endswith(".test") else host, *rest, **more)


async def main(host, port, transport, username, password, seconds="0"):
    agents = [
        Connection(
            ice_controlling=controlling,
            turn_server=(host, int(port)),
            turn_username=username,
            turn_password=password,
            turn_transport="udp" if transport == "udp" else "tcp",
            turn_ssl=transport == "tls",
            transport_policy=TransportPolicy.RELAY,
        )
        for controlling in (True, False)
    ]
    a, b = agents
    try:
        for agent in agents:
            await agent.gather_candidates()
            kinds = {candidate.type for candidate in agent.local_candidates}
            assert kinds == {"relay"}, kinds
        for agent, other in ((a, b), (b, a)):
            for candidate in other.local_candidates:
                await agent.add_remote_candidate(Candidate.from_sdp(candidate.to_sdp()))
            await agent.add_remote_candidate(None)
            agent.remote_username = other.local_username
            agent.remote_password = other.local_password
        await asyncio.gather(a.connect(), b.connect())
        for i in range(50):
            payload = os.urandom(1 + i * 24)
            await a.send(payload)
            there = await b.recv()
            assert there == payload, f"payload {i} arrived as {len(there)} other bytes"
            await b.send(there)
            assert await a.recv() == payload, f"payload {i} came back otherwise"
        for i in range(4 * int(seconds)):
            await a.send(b"%d" % i)
            await b.send(await b.recv())
            assert await a.recv() == b"%d" % i
            print(f"count {i}", flush=True)
            await asyncio.sleep(0.25)
    finally:
        for agent in agents:
            await agent.close()
    print("ok")


limit = 120 + int((sys.argv[6:] or ["0"])[0])
asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), limit))
