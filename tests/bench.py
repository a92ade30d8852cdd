#!/usr/bin/python3
"""Our figures beside those of others, in one run, as ratios.

Use: bench.py BLOCKD [REPOSITORY…]      (without one: a generated one of 60,000 files)

Commands that are compared run alternately, RUNS times each (5); what is
printed is the median and the range of each, the ratio of the medians, and the
peer's command. BENCH="planning memory" picks some. Mounting takes root.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = int(os.environ.get("RUNS", "5"))
ENV = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
       "GIT_TERMINAL_PROMPT": "0"}


SUDO = [] if os.geteuid() == 0 else ["sudo"]
HERE = pathlib.Path(__file__).resolve().parent


def run(*command, **options):
    """Runs a command to its end; its output is shown when it fails."""
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def timed(work):
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def side_by_side(title, ours, peers, goal=""):
    """Times `ours` and each of `peers` (name, work) alternately."""
    names = ["blockd"] + [name for name, _ in peers]
    works = [ours] + [work for _, work in peers]
    times = {name: [] for name in names}
    for _ in range(RUNS):
        for name, work in zip(names, works):
            times[name].append(timed(work))
    own = statistics.median(times["blockd"])
    print(f"\n{title}{'   goal: ' + goal if goal else ''}")
    for name in names:
        median = statistics.median(times[name])
        spread = f"{min(times[name]):.0f}–{max(times[name]):.0f}"
        ratio = "" if name == "blockd" else f"   {median / own:5.2f} × ours"
        print(f"  {median:8.1f} ms  ({spread})  {name}{ratio}")


class Server:
    """`blockd serve` with cold caches of its own."""

    def __init__(self, blockd, repository, state):
        self.dir = tempfile.mkdtemp()
        self.socket = f"{self.dir}/s"
        self.log = open(f"{self.dir}/log", "w+")
        command = [blockd, "serve", "--repos", repository, "--unix", self.socket, "--state", state]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        self.process.stdout.readline()

    def uri(self, export=""):
        return f"nbd+unix:///{export}?socket={self.socket}"

    def memory(self, field):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status).group(1)) * 1024

    def stop(self):
        """Ends it; gives the bytes of blobs that it inflated."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.log.seek(0)
        return int(re.search(r"blob_bytes_inflated\W+(?:\[\d+m)*\W*(\d+)", self.log.read()).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.dir)


def planning(blockd, repository):
    state = tempfile.mkdtemp()
    run(blockd, "info", f"{repository}:history=none", "--state", state)
    side_by_side(
        "planning an image, cold process, warm page cache",
        lambda: run(blockd, "info", f"{repository}:history=none", "--state", state),
        [("git ls-tree -r -l HEAD", lambda: run("git", "-C", repository, "ls-tree", "-r", "-l", "HEAD"))],
        "not slower")
    shutil.rmtree(state)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_status(blockd, repository):
    work = tempfile.mkdtemp(dir="/var/tmp")
    state = f"{work}/state"
    counter = iter(range(1000))

    def attach():
        place = f"{work}/a{next(counter)}"
        os.mkdir(place)
        with Server(blockd, repository, state) as server:
            start = time.perf_counter()
            run(*SUDO, blockd, "attach", server.uri(), place, "--state", f"{work}/attach")
            assert run("git", "-C", place, "status", "--porcelain") == ""
            took = time.perf_counter() - start
            run(*SUDO, blockd, "detach", place, "--discard", "--state", f"{work}/attach")
        return took * 1000

    def worktree():
        place = f"{work}/w{next(counter)}"
        start = time.perf_counter()
        run("git", "-C", repository, "worktree", "add", "-q", "--detach", place)
        assert run("git", "-C", place, "status", "--porcelain") == ""
        took = time.perf_counter() - start
        run("git", "-C", repository, "worktree", "remove", "--force", place)
        return took * 1000

    port = free_port()
    daemon = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", "--export-all",
         f"--base-path={os.path.dirname(os.path.abspath(repository))}"],
        env=ENV, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(0.5)
    url = f"git://127.0.0.1:{port}/{os.path.basename(os.path.abspath(repository))}"

    def clone(*options):
        place = f"{work}/c{next(counter)}"
        start = time.perf_counter()
        run("git", "clone", "-q", *options, url, place)
        assert run("git", "-C", place, "status", "--porcelain") == ""
        took = time.perf_counter() - start
        shutil.rmtree(place)
        return took * 1000

    peers = [("attach + git status", attach), ("git worktree add + git status", worktree),
             (f"git clone --depth 1 {url} + git status", lambda: clone("--depth", "1")),
             (f"git clone {url} + git status", clone)]
    times = {name: [] for name, _ in peers}
    for _ in range(RUNS):
        for name, measure in peers:
            times[name].append(measure())
    os.killpg(daemon.pid, signal.SIGTERM)
    own = statistics.median(times[peers[0][0]])
    print("\nfrom nothing to the first clean git status   goal: 5 and 20 times (5k files), 2.5 and 6 (57k)")
    for name, _ in peers:
        median = statistics.median(times[name])
        spread = f"{min(times[name]):.0f}–{max(times[name]):.0f}"
        print(f"  {median:8.1f} ms  ({spread})  {name}   {median / own:5.2f} × ours")
    shutil.rmtree(work)


def read_everything(blockd, repository):
    state = tempfile.mkdtemp()

    def ours():
        with Server(blockd, repository, state) as server:
            start = time.perf_counter()
            run("nbdcopy", server.uri(":history=none"), "null:")
            return (time.perf_counter() - start) * 1000

    def archive():
        start = time.perf_counter()
        run("sh", "-c", f"git -C {repository} archive HEAD | cat >/dev/null")
        return (time.perf_counter() - start) * 1000

    own, peer = [], []
    for _ in range(RUNS):
        own.append(ours())
        peer.append(archive())
    print("\nreading every file of the tree, cold   goal: within 1.2 times of the peer")
    print(f"  {statistics.median(own):8.1f} ms  ({min(own):.0f}–{max(own):.0f})  nbdcopy of blockd's export, history=none")
    print(f"  {statistics.median(peer):8.1f} ms  ({min(peer):.0f}–{max(peer):.0f})  git archive HEAD | cat >/dev/null"
          f"   ours takes {statistics.median(own) / statistics.median(peer):.2f} of it")
    shutil.rmtree(state)


def fio(uri, *more):
    out = run("fio", "--name=r", "--ioengine=nbd", f"--uri={uri}", "--time_based", "--runtime=3",
              "--ramp_time=1", "--norandommap", "--randrepeat=0", "--group_reporting",
              "--output-format=json", *more)
    return json.loads(out[out.index("{"):])["jobs"][0]["read"]


def warm_reads(blockd, repository):
    """fio against us and against nbdkit with the same image as a file."""
    work = tempfile.mkdtemp(dir="/dev/shm")
    image = f"{work}/image"
    run(blockd, "image", f"{repository}:history=none", image, "--state", f"{work}/state")
    nbdkit = subprocess.Popen(["nbdkit", "-f", "-r", "-U", f"{work}/nbdkit", "file", image],
                              stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    with Server(blockd, repository, f"{work}/state") as server:
        uris = {"blockd": server.uri(":history=none"), "nbdkit file": f"nbd+unix:///?socket={work}/nbdkit"}
        run("nbdcopy", uris["blockd"], "null:")
        for title, field, unit, options in [
            ("warm 4 KiB random reads, 16 in flight", "iops", 1, ["--rw=randread", "--bs=4k", "--iodepth=16"]),
            ("warm 1 MiB sequential reads", "bw_bytes", 1 << 20, ["--rw=read", "--bs=1M", "--iodepth=8"]),
        ]:
            figures = {name: [] for name in uris}
            for _ in range(max(3, RUNS // 2)):
                for name, uri in uris.items():
                    figures[name].append(fio(uri, *options)[field] / unit)
            own = statistics.median(figures["blockd"])
            print(f"\n{title} ({'IOPS' if unit == 1 else 'MiB/s'}), unix socket   goal: at least the peer's")
            for name, values in figures.items():
                median = statistics.median(values)
                print(f"  {median:10.0f}  ({min(values):.0f}–{max(values):.0f})  {name}   {median / own:.2f} × ours")
    nbdkit.terminate()
    nbdkit.wait()
    shutil.rmtree(work)


def memory(blockd, repository):
    state = tempfile.mkdtemp()
    with Server(blockd, repository, state) as server:
        before = server.memory("RssAnon")
        run("nbdinfo", "--size", server.uri())
        after = server.memory("RssAnon")
    files = len(run("git", "-C", repository, "ls-tree", "-r", "--name-only", "HEAD").splitlines())
    info = json.loads(run(blockd, "info", "--json", repository, "--state", state))
    print("\nresident memory after planning   goal: the plan under 100 bytes a file")
    print(f"  {(after - before) / 1024:8.0f} KiB more resident (anonymous) for {files} files: "
          f"{(after - before) / files:.0f} bytes a file")
    print(f"  {info['plan_bytes'] / 1024:8.0f} KiB plan and {info['listing_bytes'] / 1024:.0f} KiB listings: "
          f"{(info['plan_bytes'] + info['listing_bytes']) / files:.0f} bytes a file")
    shutil.rmtree(state)


def folder_bytes(folder):
    """What a folder takes on disk, itself included."""
    return int(run("du", "-s", "-x", "--block-size=1", folder).split()[0])


def many(blockd, repository):
    """16 attachments of one export, and of 16 commits of one repository."""
    commits = run("git", "-C", repository, "rev-list", "-n", "16", "HEAD").split()
    print("\n16 attachments at once, each with a clean git status")
    for title, names in [("of one export", ["@" + commits[0]] * 16),
                         (f"of {len(commits)} commits", ["@" + commit for commit in commits])]:
        work = tempfile.mkdtemp(dir="/var/tmp")
        state = f"{work}/attach"
        with Server(blockd, repository, f"{work}/state") as server:
            times = []
            for number, name in enumerate(names):
                place = f"{work}/a{number}"
                os.mkdir(place)
                start = time.perf_counter()
                run(*SUDO, blockd, "attach", server.uri(name), place, "--state", state)
                assert run("git", "-C", place, "status", "--porcelain") == ""
                times.append((time.perf_counter() - start) * 1000)
            ours = [int(pid) for pid in run("pgrep", "-f", state).split()]
            client = sum(resident(pid) for pid in ours)
            disk, memory = folder_bytes(state), server.memory("RssAnon")
            for number in range(len(names)):
                run(*SUDO, blockd, "detach", f"{work}/a{number}", "--discard", "--state", state)
            inflated = server.stop()
        mib = 1 << 20
        print(f"  {title}: first {times[0]:.0f} ms, the others {statistics.median(times[1:]):.0f} ms "
              f"({min(times[1:]):.0f}–{max(times[1:]):.0f}); server: {inflated / mib:.1f} MiB of blobs inflated, "
              f"{memory / mib:.0f} MiB anonymous memory; client: {client / mib:.0f} MiB in {len(ours)} processes, "
              f"{disk / mib:.2f} MiB of disk")
        shutil.rmtree(work)


def resident(pid):
    """Anonymous memory of a process, in bytes; 0 when it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) * 1024


def warm_work(blockd, repository):
    """Work inside the mount beside the same in a plain checkout on ext4, and in an overlay over one."""
    work = tempfile.mkdtemp(dir="/var/tmp")
    tree, block, plain, over = (f"{work}/{name}" for name in ("tree", "block", "plain", "over"))
    for folder in (tree, block, over, f"{work}/upper", f"{work}/work"):
        os.mkdir(folder)
    run("git", "clone", "-q", repository, plain)
    build = os.environ.get("BUILD") or (
        "find . -name '*.[ch]' -not -path './.git/*' | sort | head -400 | xargs cat | gzip -1 >build.out; rm build.out")
    jobs = [("git status", "git status --porcelain"), ("git diff HEAD~5", "git diff HEAD~5 >/dev/null"),
            ("grep -r", "grep -rc no-such-word --exclude-dir=.git . >/dev/null || test $? = 1"), ("build", build)]
    state = ["--state", f"{work}/attach"]
    options = f"lowerdir={plain},upperdir={work}/upper,workdir={work}/work"
    with Server(blockd, repository, f"{work}/state") as server:
        run(*SUDO, blockd, "attach", server.uri(), tree, *state)
        run(*SUDO, blockd, "attach", server.uri("@HEAD:free=256M"), block, "--cow", "block", *state)
        run(*SUDO, "mount", "-t", "overlay", "over", over, "-o", options)
        for title, command in jobs:
            def in_place(place):
                return lambda: run("sh", "-euc", command, cwd=place)
            for place in (tree, block, plain, over):
                in_place(place)()
            side_by_side(f"warm, in the work tree: {title}", in_place(tree),
                         [("attach --cow block", in_place(block)),
                          (f"a checkout on ext4: {command}", in_place(plain)),
                          ("an overlay over a checkout on ext4", in_place(over))],
                         "within 1.2 times of the checkout: it at 0.83 or more")
        run(*SUDO, "umount", over)
        for place in (tree, block):
            run(*SUDO, blockd, "detach", place, "--discard", *state)
    shutil.rmtree(work)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    blockd, *repositories = sys.argv[1:]
    if not repositories:
        made = tempfile.mkdtemp()
        run(HERE / "fixtures/sixty-thousand.sh", f"{made}/made")
        repositories = [f"{made}/made/sixty-thousand.git"]
    for repository in map(os.path.abspath, repositories):
        files = len(run("git", "-C", repository, "ls-tree", "-r", "--name-only", "HEAD").splitlines())
        print(f"\n=== {os.path.basename(repository)}: {files} files, {RUNS} runs each ===")
        wanted = os.environ.get("BENCH", "planning memory first_status read_everything warm_reads warm_work many").split()
        for name in wanted:
            globals()[name](blockd, repository)


main()
