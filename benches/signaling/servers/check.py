"""Plays the cast flow with python-socketio: check.py PORT. Fails if an event does not come, or comes with something else.

A TV and a caster connect by a WebSocket, by polling, and by polling with an upgrade, and exchange an offer, an answer and candidates.
"""

import sys
from importlib.metadata import version

import socketio

# In seconds, for each event.
LIMIT = 20
TRANSPORTS = [["websocket"], ["polling"], ["polling", "websocket"]]
OFFER = {"type": "offer", "sdp": "v=0\r\na=offer\r\n"}
ANSWER = {"type": "answer", "sdp": "v=0\r\na=answer\r\n"}
CANDIDATES = [{"iceCandidate": {"candidate": f"candidate:{i}", "sdpMid": "0", "sdpMLineIndex": 0}} for i in range(6)]


class Peer:
    def __init__(self, url, transports):
        self.client = socketio.SimpleClient()
        self.client.connect(url, transports=transports, wait_timeout=LIMIT)

    def send(self, event, *payload):
        self.client.emit(event, *payload)

    def expect(self, wanted, payload=None):
        """Returns the payload of the next event of this name; other events may come before it."""
        others = []
        try:
            while True:
                event, *heard = self.client.receive(timeout=LIMIT)
                if event == wanted:
                    break
                others.append(event)
        except socketio.exceptions.TimeoutError:
            sys.exit(f"{wanted} did not come, but {others}")
        if payload is not None and heard != [payload]:
            sys.exit(f"{wanted} came with {heard}, not with {payload}")
        return heard[0] if heard else None


def cast(url, transports):
    tv = Peer(url, transports)
    tv.send("TV_INIT")
    code = tv.expect("TV_INIT_OK")
    caster = Peer(url, transports)
    caster.send("JOIN_ROOM", code)
    caster.expect("JOIN_ROOM_OK")
    caster.send("CLIENT_OFFER_TO_SERVER", OFFER)
    tv.expect("CLIENT_OFFER_TO_TV", OFFER)
    tv.send("TV_ANSWER_TO_SERVER", ANSWER)
    caster.expect("TV_ANSWER_TO_CLIENT", ANSWER)
    for one, other in [(tv, caster), (caster, tv)]:
        for candidate in CANDIDATES:
            one.send("RTC_Candidate_Exchange", candidate)
        for candidate in CANDIDATES:
            other.expect("RTC_Candidate_Exchange", candidate)
    caster.client.disconnect()
    tv.client.disconnect()


for transports in TRANSPORTS:
    cast(f"http://127.0.0.1:{sys.argv[1]}", transports)
print(f"python-socketio {version('python-socketio')} casts over {', '.join('+'.join(names) for names in TRANSPORTS)}")
