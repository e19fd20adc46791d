"""A caster in Python: shows a test picture or a file on the TV that displays CODE.

python cast.py CODE [--server https://cast.example.org] [--file film.mp4]

It needs the packages of requirements.txt. It ends when the TV leaves, when another caster takes over, or with Ctrl+C.
"""

import argparse
import asyncio
import re

import socketio
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.contrib.media import MediaPlayer
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame

SERVER = "https://cast.example.org"


class TestPicture(VideoStreamTrack):
    """A bright bar that moves over a dark picture."""

    WIDTH, HEIGHT, BAR = 640, 360, 64

    def __init__(self):
        super().__init__()
        self.position = 0

    async def recv(self):
        frame = VideoFrame(self.WIDTH, self.HEIGHT, "yuv420p")
        self.position = (self.position + 4) % (self.WIDTH - self.BAR)
        brightness, *colours = frame.planes
        line = bytearray([40]) * brightness.line_size
        line[self.position : self.position + self.BAR] = bytes([220]) * self.BAR
        brightness.update(bytes(line) * self.HEIGHT)
        for colour in colours:
            colour.update(bytes([128]) * colour.buffer_size)
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame


def tracks(file):
    """The picture, and the sound if there is some."""
    if not file:
        return [TestPicture()]
    player = MediaPlayer(file, loop=True)
    return [track for track in (player.video, player.audio) if track]


def configuration(config):
    """The server's ICE servers, in the form that aiortc takes."""
    servers = [
        RTCIceServer(urls=server["urls"], username=server.get("username"), credential=server.get("credential"))
        for server in config["iceServers"]
    ]
    return RTCConfiguration(iceServers=servers)


async def cast(server, code, file):
    client = socketio.AsyncClient()
    config = asyncio.get_running_loop().create_future()
    ended = asyncio.get_running_loop().create_future()
    connection = None
    # Candidates that come before the answer wait for it.
    answered = asyncio.Event()

    def end(reason):
        if not ended.done():
            ended.set_result(reason)

    # It comes again before the credentials expire. Those of a connected client stay valid, so the first ones are enough.
    @client.on("CONFIG_FEEDBACK")
    async def on_config(message):
        if not config.done():
            config.set_result(message["config"])

    @client.on("TV_ANSWER_TO_CLIENT")
    async def on_answer(answer):
        await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        answered.set()

    @client.on("RTC_Candidate_Exchange")
    async def on_candidate(message):
        given = message["iceCandidate"]
        # The last candidate is null or empty.
        if not given or not given["candidate"]:
            return
        await answered.wait()
        candidate = candidate_from_sdp(re.sub("^candidate:", "", given["candidate"]))
        candidate.sdpMid, candidate.sdpMLineIndex = given["sdpMid"], given["sdpMLineIndex"]
        await connection.addIceCandidate(candidate)

    client.on("TV_LEFT", lambda *_: end("The TV has left."))
    client.on("CAST_ENDED", lambda by: end(f"The {'operator' if by['by'] == 'operator' else 'TV'} has ended the cast."))
    client.on("CAST_TAKEN_OVER", lambda *_: end("Another caster has taken over."))
    client.on("disconnect", lambda *_: end("The connection to the server is lost."))

    await client.connect(server)
    try:
        reply = await client.call("JOIN_ROOM", (code, {"username": "Python"}))
        if not reply["ok"]:
            raise SystemExit(f"{server} refuses the code {code}: {reply['error']['message']}")
        connection = RTCPeerConnection(configuration(await config))
        for track in tracks(file):
            connection.addTrack(track)
        # aiortc finds its candidates within setLocalDescription, so the offer has them all.
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription
        await client.emit("CLIENT_OFFER_TO_SERVER", {"type": offer.type, "sdp": offer.sdp})
        print(await ended)
    finally:
        if connection:
            await connection.close()
        await client.disconnect()


def main():
    parser = argparse.ArgumentParser(description="Cast a test picture or a file to a TV.")
    parser.add_argument("code", help="the code that the TV displays")
    parser.add_argument("--server", default=SERVER, help=f"the address of the server ({SERVER})")
    parser.add_argument("--file", help="a video file, which is repeated; a test picture without it")
    options = parser.parse_args()
    try:
        asyncio.run(cast(options.server, options.code, options.file))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
