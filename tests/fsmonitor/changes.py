"""changes.py SEED CHANGES: changes the work tree at random, one change after the other, and
compares after each what git says with what it says when it looks at every file itself.

Says how often each kind of change was made, and every difference."""

import collections
import mmap
import os
import random
import shutil
import subprocess
import sys

try:
    import dulwich.porcelain
    import pygit2
except ImportError:
    pygit2 = None

SEED, CHANGES = map(int, sys.argv[1:])
choose = random.Random(SEED)
LOOKING = ["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false"]
held, moved, removed = [], [], []
number = 0


def git(*arguments, **environment):
    ran = subprocess.run(["git", *arguments], env={**os.environ, **environment}, capture_output=True, check=False)
    return ran


def listed(*arguments):
    names = git("ls-files", "-z", *arguments).stdout.split(b"\0")
    return [os.fsdecode(name) for name in names if name]


def any_of(names):
    return choose.choice(names) if names else None


def a_file():
    return any_of([name for name in listed() if os.path.isfile(name) and not os.path.islink(name)])


def directories():
    names = {os.path.dirname(name) for name in listed()}
    return sorted(name for name in names if name and os.path.isdir(name) and not os.path.islink(name))


def a_directory():
    return any_of(directories())


def untracked():
    return any_of([name for name in listed("-o", "--exclude-standard") if os.path.lexists(name)])


def name(directory=None):
    directory = directory or a_directory() or "."
    return os.path.normpath(f"{directory}/made{number}.txt")


def put(path, text="text"):
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{text} {number}\n")


def same_size():
    path = a_file()
    before = os.stat(path)
    with open(path, "r+b") as file:
        byte = file.read(1)
        if byte:
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))
    if choose.random() < 0.5:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def mapped():
    path = a_file()
    if os.path.getsize(path) == 0:
        return
    with open(path, "r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    mapping[0] ^= 1
    held.append(mapping)


def mapped_late():
    if held:
        mapping = held.pop()
        mapping[len(mapping) // 2] ^= 1
        mapping.close()


def written_through_an_old_descriptor():
    path = a_file()
    with open(path, "ab") as file:
        git("status")
        file.write(b"late\n")


def move_directory():
    source, target = a_directory(), f"moved{number}"
    os.rename(source, target)
    moved.append((source, target))


def move_back():
    if moved:
        source, target = moved.pop()
        os.rename(target, source)


def remove_directory():
    path = a_directory()
    shutil.rmtree(path)
    removed.append(path)


def make_again():
    if removed:
        path = removed.pop()
        os.makedirs(path, exist_ok=True)
        put(f"{path}/again{number}")


def directory_to_file():
    path = a_directory()
    shutil.rmtree(path)
    put(path)


def directory_to_link():
    path = a_directory()
    shutil.rmtree(path)
    os.symlink("/tmp", path)


def file_to_directory():
    path = a_file()
    os.unlink(path)
    os.mkdir(path)
    put(f"{path}/in")


def file_to_link():
    path = a_file()
    os.unlink(path)
    os.symlink("nowhere", path)


def new_directory():
    path = f"{a_directory() or '.'}/new{number}/a/b"
    os.makedirs(path)
    if choose.random() < 0.7:
        put(f"{path}/file")


def remove_untracked_directory():
    path = os.path.dirname(untracked() or "")
    if path:
        shutil.rmtree(path)


def many_ignored():
    path = f"{a_directory() or '.'}/many{number}.o"
    os.mkdir(path)
    for each in range(choose.choice([3, 150])):
        put(f"{path}/{each}.o")


def ignore():
    with open(os.path.join(a_directory() or ".", ".gitignore"), "a", encoding="utf-8") as file:
        file.write(choose.choice(["made*\n", "*.txt\n", "new*/\n", "!*.o\n"]))


def ignore_less():
    path = any_of([path for path in listed("-co") if path.endswith(".gitignore") and os.path.exists(path)])
    if path:
        os.unlink(path)


def submodule():
    path = f"sub{number}"
    git("init", "-q", path)
    put(f"{path}/file")
    git("-C", path, "add", ".")
    git("-C", path, "commit", "-qm", "in a submodule")
    git("add", path)


def in_a_submodule():
    path = any_of([path for path in os.listdir(".") if path.startswith("sub") and os.path.isdir(path)])
    if path:
        put(f"{path}/{choose.choice(['file', 'other'])}")


def checkout():
    force = ["-f"] if choose.random() < 0.6 else []
    git("checkout", "-q", *force, choose.choice(["first", "base", "older", "-"]))


def temporary_index():
    environment = {"GIT_INDEX_FILE": os.path.abspath(".git/another")}
    git("read-tree", "HEAD", **environment)
    git("add", "-A", **environment)
    git("status", **environment)


def by_dulwich():
    if not pygit2:
        return
    path = untracked() or a_file()
    with_repository = dulwich.porcelain
    if choose.random() < 0.5:
        with_repository.add(".", [path])
    else:
        git("reset", "-q", "--soft", "HEAD~1")
        git("status")
        with_repository.add(".", [a_file()])


def by_libgit2():
    if not pygit2:
        return
    repository = pygit2.Repository(".")
    path = choose.choice([a_file(), untracked() or a_file()])
    if choose.random() < 0.7:
        repository.index.add(path)
    else:
        repository.index.remove(a_file())
    repository.index.write()


KINDS = {
    "write": lambda: put(a_file()),
    "append": lambda: open(a_file(), "a", encoding="utf-8").write("more\n"),
    "same size": same_size,
    "mmap": mapped,
    "mmap, later": mapped_late,
    "old descriptor": written_through_an_old_descriptor,
    "chmod": lambda: (lambda path: os.chmod(path, os.stat(path).st_mode ^ 0o111))(a_file()),
    "touch": lambda: os.utime(a_file()),
    "rename": lambda: os.rename(a_file(), name()),
    "rename over": lambda: os.rename(a_file(), a_file()),
    "rename a directory": move_directory,
    "rename it back": move_back,
    "remove": lambda: os.unlink(a_file()),
    "remove a directory": remove_directory,
    "make it again": make_again,
    "directory to file": directory_to_file,
    "directory to link": directory_to_link,
    "file to directory": file_to_directory,
    "file to link": file_to_link,
    "new file": lambda: put(name()),
    "new at the top": lambda: put(f"top{number}"),
    "new beside one": lambda: put(name(os.path.dirname(untracked() or "") or ".")),
    "new directory": new_directory,
    "remove untracked": lambda: os.unlink(untracked()),
    "remove an untracked directory": remove_untracked_directory,
    "rename untracked": lambda: os.rename(untracked(), name()),
    "ignored": lambda: put(name().replace(".txt", ".o")),
    "many ignored": many_ignored,
    "ignore": ignore,
    "ignore less": ignore_less,
    "git add": lambda: git("add", "--", untracked() or a_file()),
    "git add all": lambda: git("add", "-A"),
    "git mv": lambda: git("mv", a_file(), name()),
    "git mv a directory": lambda: git("mv", a_directory(), f"gitmoved{number}"),
    "git rm": lambda: git("rm", "-qf", a_file()),
    "git rm --cached": lambda: git("rm", "-q", "--cached", a_file()),
    "git commit": lambda: git("commit", "-qm", "c"),
    "git commit -a": lambda: git("commit", "-qam", "c"),
    "git commit of a path": lambda: git("commit", "-qm", "c", "--", a_file()),
    "git commit --amend": lambda: git("commit", "-q", "--amend", "-m", "c"),
    "git checkout": checkout,
    "git checkout of a file": lambda: git("checkout", "first", "--", a_file()),
    "git restore": lambda: git("restore", "."),
    "git stash": lambda: git("stash", "push", "-q", *choose.choice([[], ["-u"]])),
    "git stash pop": lambda: git("stash", "pop", "-q"),
    "git reset": lambda: git("reset", "-q", *choose.choice([["HEAD~1"], [], ["--soft", "HEAD~1"]])),
    "git reset --hard": lambda: git("reset", "-q", "--hard", *choose.choice([[], ["base"], ["HEAD~1"]])),
    "git clean": lambda: git("clean", "-fdq", *choose.choice([[], ["-x"]])),
    "git merge": lambda: git("merge", "-q", "--no-edit", "older"),
    "git update-index": lambda: git("update-index", choose.choice(["--skip-worktree", "--assume-unchanged"]), a_file()),
    "git update-index back": lambda: [
        git("update-index", "--no-skip-worktree", "--no-assume-unchanged", path) for path in listed()[:200:20]
    ],
    "git add -N": lambda: git("add", "-N", "--", untracked()),
    "git gc": lambda: git("gc", "-q"),
    "a submodule": submodule,
    "in a submodule": in_a_submodule,
    "temporary index": temporary_index,
    "dulwich": by_dulwich,
    "libgit2": by_libgit2,
    "without hooks": lambda: git("-c", "core.fsmonitor=false", "status"),
}


def compare():
    arguments = ["status", "--porcelain=v2", *choose.choice([[]] * 6 + [["-uall"], ["--ignored"]])]
    locks = choose.choice(["1", "1", "1", "1", "0"])
    seen = git(*arguments, GIT_OPTIONAL_LOCKS=locks)
    true = git(*LOOKING, *arguments, GIT_OPTIONAL_LOCKS="0")
    # It looks for attributes, too, where it knows of a .gitignore; a link it does not follow.
    warned = lambda ran: [line for line in ran.stderr.splitlines() if b"access '.gitattributes'" not in line]
    said = lambda ran: (ran.returncode, sorted(ran.stdout.splitlines()), warned(ran))
    return [] if said(seen) == said(true) else [said(seen), said(true)]


def shown(difference):
    (_, seen, seen_error), (_, true, true_error) = difference
    only = lambda one, other: [line for line in one if line not in other][:4]
    return f"asked: {only(seen, true)} {seen_error}; looked: {only(true, seen)} {true_error}"


git("branch", "-f", "first")
git("branch", "-f", "base")
git("branch", "-f", "older", "HEAD~3")
made, recent, differences = collections.Counter(), collections.deque(maxlen=4), 0
for number in range(CHANGES):
    kind = choose.choice(list(KINDS))
    try:
        KINDS[kind]()
        made[kind] += 1
    except (OSError, TypeError, KeyError, ValueError, shutil.Error) as error:
        made["in vain"] += 1
        kind = f"{kind} ({error})"
    except Exception as error:  # what a library refuses
        made["refused"] += 1
        kind = f"{kind} ({error!r})"
    recent.append(kind)
    if difference := compare():
        differences += 1
        print(f"seed {SEED}, change {number}, after {list(recent)}: {shown(difference)}", file=sys.stderr)
        git("reset", "-q")
    if number % 60 == 59:
        # Otherwise nothing is left of the tree in the end.
        git("checkout", "-qf", "first")
        git("reset", "-q", "--hard")
        git("clean", "-ffdqx")
print(f"{CHANGES} changes of {len(made)} kinds, {differences} differences: {dict(made)}")
sys.exit(differences > 0)
