"""GitPython, which reads index and objects itself and calls git for the rest."""

import git

repo = git.Repo(".")
head = repo.head.commit
print(head.hexsha, repo.active_branch, repo.is_dirty(untracked_files=True), repo.untracked_files)
for (path, stage), entry in sorted(repo.index.entries.items()):
    print(path, stage, oct(entry.mode), entry.hexsha, entry.size)
print(sorted(f"{reference.path} {reference.commit.hexsha}" for reference in repo.references))
for commit in repo.iter_commits():
    print(commit.hexsha, commit.committed_date, commit.summary, commit.stats.total)
for commit, lines in repo.blame("HEAD", "docs/guide.txt"):
    print(commit.hexsha, lines)

with open("docs/notes.txt", "a") as notes:
    notes.write("by GitPython\n")
with open("new.txt", "w") as new:
    new.write("new\n")
print(repo.untracked_files, [diff.a_path for diff in repo.index.diff(None)])
print(repo.git.diff())
repo.index.add(["docs/notes.txt", "new.txt"])
print([diff.a_path for diff in repo.index.diff("HEAD")])
author = git.Actor("A U Thor", "author@example.org")
made = repo.index.commit("by GitPython", author=author, committer=author)
print(made.hexsha, made.tree.hexsha, repo.is_dirty(untracked_files=True))

repo.create_head("topic", "HEAD~2").checkout()
repo.index.remove(["tool.sh"], working_tree=True)
repo.index.move(["parts/one.txt", "parts/three.txt"])
print(repo.index.commit("moved", author=author, committer=author).hexsha)
repo.heads.main.checkout()
repo.index.merge_tree("topic", base="HEAD~3")
print(repo.index.write_tree().hexsha)
repo.head.reset("HEAD", index=True, working_tree=True)
print(repo.create_tag("tagged", message="by GitPython").object.hexsha, repo.is_dirty())
print([entry.newhexsha for entry in repo.head.log()][-1])
