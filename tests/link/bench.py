#!/usr/bin/python3
"""From nothing to a work tree over a network, beside a shallow clone.

Use: bench.py BLOCKD [REPOSITORY…]      (without one: a generated one of 60,000 files)

Two hosts are two network namespaces with a veth pair; proxy.py between them
makes the round trip (RTTS="1 20 100" ms) and the rate (RATE=1000 Mbit/s).
What is compared runs alternately, RUNS times each (3); printed are medians,
ranges, ratios, and the bytes that passed. Takes root.
"""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = int(os.environ.get("RUNS", "3"))
RTTS = [float(rtt) for rtt in os.environ.get("RTTS", "1 20 100").split()]
RATE = os.environ.get("RATE", "1000")
HERE = pathlib.Path(__file__).resolve().parent
ENV = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
SERVER, CLIENT = f"blockd-s{os.getpid()}", f"blockd-c{os.getpid()}"
ADDRESS = "198.51.100.1"
NBD, GIT = 10809, 9418
FAR = 10000


def run(*command, **options):
    """Runs a command to its end; its output is shown when it fails."""
    done = subprocess.run([*map(str, command)], env=ENV, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def on(host, *command):
    """The command, on one of the hosts."""
    return ["ip", "netns", "exec", host, *map(str, command)]


@contextlib.contextmanager
def hosts():
    """Two hosts and the wire between them."""
    try:
        for host in (SERVER, CLIENT):
            run("ip", "netns", "add", host)
            run(*on(host, "ip", "link", "set", "lo", "up"))
        run("ip", "link", "add", "eth0", "netns", SERVER, "type", "veth", "peer", "name", "eth0", "netns", CLIENT)
        for host, address in ((SERVER, ADDRESS), (CLIENT, "198.51.100.2")):
            run(*on(host, "ip", "address", "add", f"{address}/24", "dev", "eth0"))
            run(*on(host, "ip", "link", "set", "eth0", "up"))
        yield
    finally:
        for host in (SERVER, CLIENT):
            subprocess.run(["ip", "netns", "delete", host], check=False)


@contextlib.contextmanager
def process(*command):
    """A process that ends with the block; gives its first line."""
    started = subprocess.Popen([*map(str, command)], env=ENV, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    try:
        yield started
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(20)


@contextlib.contextmanager
def link(rtt):
    """The way between the hosts; a function gives the bytes that passed."""
    ways = [f"{port + FAR}:127.0.0.1:{port}" for port in (NBD, GIT)]
    with process(*on(SERVER, HERE / "proxy.py", "--rtt", rtt, "--rate", RATE, *ways)) as proxy:
        proxy.stdout.readline()
        passed = {}
        yield passed
        proxy.terminate()
        passed.update(json.loads(proxy.stdout.readline()))


class Work:
    """What is done on the client's host; each way begins with nothing."""

    def __init__(self, blockd, repository, folder):
        self.blockd, self.folder = blockd, folder
        self.name = repository.name.removesuffix(".git")
        self.numbers = iter(range(100_000))

    def place(self):
        place = self.folder / f"w{next(self.numbers)}"
        place.mkdir()
        return place

    def attach(self, after):
        place = self.place()
        state = self.folder / "attach"
        uri = f"nbd://{ADDRESS}:{NBD + FAR}/{self.name}"
        start = time.perf_counter()
        run(*on(CLIENT, "unshare", "--mount", "sh", "-euc", f"""
            {self.blockd} attach {uri} {place} --state {state} >/dev/null
            {after.replace("PLACE", str(place))}
            date +%s.%N >{self.folder}/end
            {self.blockd} detach {place} --discard --state {state} >/dev/null"""))
        return float((self.folder / "end").read_text()) - time.time() + time.perf_counter() - start

    def clone(self, after, *options):
        place = self.place()
        url = f"git://{ADDRESS}:{GIT + FAR}/{self.name}.git"
        start = time.perf_counter()
        run(*on(CLIENT, "git", "clone", "-q", *options, url, place / "tree"))
        run("sh", "-euc", after.replace("PLACE", str(place / "tree")))
        took = time.perf_counter() - start
        shutil.rmtree(place)
        return took


STATUS = 'test -z "$(git -C PLACE status --porcelain)"'
GREP = STATUS + "; grep -rc no-such-word-anywhere PLACE --exclude-dir=.git >/dev/null || test $? = 1"


def compare(title, ways, rtt):
    """Runs the ways alternately; prints times and bytes."""
    times = {name: [] for name in ways}
    carried = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            with link(rtt) as passed:
                times[name].append(way())
            carried[name].append(sum(sum(both.values()) for both in passed.values()))
    print(f"\n{title}, round trip {rtt:g} ms, {RATE} Mbit/s")
    own = statistics.median(next(iter(times.values())))
    for name, taken in times.items():
        median = statistics.median(taken)
        spread = f"{min(taken) * 1000:.0f}–{max(taken) * 1000:.0f}"
        mib = statistics.median(carried[name]) / (1 << 20)
        print(f"  {median * 1000:8.0f} ms  ({spread})  {mib:8.2f} MiB  {name}   {median / own:.2f} × ours", flush=True)


def measure(blockd, repository):
    folder = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp"))
    served = ["--repos", repository.parent, "--state", folder / "state", "--listen", f"127.0.0.1:{NBD}"]
    daemon = ["--reuseaddr", "--listen=127.0.0.1", f"--port={GIT}", "--export-all", f"--base-path={repository.parent}"]
    with process(*on(SERVER, blockd, "serve", *served)) as server, process(*on(SERVER, "git", "daemon", *daemon)):
        server.stdout.readline()
        time.sleep(0.5)
        work = Work(blockd, repository, folder)
        for rtt in RTTS:
            for title, after in (("to the first clean git status", STATUS), ("and grep -r of the whole tree", GREP)):
                compare(title, {
                    "attach": lambda: work.attach(after),
                    "git clone --depth 1": lambda: work.clone(after, "--depth", "1"),
                }, rtt)
    shutil.rmtree(folder)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if os.geteuid() != 0:
        sys.exit("bench.py: network namespaces take root")
    blockd, *repositories = sys.argv[1:]
    if not repositories:
        made = tempfile.mkdtemp()
        run(HERE / "../fixtures/sixty-thousand.sh", f"{made}/made")
        repositories = [f"{made}/made/sixty-thousand.git"]
    with hosts():
        for repository in map(pathlib.Path, map(os.path.abspath, repositories)):
            print(f"\n=== {repository.name}, {RUNS} runs each ===")
            measure(os.path.abspath(blockd), repository)


main()
