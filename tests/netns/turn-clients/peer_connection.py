"""One end of a data channel with aiortc, or with the WebRTC of Selkies: peer_connection.py MODULE offer|answer CONFIG.

Selkies asks for the credentials itself, as its server does: by TURN's REST API.
"""

import asyncio
import importlib
import json
import os
import re
import sys

from lines import hear, reader, say

MODULE, ROLE, CONFIG = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
library = importlib.import_module(MODULE)


async def ice_server():
    if MODULE != "selkies.webrtc":
        return CONFIG["url"], CONFIG["username"], CONFIG["credential"]
    from selkies.webrtc_ice_config import fetch_turn_rest

    is_tls = CONFIG["transport"] == "tls"
    protocol = "udp" if CONFIG["transport"] == "udp" else "tcp"
    _, _, text = await fetch_turn_rest(CONFIG["rest"], "selkies", protocol=protocol, turn_tls=is_tls, turn_api_key=CONFIG["key"])
    servers = [server for server in json.loads(text)["iceServers"] if server.get("credential")]
    # The names of the tests stand for one family each.
    return CONFIG["url"], servers[0]["username"], servers[0]["credential"]


async def echoes(channel):
    heard = asyncio.Queue()
    channel.on("message", heard.put_nowait)
    for index in range(50):
        payload = os.urandom(1 + index * 331 % 16000)
        channel.send(payload)
        back = await heard.get()
        assert back == payload, f"payload {index} of {len(payload)} bytes came back otherwise"


async def main():
    stream = await reader()
    url, username, credential = await ice_server()
    server = library.RTCIceServer(urls=url, username=username, credential=credential)
    # Selkies has no such policy.
    policy = {"iceTransportPolicy": library.RTCIceTransportPolicy.RELAY} if hasattr(library, "RTCIceTransportPolicy") else {}
    connection = library.RTCPeerConnection(library.RTCConfiguration(iceServers=[server], **policy))

    async def describe(description):
        await connection.setLocalDescription(description)
        say(description={"type": connection.localDescription.type, "sdp": connection.localDescription.sdp})

    async def take():
        await connection.setRemoteDescription(library.RTCSessionDescription(**(await hear(stream))["description"]))

    try:
        if ROLE == "offer":
            channel, opened = connection.createDataChannel("echo"), asyncio.Event()
            channel.on("open", opened.set)
            await describe(await connection.createOffer())
            await take()
            await opened.wait()
            await echoes(channel)
            say(done=True, candidates=re.findall("a=candidate:.*", connection.localDescription.sdp))
        else:
            connection.on("datachannel", lambda channel: channel.on("message", channel.send))
            await take()
            await describe(await connection.createAnswer())
        await stream.read()
    finally:
        await connection.close()


asyncio.run(main())
