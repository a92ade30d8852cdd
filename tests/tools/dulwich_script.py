"""dulwich: git in Python alone."""

import sys

from dulwich import porcelain
from dulwich.repo import Repo

WHO = b"A U Thor <author@example.org>"


def status():
    found = porcelain.status(".")
    print(found.staged, sorted(found.unstaged), sorted(found.untracked))


repo = Repo(".")
print(repo.head(), porcelain.active_branch(repo))
status()
for path, entry in repo.open_index().items():
    print(path, oct(entry.mode), entry.sha, entry.size)
print(sorted(repo.get_refs().items()))
for entry in repo.get_walker():
    print(entry.commit.id, entry.commit.commit_time, entry.commit.message)
for (commit, _), line in porcelain.annotate(repo, "docs/guide.txt"):
    print(commit.id, line)

with open("docs/notes.txt", "a") as notes:
    notes.write("by dulwich\n")
with open("new.txt", "w") as new:
    new.write("new\n")
status()
porcelain.diff(repo)
porcelain.add(repo, ["docs/notes.txt", "new.txt"])
status()
made = porcelain.commit(repo, b"by dulwich", author=WHO, committer=WHO, commit_timestamp=1700000000,
                        author_timestamp=1700000000, commit_timezone=0, author_timezone=0)
print(made)
status()
porcelain.show(repo, made)
porcelain.branch_create(repo, "topic", repo.get_parents(repo.get_parents(made)[0])[0])
porcelain.checkout(repo, "topic")
status()
print(sorted(porcelain.ls_files(repo)))
porcelain.checkout(repo, "main")
porcelain.remove(repo, ["tool.sh"])
porcelain.reset(repo, "hard", "HEAD")
status()
porcelain.fsck(repo)
sys.stdout.flush()
