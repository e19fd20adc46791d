"""One end of a SIP call with pjsua2, whose media passes pjnath's ICE with nothing but relayed candidates: sip_call.py offer|answer CONFIG.

SIP goes over the link between the homes that takes only SIP.
"""

import json
import sys

import pjsua2 as pj

ROLE, CONFIG = sys.argv[1], json.loads(sys.argv[2])
PORT, PACKETS = 5060, 100
TRANSPORTS = {"udp": pj.PJ_TURN_TP_UDP, "tcp": pj.PJ_TURN_TP_TCP, "tls": pj.PJ_TURN_TP_TLS}


def say(**line):
    print(json.dumps(line), flush=True)


class Call(pj.Call):
    """Sends silence, which is sent as packets, too: voice is not detected."""


class Account(pj.Account):
    call = None

    def onIncomingCall(self, incoming):
        self.call = Call(self, incoming.callId)
        answer = pj.CallOpParam()
        answer.statusCode = 200
        self.call.answer(answer)


def account_config():
    config = pj.AccountConfig()
    config.idUri = f"sip:{ROLE}@{CONFIG['sip'][ROLE]}"
    nat = config.natConfig
    nat.iceEnabled, nat.iceMaxHostCands = True, 0
    nat.turnEnabled, nat.turnServer = True, f"{CONFIG['host']}:{CONFIG['port']}"
    nat.turnConnType = TRANSPORTS[CONFIG["transport"]]
    nat.turnUserName, nat.turnPassword, nat.turnPasswordType = CONFIG["username"], CONFIG["credential"], 0
    nat.contactRewriteUse = 0
    if CONFIG["family"] == 6:
        config.mediaConfig.ipv6Use = pj.PJSUA_IPV6_ENABLED
    return config


def received(call):
    """How many packets of sound have come."""
    if call is None or not call.isActive() or not call.hasMedia():
        return 0
    return call.getStreamStat(0).rtcp.rxStat.pkt


def main():
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = int(CONFIG.get("log", 0))
    config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly = 0, True
    config.medConfig.noVad = True
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.port = PORT
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_TCP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    account = Account()
    account.create(account_config())
    if ROLE == "answer":
        say(ready=True)
    else:
        # The other end has to listen.
        sys.stdin.readline()
        account.call = Call(account)
        account.call.makeCall(f"sip:answer@{CONFIG['sip']['answer']}:{PORT};transport=tcp", pj.CallOpParam(True))
    said = False
    while True:
        endpoint.libHandleEvents(10)
        if not said and received(account.call) >= PACKETS:
            said = True
            say(done=True)


main()
