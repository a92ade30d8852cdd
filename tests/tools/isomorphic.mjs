// isomorphic-git: git in JavaScript alone. The package lies in $TOOLS/js.
import fs from "node:fs";
import { createRequire } from "node:module";

const git = createRequire(`${process.env.TOOLS}/js/`)("isomorphic-git");
const at = { fs, dir: process.cwd() };
const author = { name: "A U Thor", email: "author@example.org", timestamp: 1700000000, timezoneOffset: 0 };
const say = (...words) => console.log(...words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))));
const changed = async () => (await git.statusMatrix(at)).filter((row) => row.slice(1).join() !== "1,1,1");

say(await git.currentBranch({ ...at, fullname: true }), await git.resolveRef({ ...at, ref: "HEAD" }));
say(await git.listFiles(at), await changed());
say(await git.listBranches(at), await git.listBranches({ ...at, remote: "origin" }), await git.listTags(at));
say(await git.listRemotes(at), await git.getConfig({ ...at, path: "core.filemode" }));
const log = await git.log(at);
for (const { oid, commit } of log) say(oid, commit.message, commit.committer.timestamp);

fs.appendFileSync("docs/notes.txt", "by isomorphic-git\n");
fs.writeFileSync("new.txt", "new\n");
say(await changed());
await git.add({ ...at, filepath: ["docs/notes.txt", "new.txt"] });
say(await git.status({ ...at, filepath: "new.txt" }), await changed());
say(await git.commit({ ...at, message: "by isomorphic-git", author }), await changed());
await git.branch({ ...at, ref: "topic", object: log[2].oid });
await git.checkout({ ...at, ref: "topic" });
await git.remove({ ...at, filepath: "tool.sh" });
fs.rmSync("tool.sh");
say(await git.commit({ ...at, message: "removed", author }), await changed());
await git.checkout({ ...at, ref: "main" });
say(await git.merge({ ...at, ours: "main", theirs: "topic", author, fastForward: false }));
await git.checkout({ ...at, ref: "main" });
say(await git.listFiles(at), await changed());
