"""Two peers of aiortc that meet over TURN over TLS alone: bytes there and back over a data channel, and a picture.

aiortc_client.py HOST PORT USERNAME PASSWORD: prints "ok" once all came back unchanged and the picture was seen. The relay's
certificate has to be of an authority in $SSL_CERT_FILE, and for HOST.
"""

import asyncio
import os
import re
import socket
import sys

from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection, VideoStreamTrack
from av import VideoFrame

resolve = socket.getaddrinfo
# The names in the tests are in no DNS, and resolve to this machine.
socket.getaddrinfo = lambda host, *rest, **more: resolve("127.0.0.1" if str(host).endswith(".test") else host, *rest, **more)

FRAMES = 40
# Y, U and V of the picture's halves; they differ so much that compression can't confuse them.
HALVES = [(200, 60, 180), (60, 180, 90)]


class Picture(VideoStreamTrack):
    """Two halves of different colours."""

    async def recv(self):
        frame = VideoFrame(320, 240, "yuv420p")
        for plane, (left, right) in zip(frame.planes, zip(*HALVES)):
            half = plane.width // 2
            line = bytes([left] * half + [right] * (plane.width - half)).ljust(plane.line_size, b"\0")
            plane.update(line * plane.height)
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame


async def watch(track):
    for count in range(FRAMES):
        frame = await track.recv()
    planes = frame.reformat(format="yuv420p").planes
    for at, half in ((1, HALVES[0]), (3, HALVES[1])):
        seen = [bytes(plane)[plane.line_size * (plane.height // 2) + plane.width * at // 4] for plane in planes]
        assert all(abs(a - b) < 16 for a, b in zip(seen, half)), f"a colour of {half} came as {seen}"


async def echoes(channel, heard):
    for index in range(50):
        payload = os.urandom(1 + index * 331)
        channel.send(payload)
        back = await heard.get()
        assert back == payload, f"payload {index} of {len(payload)} bytes came back otherwise"


def assert_relayed(description):
    kinds = set(re.findall(r"a=candidate:.* typ (\w+)", description.sdp))
    assert kinds == {"relay"}, kinds


async def main(host, port, username, password):
    server = RTCIceServer(urls=f"turns:{host}:{port}?transport=tcp", username=username, credential=password)
    relayed = RTCConfiguration(iceServers=[server], iceTransportPolicy=RTCIceTransportPolicy.RELAY)
    a, b = RTCPeerConnection(relayed), RTCPeerConnection(relayed)
    try:
        channel, opened, heard, watching = a.createDataChannel("echo"), asyncio.Event(), asyncio.Queue(), asyncio.Queue()
        a.addTrack(Picture())
        channel.on("open", opened.set)
        channel.on("message", heard.put_nowait)
        b.on("datachannel", lambda other: other.on("message", other.send))
        b.on("track", watching.put_nowait)
        await a.setLocalDescription(await a.createOffer())
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription(await b.createAnswer())
        await a.setRemoteDescription(b.localDescription)
        for peer in (a, b):
            assert_relayed(peer.localDescription)
        await opened.wait()
        await asyncio.gather(echoes(channel, heard), watch(await watching.get()))
    finally:
        await asyncio.gather(a.close(), b.close())
    print("ok")


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 120))
