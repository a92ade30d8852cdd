#!/usr/bin/python3
"""A link with a round trip, a rate and bad days, between two TCP ends.

Use: proxy.py --rtt MS --rate MBIT PORT:HOST:PORT…

Listens on each first port, on all addresses, and passes bytes on to its
target: half of the round trip later in each direction (a connection is made
after a whole one), and not faster than the rate, which all connections of one
direction share. Says `ready` when it listens. SIGUSR1 cuts every connection;
SIGTERM ends it, and it prints the bytes that passed, as JSON:
{PORT: {"up": N, "down": N}}.
"""

import argparse
import asyncio
import json
import signal

CHUNK = 64 << 10
# What may be under way in one direction of one connection.
WINDOW = 256


class Direction:
    """One direction of the link: its rate is shared by all who use it."""

    def __init__(self, delay, rate):
        self.delay = delay
        self.rate = rate
        self.free_at = 0.0

    def arrival(self, now, length):
        """When bytes sent now come out at the other end."""
        begin = max(now, self.free_at)
        self.free_at = begin + (length / self.rate if self.rate else 0)
        return self.free_at + self.delay


class Link:
    """Everything between the two hosts."""

    def __init__(self, rtt, rate):
        self.rtt = rtt
        self.up = Direction(rtt / 2, rate)
        self.down = Direction(rtt / 2, rate)
        self.open = set()
        self.bytes = {}

    async def connect(self, port, target, reader, writer):
        """Serves one connection to its end."""
        writers = [writer]
        task = asyncio.current_task()
        self.open.add(task)
        try:
            await asyncio.sleep(self.rtt)
            far_reader, far_writer = await asyncio.open_connection(*target)
            writers.append(far_writer)
            await asyncio.gather(self.carry(port, "up", self.up, reader, far_writer),
                                 self.carry(port, "down", self.down, far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(task)
            for end in writers:
                # A reset, so that what is under way is lost with the line.
                end.transport.abort()

    async def carry(self, port, name, direction, reader, writer):
        """Passes on what comes, later."""
        queue = asyncio.Queue(WINDOW)
        await asyncio.gather(self.receive(port, name, direction, reader, queue), self.send(queue, writer))

    async def receive(self, port, name, direction, reader, queue):
        loop = asyncio.get_running_loop()
        while data := await reader.read(CHUNK):
            self.bytes[port][name] += len(data)
            await queue.put((direction.arrival(loop.time(), len(data)), data))
        await queue.put((loop.time() + direction.delay, b""))

    @staticmethod
    async def send(queue, writer):
        loop = asyncio.get_running_loop()
        while True:
            arrival, data = await queue.get()
            await asyncio.sleep(max(0, arrival - loop.time()))
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    def cut(self):
        """Every connection breaks."""
        for task in list(self.open):
            task.cancel()


async def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rtt", type=float, default=0, metavar="MS")
    arguments.add_argument("--rate", type=float, default=0, metavar="MBIT", help="0: as fast as it goes")
    arguments.add_argument("ways", nargs="+", metavar="PORT:HOST:PORT")
    chosen = arguments.parse_args()
    link = Link(chosen.rtt / 1000, chosen.rate * 1e6 / 8)
    for way in chosen.ways:
        port, host, target_port = way.split(":")
        link.bytes[port] = {"up": 0, "down": 0}
        serve = lambda reader, writer, port=port, target=(host, target_port): link.connect(port, target, reader, writer)
        await asyncio.start_server(serve, None, int(port), limit=4 * CHUNK)
    print("ready", flush=True)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, link.cut)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    print(json.dumps(link.bytes), flush=True)


asyncio.run(main())
