"""One ICE agent of aioice, with data to another one: ice_agent.py offer|answer CONFIG."""

import asyncio
import json
import os
import sys

from aioice import Candidate, Connection, TransportPolicy
from lines import hear, reader, say

ROLE, CONFIG = sys.argv[1], json.loads(sys.argv[2])


async def main():
    stream = await reader()
    agent = Connection(
        ice_controlling=ROLE == "offer",
        turn_server=(CONFIG["host"], CONFIG["port"]),
        turn_username=CONFIG["username"],
        turn_password=CONFIG["credential"],
        turn_transport="udp" if CONFIG["transport"] == "udp" else "tcp",
        turn_ssl=CONFIG["transport"] == "tls",
        transport_policy=TransportPolicy.RELAY,
    )
    try:
        await agent.gather_candidates()
        candidates = [candidate.to_sdp() for candidate in agent.local_candidates]
        say(candidates=candidates, username=agent.local_username, password=agent.local_password)
        other = await hear(stream)
        for candidate in other["candidates"]:
            await agent.add_remote_candidate(Candidate.from_sdp(candidate))
        await agent.add_remote_candidate(None)
        agent.remote_username, agent.remote_password = other["username"], other["password"]
        await agent.connect()
        if ROLE == "answer":
            while True:
                await agent.send(await agent.recv())
        for index in range(50):
            payload = os.urandom(1 + index * 24)
            await agent.send(payload)
            back = await agent.recv()
            assert back == payload, f"payload {index} of {len(payload)} bytes came back otherwise"
        say(done=True, candidates=candidates)
        await stream.read()
    finally:
        await agent.close()


asyncio.run(main())
