"""pygit2: libgit2, which shares no line with git."""

import pygit2

repo = pygit2.Repository(".")
print(repo.head.name, repo.head.target, repo.status(), repo.is_shallow, repo.describe(pattern="v*"))
for entry in repo.index:
    print(entry.path, oct(entry.mode), entry.id)
for name in sorted(repo.references):
    print(name, repo.references[name].resolve().target)
for commit in repo.walk(repo.head.target, pygit2.enums.SortMode.TOPOLOGICAL):
    print(commit.id, commit.commit_time, commit.message.strip())
for hunk in repo.blame("docs/guide.txt"):
    print(hunk.final_commit_id, hunk.final_start_line_number, hunk.lines_in_hunk)

with open("docs/notes.txt", "a") as notes:
    notes.write("by libgit2\n")
with open("new.txt", "w") as new:
    new.write("new\n")
print(repo.status(), repo.diff().patch)
repo.index.add("docs/notes.txt")
repo.index.add("new.txt")
repo.index.write()
author = pygit2.Signature("A U Thor", "author@example.org", 1700000000, 0)
made = repo.create_commit("HEAD", author, author, "by libgit2", repo.index.write_tree(), [repo.head.target])
print(made, repo.status(), repo.diff("HEAD~1", "HEAD").stats.files_changed)

with open("docs/guide.txt", "a") as guide:
    guide.write("to stash\n")
print(repo.stash(author, "stashed", include_untracked=True), repo.status())
topic = repo.branches.create("topic", repo.revparse_single("HEAD~3"))
repo.checkout(topic)
print(repo.head.name, repo.status())
repo.checkout("refs/heads/main")
repo.stash_pop()
print(repo.status())
repo.reset(made, pygit2.enums.ResetMode.HARD)
print(repo.status(), [entry.message for entry in repo.head.log()][:3])
repo.config["user.name"] = "somebody"
print(repo.config["user.name"], [remote.url for remote in repo.remotes])
