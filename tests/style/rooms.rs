//! The architecture: the rooms of each crate, from the ground up, and what each
//! may know. An arrow that is not in this table fails the test, and so does a
//! circle of files within one room.

use std::collections::BTreeSet;

use crate::{
    arrows::{Arrow, Modules, circles},
    source::{root, sources},
};

/// A module with all that lies below it, unless a longer path has a room of its own.
struct Room {
    /// The module's path below the crate; empty: the crate's root.
    path: &'static str,
    /// The rooms that it may use; each stands above it in the table.
    knows: &'static [&'static str],
}

struct Crate {
    name: &'static str,
    src: &'static str,
    rooms: &'static [Room],
}

const fn room(path: &'static str, knows: &'static [&'static str]) -> Room {
    Room { path, knows }
}

const CRATES: [Crate; 4] = [
    Crate {
        name: "imagegen",
        src: "imagegen/src",
        rooms: &[
            room("error", &[]),
            room("numbers", &[]),
            // The on-disk format knows no git, the git side no ext4: they meet
            // in `image` alone.
            room("ext4", &["numbers"]),
            room("git", &["error", "numbers"]),
            room("image", &["error", "numbers", "ext4", "git"]),
            room("", &["error"]),
        ],
    },
    Crate {
        name: "blockd_nbd",
        src: "blockd/nbd/src",
        rooms: &[
            room("width", &[]),
            room("printable", &[]),
            room("keepalive", &[]),
            room("wire", &[]),
            room("string", &["wire"]),
            room("budget", &[]),
            room("identity", &["budget"]),
            room("export", &["identity"]),
            room("uri", &[]),
            room("tls", &[]),
            room("token", &[]),
            room("memory", &["width", "identity", "export"]),
            room(
                "server",
                &[
                    "string",
                    "width",
                    "keepalive",
                    "wire",
                    "budget",
                    "identity",
                    "export",
                    "tls",
                ],
            ),
            room(
                "client",
                &[
                    "string",
                    "width",
                    "printable",
                    "keepalive",
                    "wire",
                    "export",
                    "uri",
                    "tls",
                    "token",
                ],
            ),
            room(
                "fuzz",
                &[
                    "width", "wire", "identity", "export", "uri", "memory", "server", "client",
                ],
            ),
            room("", &["identity", "export", "printable", "server"]),
        ],
    },
    Crate {
        name: "blockd",
        src: "blockd/src",
        rooms: &[
            room("units", &[]),
            room("signals", &[]),
            room("atomic_file", &[]),
            room("device_node", &[]),
            room("progress", &[]),
            room("open_files", &[]),
            room("plain_text", &[]),
            room("fsmonitor", &[]),
            room(
                "relay",
                &[
                    "units",
                    "signals",
                    "atomic_file",
                    "device_node",
                    "open_files",
                ],
            ),
            room("log", &["plain_text"]),
            room("access", &[]),
            room(
                "serve",
                &["units", "signals", "plain_text", "log", "access"],
            ),
            room("local", &["signals", "progress", "open_files", "serve"]),
            room("attach::state", &["units", "relay", "atomic_file"]),
            room(
                "attach::layers",
                &[
                    "atomic_file",
                    "device_node",
                    "fsmonitor",
                    "relay",
                    "attach::state",
                ],
            ),
            room(
                "attach::commands",
                &[
                    "units",
                    "signals",
                    "device_node",
                    "progress",
                    "relay",
                    "attach::state",
                    "attach::layers",
                ],
            ),
            room(
                "attach",
                &["attach::state", "attach::layers", "attach::commands"],
            ),
            room("mount_helper", &[]),
            room("local_server", &["relay", "attach::state"]),
            room(
                "plugin",
                &[
                    "signals",
                    "atomic_file",
                    "relay",
                    "attach::state",
                    "attach::commands",
                    "attach",
                ],
            ),
            room(
                "cli",
                &[
                    "open_files",
                    "units",
                    "log",
                    "mount_helper",
                    "local_server",
                    "plugin",
                    "relay",
                    "access",
                    "serve",
                    "local",
                    "fsmonitor",
                    "attach::state",
                    "attach::layers",
                    "attach::commands",
                    "attach",
                ],
            ),
            room("", &[]),
            room(
                "(main)",
                &[
                    "plain_text",
                    "log",
                    "serve",
                    "local",
                    "fsmonitor",
                    "attach",
                    "plugin",
                    "cli",
                ],
            ),
        ],
    },
    Crate {
        name: "agent",
        src: "agent/src",
        rooms: &[
            room("mode", &[]),
            room("signals", &[]),
            room("token", &[]),
            room("http_access", &["token"]),
            room("http_server", &["http_access"]),
            room("pages", &[]),
            room("terminal_output", &[]),
            room("serve::screen", &[]),
            room("run_times", &["serve::screen"]),
            room(
                "serve",
                &[
                    "run_times",
                    "signals",
                    "token",
                    "http_access",
                    "http_server",
                    "pages",
                    "terminal_output",
                    "serve::screen",
                ],
            ),
            room(
                "client",
                &["signals", "terminal_output", "serve::screen", "run_times"],
            ),
            room("fly", &["mode"]),
            room(
                "coordinator",
                &[
                    "mode",
                    "signals",
                    "token",
                    "http_access",
                    "http_server",
                    "pages",
                    "fly",
                ],
            ),
            room("machine", &["mode", "signals", "http_access"]),
            room(
                "smoke",
                &[
                    "mode",
                    "signals",
                    "http_access",
                    "http_server",
                    "client",
                    "machine",
                ],
            ),
            room(
                "cli",
                &[
                    "mode",
                    "token",
                    "http_access",
                    "serve::screen",
                    "serve",
                    "client",
                    "fly",
                    "coordinator",
                    "machine",
                    "smoke",
                ],
            ),
            room("", &[]),
            room(
                "(main)",
                &[
                    "terminal_output",
                    "cli",
                    "serve",
                    "client",
                    "fly",
                    "coordinator",
                    "machine",
                    "smoke",
                ],
            ),
        ],
    },
];

impl Crate {
    fn arrows(&self) -> BTreeSet<Arrow> {
        Modules::new(self.name, self.src, &sources(&root(), self.src)).arrows()
    }

    /// The room that a module lies in: the one with the longest path.
    fn room_of(&self, module: &str) -> &Room {
        let holds = |room: &&Room| {
            let below = module.strip_prefix(room.path);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let own = self
            .rooms
            .iter()
            .filter(holds)
            .max_by_key(|room| room.path.len());
        own.unwrap_or_else(|| {
            panic!(
                "{}: {module} has no room in the table of tests/style/rooms.rs",
                self.src
            )
        })
    }

    /// What an arrow breaks, if anything.
    fn violation(&self, arrow: &Arrow) -> Option<String> {
        let (from, to) = (
            self.room_of(&arrow.from_module),
            self.room_of(&arrow.to_module),
        );
        let allowed = from.path == to.path || from.knows.contains(&to.path);
        (!allowed).then(|| format!("{arrow}: {:?} may not know {:?}", from.path, to.path))
    }
}

#[test]
fn rooms_know_only_what_stands_above_them_in_the_table() {
    for each in &CRATES {
        for (at, room) in each.rooms.iter().enumerate() {
            for known in room.knows {
                let above = each.rooms[..at].iter().any(|room| room.path == *known);
                assert!(
                    above,
                    "{}: {:?} knows {known:?}, which is no room above it",
                    each.src, room.path
                );
            }
        }
    }
}

#[test]
fn no_arrow_runs_upwards() {
    let mut found = Vec::new();
    for each in &CRATES {
        let arrows = each.arrows();
        assert!(
            arrows.len() > 40,
            "{}: only {} arrows were found",
            each.src,
            arrows.len()
        );
        found.extend(arrows.iter().filter_map(|arrow| each.violation(arrow)));
    }
    assert!(
        found.is_empty(),
        "{} arrows:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn what_a_room_may_know_it_uses() {
    for each in &CRATES {
        let arrows = each.arrows();
        let path = |module: &str| each.room_of(module).path;
        for room in each.rooms {
            for known in room.knows {
                let used = arrows.iter().any(|arrow| {
                    path(&arrow.from_module) == room.path && path(&arrow.to_module) == *known
                });
                assert!(
                    used,
                    "{}: {:?} does not use {known:?}: strike it out",
                    each.src, room.path
                );
            }
        }
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for each in &CRATES {
        let arrows = each.arrows();
        for circle in circles(&arrows) {
            let lines: Vec<_> = circle.iter().map(|arrow| format!("  {arrow}")).collect();
            found.push(format!("a circle in {}:\n{}", each.src, lines.join("\n")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
