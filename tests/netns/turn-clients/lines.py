"""Lines of JSON between two drivers: turn-clients.mjs, in the folder above, says what a driver prints and reads."""

import asyncio
import json
import sys


def say(**line):
    print(json.dumps(line), flush=True)


async def reader():
    """A stream of what the other driver says."""
    stream = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), sys.stdin)
    return stream


async def hear(stream):
    line = await stream.readline()
    if not line:
        raise EOFError("the other driver has ended")
    return json.loads(line)
