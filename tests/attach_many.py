#!/usr/bin/python3
"""Many attachments of one export: how long each takes, and what it stores.

Use: attach_many.py BLOCKD REPOSITORY [COUNT]      (100; takes root)

Each attachment after the first is measured from outside (a process is started
for it), and without what the kernel takes for the mounts themselves, which is
what `blockd attach --json` says of those steps.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

MOUNTS = {"mount the ext4", "mount the overlay", "bind it to the mountpoint"}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def stored(folder):
    """Bytes on the disk below a folder, what is mounted there left out."""
    return int(run("du", "-s", "-x", "--block-size=1", folder).split()[0])


def spread(what, values, unit):
    median, worst = statistics.median(values), max(values)
    print(f"  {what:34} median {median:8.1f} {unit}   max {worst:8.1f} {unit}")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    blockd, repository = map(os.path.abspath, sys.argv[1:3])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    work = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp"))
    state = work / "state"
    server = subprocess.Popen(
        [blockd, "serve", "--repos", repository, "--unix", work / "s", "--state", work / "server"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    server.stdout.readline()
    uri = f"nbd+unix:///?socket={work}/s"
    whole, inside, mounts, sizes, steps = [], [], [], [], {}
    try:
        for number in range(count):
            place = work / f"m{number}"
            place.mkdir()
            before = stored(state) if number else 0
            start = time.perf_counter()
            report = json.loads(run(blockd, "attach", uri, place, "--state", state, "--json"))
            took = (time.perf_counter() - start) * 1000
            if number == 0:
                print(f"the first: {took:.0f} ms, {report['device']} via {report['via']}")
                continue
            mounted = sum(s["milliseconds"] for s in report["steps"] if s["name"] in MOUNTS)
            whole.append(took)
            inside.append(took - mounted)
            mounts.append(mounted)
            for step in report["steps"]:
                steps.setdefault(step["name"], []).append(step["milliseconds"])
            sizes.append((stored(state) - before) / 1024)
        print(f"the 2nd to the {count}th, each:")
        spread("the whole command", whole, "ms")
        spread("of it the mount calls", mounts, "ms")
        spread("beyond the mount calls", inside, "ms")
        spread("stored", sizes, "KiB")
        for name, values in steps.items():
            spread(f"  {name}", values, "ms")
        start = time.perf_counter()
        run("git", "-C", work / "m0", "status", "--porcelain")
        run("git", "-C", work / f"m{count - 1}", "status", "--porcelain")
    finally:
        begun = time.perf_counter()
        for number in range(count):
            subprocess.run([blockd, "detach", work / f"m{number}", "--discard", "--state", state],
                           capture_output=True)
        print(f"detached all in {time.perf_counter() - begun:.1f} s")
        server.terminate()
        server.wait()
    left = [line for line in open("/proc/self/mountinfo") if str(work) in line]
    print("left behind:", left or "nothing")
    run("rm", "-r", "--one-file-system", work)


main()
