//! What others see of a relay, and what it shows of others.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, lchown},
        net::UnixListener,
        process::CommandExt,
    },
    path::Path,
    process::Command,
    thread,
};

use blockd_nbd::{client, uri::Address, wire};
use zerocopy::IntoBytes;

use crate::harness::{Bench, Server, blockd, output, poll_until};

/// Whatever the caller's umask is.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_files_are_their_owners_only() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let (control, pid_file) = (bench.path("control"), bench.path("pid"));
    let more = ["--control", control.to_str().unwrap(), "--pid-file"];
    let more = [&more[..], &[pid_file.to_str().unwrap()]].concat();
    let relay = bench.relay_command(&[bench.uri("a")], &more);
    let mut open = Command::new("sh");
    open.args(["-c", "umask 0 && exec \"$@\"", "sh"]);
    open.arg(relay.get_program()).args(relay.get_args());
    let relay = bench.start_relay(open).await;
    for path in [&relay.socket, &relay.status, &control, &pid_file] {
        let found = fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(found, 0o600, "{}", path.display());
    }
}

/// The kernel gives the files in `/proc` of a process whose memory is hidden to root.
#[tokio::test(flavor = "multi_thread")]
async fn the_memory_is_hidden_from_programs_of_the_same_user() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let mut relay = bench.relay_command(&[bench.uri("a")], &[]);
    if rustix::process::geteuid().is_root() {
        for path in [bench.path(""), bench.socket("a")] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        }
        relay.uid(65534).gid(65534);
    }
    let relay = bench.start_relay(relay).await;
    let environment = format!("/proc/{}/environ", relay.child.id());
    assert_eq!(fs::metadata(environment).unwrap().uid(), 0);
}

/// A server that refuses every option, in words that a terminal would obey.
fn refuse(listener: &UnixListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let hello = wire::Hello {
            nbdmagic: wire::NBDMAGIC.into(),
            ihaveopt: wire::IHAVEOPT.into(),
            flags: 3.into(),
        };
        stream.write_all(hello.as_bytes()).unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        let mut option = [0; 16];
        while stream.read_exact(&mut option).is_ok() {
            let code = u32::from_be_bytes(option[8..12].try_into().unwrap());
            let length = u32::from_be_bytes(option[12..].try_into().unwrap());
            let mut data = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut data).unwrap();
            let text = b"\x1b]2;owned\x07\x1b[31mno\r\nblockd: all is well \xc2\x9b2J";
            let head = wire::OptionReply {
                magic: wire::NBD_REP_MAGIC.into(),
                option: code.into(),
                reply_type: wire::NBD_REP_ERR_UNKNOWN.into(),
                length: u32::try_from(text.len()).unwrap().into(),
            };
            let reply = [head.as_bytes(), text].concat();
            if stream.write_all(&reply).is_err() {
                break;
            }
        }
    }
}

#[test]
fn words_of_a_server_are_shown_and_not_obeyed() {
    let bench = Bench::new();
    let listener = UnixListener::bind(bench.socket("a")).unwrap();
    // It ends with the process.
    thread::spawn(move || refuse(&listener));
    let (done, _, said) = output(&mut bench.relay_command(&[bench.uri("a")], &[]));
    assert!(!done);
    assert!(said.contains(r"\u{1b}]2;owned\u{7}"), "{said}");
    let is_plain = |each: char| each == '\n' || !each.is_control();
    assert!(said.chars().all(is_plain), "{said:?}");
    let lines = said.lines().filter(|line| line.starts_with("blockd: "));
    assert_eq!(lines.count(), 1, "{said}");
}

#[test]
fn a_server_without_tls_does_not_stand_in_for_one_with_it() {
    let bench = Bench::new();
    let servers = ["nbds://127.0.0.1:1/x", "nbd://127.0.0.1:1/x"].map(str::to_owned);
    let (_, _, said) = output(&mut bench.relay_command(&servers, &[]));
    assert!(
        said.contains("has no TLS") && said.contains("--allow-clear"),
        "{said}"
    );
    let (_, _, said) = output(&mut bench.relay_command(&servers, &["--allow-clear"]));
    assert!(said.contains("Connection refused"), "{said}");
}

/// Gives a tree to a user.
fn give(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}

/// `/tmp/blockd` was everybody's: who made it first chose what was served.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_home_nothing_is_kept_where_others_may_have_been() {
    const USER: u32 = 65534;
    let bench = Bench::new();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let temporary = bench.path("tmp");
    for path in ["", "tmp", "tmp/blockd"].map(|name| bench.path(name)) {
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    give(&bench.path("repo"), USER);
    let serve = || {
        let mut serve = blockd(&["serve", "--unix"]);
        serve
            .arg(bench.socket("a"))
            .arg("--repos")
            .arg(bench.path("repo"));
        serve.env_remove("HOME").env_remove("XDG_STATE_HOME");
        serve.env("TMPDIR", &temporary).uid(USER).gid(USER);
        serve
    };
    let own = temporary.join("blockd-65534");
    fs::create_dir(&own).unwrap();
    let (done, _, said) = output(&mut serve());
    assert!(!done && said.contains("--state DIR"), "{said}");
    assert_eq!(fs::read_dir(&own).unwrap().count(), 0);

    fs::remove_dir(&own).unwrap();
    let _server = Server(serve().spawn().unwrap());
    let address = Address::Unix(bench.socket("a"));
    poll_until("the server serves", async || {
        client::info(&address, "").await.is_ok()
    })
    .await;
    let made = fs::metadata(&own).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (USER, 0o700));
    assert_ne!(fs::read_dir(&own).unwrap().count(), 0);
    assert_eq!(fs::read_dir(temporary.join("blockd")).unwrap().count(), 0);
}
