"""One end of a data channel with GStreamer's webrtcbin and libnice: gstreamer.py offer|answer CONFIG."""

import json
import os
import sys
import threading
from urllib.parse import quote

import gi

for module in ("Gst", "GstWebRTC", "GstSdp"):
    gi.require_version(module, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

ROLE, CONFIG = sys.argv[1], json.loads(sys.argv[2])
KINDS = {"offer": GstWebRTC.WebRTCSDPType.OFFER, "answer": GstWebRTC.WebRTCSDPType.ANSWER}
PAYLOADS = [os.urandom(1 + index * 331 % 16000) for index in range(50)]


def say(**line):
    print(json.dumps(line), flush=True)


class End:
    """All its methods run in GLib's loop, or in threads of GStreamer that wait for nobody."""

    def __init__(self):
        self.candidates, self.echoed = [], 0
        self.pipeline = Gst.Pipeline()
        self.rtc = Gst.ElementFactory.make("webrtcbin")
        self.rtc.set_property("bundle-policy", "max-bundle")
        self.rtc.set_property("ice-transport-policy", "relay")
        scheme, rest = CONFIG["url"].split(":", 1)
        user, password = quote(CONFIG["username"], safe=""), quote(CONFIG["credential"], safe="")
        self.rtc.set_property("turn-server", f"{scheme}://{user}:{password}@{rest}")
        self.rtc.connect("on-ice-candidate", self.on_candidate)
        self.rtc.connect("on-data-channel", lambda _, channel: self.echo(channel))
        self.pipeline.add(self.rtc)
        self.pipeline.set_state(Gst.State.PLAYING)
        if ROLE == "offer":
            self.channel = self.rtc.emit("create-data-channel", "echo", None)
            self.channel.connect("on-open", lambda channel: self.send(channel))
            self.channel.connect("on-message-data", self.on_echo)
            self.rtc.emit("create-offer", None, self.promise(lambda reply: self.describe("offer", reply)))

    def promise(self, then):
        return Gst.Promise.new_with_change_func(lambda promise, *_: then(promise.get_reply()))

    def describe(self, kind, reply):
        description = reply.get_value(kind)
        self.rtc.emit("set-local-description", description, None)
        say(description={"type": kind, "sdp": description.sdp.as_text()})

    def on_candidate(self, _, line, candidate):
        self.candidates.append(candidate)
        say(candidate=candidate, line=line)

    def hear(self, heard):
        if "candidate" in heard:
            self.rtc.emit("add-ice-candidate", heard["line"], heard["candidate"])
            return
        _, sdp = GstSdp.SDPMessage.new_from_text(heard["description"]["sdp"])
        description = GstWebRTC.WebRTCSessionDescription.new(KINDS[heard["description"]["type"]], sdp)
        answer = self.promise(lambda reply: self.describe("answer", reply))
        described = self.promise(lambda _: ROLE == "answer" and self.rtc.emit("create-answer", None, answer))
        self.rtc.emit("set-remote-description", description, described)

    def echo(self, channel):
        channel.connect("on-message-data", lambda channel, data: channel.emit("send-data", data))

    def send(self, channel):
        channel.emit("send-data", GLib.Bytes.new(PAYLOADS[self.echoed]))

    def on_echo(self, channel, data):
        if data.get_data() != PAYLOADS[self.echoed]:
            sys.exit(f"payload {self.echoed} came back otherwise")
        self.echoed += 1
        if self.echoed < len(PAYLOADS):
            self.send(channel)
        else:
            say(done=True, candidates=self.candidates)


def read(end):
    for line in sys.stdin:
        GLib.idle_add(lambda heard: end.hear(heard), json.loads(line))


Gst.init(None)
if ROLE == "version":
    print(Gst.version_string())
    sys.exit()
threading.Thread(target=read, args=[End()], daemon=True).start()
GLib.MainLoop().run()
