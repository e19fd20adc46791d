"""Pairs of python-socketio: python_client.py URL sync|async. Prints "ok A polling" and so on for each dialect and transport.

Written for the lines 4 and 5 of python-socketio: the former has no handler for all events, and its connect() does not wait for the namespace.
"""

import asyncio
import queue
import sys
from importlib.metadata import version

import socketio

# In seconds, for events that must come; long enough for a busy machine.
LIMIT = 60
TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}
OFFER = {"type": "offer", "sdp": "v=0\r\na=python\r\n"}
ANSWER = {"type": "answer", "sdp": "v=0\r\na=python:answer\r\n"}
# Only a few, because this client refuses a polling answer with more than 16 packets.
CANDIDATES = [{"iceCandidate": {"candidate": f"candidate:{i}", "sdpMid": "0", "sdpMLineIndex": 0}} for i in range(6)]


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_ice(config):
    turn = [server for server in config["iceServers"] if server["urls"].startswith("turn:")]
    check(turn and all(server["username"] and server["credential"] for server in turn), f"TURN in {config}")


class SyncInbox(socketio.ClientNamespace):
    def __init__(self, namespace):
        super().__init__(namespace)
        self.events = {}

    def inbox(self, event):
        return self.events.setdefault(event, queue.Queue())

    def trigger_event(self, event, *args):
        self.inbox(event).put(args)


class SyncPeer:
    def __init__(self, namespace):
        self.namespace = namespace
        self.heard = SyncInbox(namespace)
        self.client = socketio.Client(reconnection=False, request_timeout=LIMIT)
        self.client.register_namespace(self.heard)

    async def connect(self, url, transports):
        self.client.connect(url, transports=transports, namespaces=[self.namespace])
        await self.next("connect")

    async def next(self, event):
        try:
            args = self.heard.inbox(event).get(timeout=LIMIT)
        except queue.Empty:
            raise AssertionError(f"no {event} but {list(self.heard.events)}") from None
        return args[0] if args else None

    async def emit(self, event, *args):
        self.client.emit(event, args if args else None, namespace=self.namespace)

    async def ask(self, event, *args):
        return self.client.call(event, args if args else None, namespace=self.namespace, timeout=LIMIT)

    async def close(self):
        self.client.disconnect()


class AsyncInbox(socketio.AsyncClientNamespace):
    def __init__(self, namespace):
        super().__init__(namespace)
        self.events = {}

    def inbox(self, event):
        return self.events.setdefault(event, asyncio.Queue())

    async def trigger_event(self, event, *args):
        self.inbox(event).put_nowait(args)


class AsyncPeer:
    def __init__(self, namespace):
        self.namespace = namespace
        self.heard = AsyncInbox(namespace)
        self.client = socketio.AsyncClient(reconnection=False, request_timeout=LIMIT)
        self.client.register_namespace(self.heard)

    async def connect(self, url, transports):
        await self.client.connect(url, transports=transports, namespaces=[self.namespace])
        await self.next("connect")

    async def next(self, event):
        try:
            args = await asyncio.wait_for(self.heard.inbox(event).get(), LIMIT)
        except asyncio.TimeoutError:
            raise AssertionError(f"no {event} but {list(self.heard.events)}") from None
        return args[0] if args else None

    async def emit(self, event, *args):
        await self.client.emit(event, args if args else None, namespace=self.namespace)

    async def ask(self, event, *args):
        return await self.client.call(event, args if args else None, namespace=self.namespace, timeout=LIMIT)

    async def close(self):
        await self.client.disconnect()


async def open_peer(url, transport, kind, namespace):
    peer = SyncPeer(namespace) if kind == "sync" else AsyncPeer(namespace)
    await peer.connect(url, TRANSPORTS[transport])
    return peer


async def dialect_a(tv, caster):
    registered = await tv.ask("TV_INIT")
    check(registered["ok"] is True, registered)
    code = await tv.next("TV_INIT_OK")
    check(code == registered["code"], registered)
    check_ice((await tv.next("CONFIG_FEEDBACK"))["config"])
    await caster.emit("JOIN_ROOM", code)
    check(await caster.next("JOIN_ROOM_OK") == code, "the code of the room")
    await tv.next("CASTER_JOINED")
    await caster.emit("CLIENT_OFFER_TO_SERVER", OFFER)
    check(await tv.next("CLIENT_OFFER_TO_TV") == OFFER, "the offer")
    await tv.emit("TV_ANSWER_TO_SERVER", ANSWER)
    check(await caster.next("TV_ANSWER_TO_CLIENT") == ANSWER, "the answer")
    refused = await caster.ask("TV_ANSWER_TO_SERVER", ANSWER)
    check(refused["ok"] is False and refused["error"]["code"] == "wrong_role", refused)


async def dialect_b(tv, caster):
    await tv.next("VERIFY")
    await tv.emit("VERIFY_FEEDBACK", "")
    check((await tv.next("VERIFY_RESPONCE"))["code"] == 200, "VERIFY_RESPONCE")
    await tv.emit("TV_GETINFO", {"token": "", "code": ""})
    info = await tv.next("TV_INFO_FEEDBACK")
    check_ice(info["iceConfig"])
    await caster.emit("CONNECT_TO_TV", {"username": "Гвидо", "projCode": info["projCode"]})
    await caster.next("CONNECT_TO_TV_SUCCESS")
    check((await tv.next("NEW_CLIENT_JOIN"))["username"] == "Гвидо", "the caster's name")
    await caster.emit("RTC_Client_Offer_To_Server", {"offer": OFFER})
    check(await tv.next("RTC_Client_Offer_To_TV") == {"offer": OFFER}, "the offer")
    await tv.emit("RTC_TV_Answer_To_Server", {"answer": ANSWER})
    check(await caster.next("RTC_TV_Answer_To_Client") == {"answer": ANSWER}, "the answer")


async def cast(url, dialect, transport, kind):
    namespace = "/" if dialect == "A" else "/rtc"
    tv = await open_peer(url, transport, kind, namespace)
    caster = await open_peer(url, transport, kind, namespace)
    await (dialect_a if dialect == "A" else dialect_b)(tv, caster)
    for candidate in CANDIDATES:
        await caster.emit("RTC_Candidate_Exchange", candidate)
        await tv.emit("RTC_Candidate_Exchange", candidate)
    for side in (tv, caster):
        heard = [await side.next("RTC_Candidate_Exchange") for _ in CANDIDATES]
        if kind == "sync":
            # This client handles each event in a thread of its own, so their order is not defined.
            heard.sort(key=lambda message: int(message["iceCandidate"]["candidate"].split(":")[1]))
        check(heard == CANDIDATES, f"candidates {heard}")
    await caster.close()
    await tv.next("CASTER_LEFT" if dialect == "A" else "USER_OFFLINE")
    await tv.close()


async def main():
    url, kind = sys.argv[1:]
    print(f"python-socketio {version('python-socketio')}")
    for dialect in ("A", "B"):
        for transport in TRANSPORTS:
            await cast(url, dialect, transport, kind)
            print(f"ok {dialect} {transport}", flush=True)


asyncio.run(main())
