//! The relay in the background, and errors of its command line.

use std::{fs, io::Read, process::Command};

use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};

use crate::harness::{Bench, FRONT, blockd, output, poll_until, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_in_the_background_runs_until_its_file_system_is_unmounted() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let truth = bench.truth("a").await;
    let mountpoint = bench.path("m");
    fs::create_dir(&mountpoint).unwrap();
    let (folder, pid) = (mountpoint.to_str().unwrap(), bench.path("pid"));
    let more = [
        "--daemon",
        "--fuse",
        folder,
        "--pid-file",
        pid.to_str().unwrap(),
    ];
    let mut command: Command = bench.relay_command(&[bench.uri("a")], &more);
    // The relay has its standard error open for as long as it runs.
    command.stderr(fs::File::create(bench.path("relay.log")).unwrap());
    let (started, greeting, _) = output(&mut command);
    let log = bench.relay_log();
    assert!(started && greeting == "\"ready\"\n", "{greeting}{log}");

    let mut bytes = vec![0; usize::try_from(FRONT).unwrap()];
    let mut disk = fs::File::open(mountpoint.join("disk")).unwrap();
    disk.read_exact(&mut bytes).unwrap();
    assert!(bytes == truth);
    let size = status(&bench.socket("status"))["size"].as_u64();
    assert_eq!(Some(disk.metadata().unwrap().len()), size);
    drop(disk);
    let text = fs::read_to_string(&pid).unwrap();
    let process = Pid::from_raw(text.split(' ').next().unwrap().parse().unwrap()).unwrap();
    // A child that another test is about to start may still hold the file.
    poll_until("it is unmounted", async || {
        unmount(&mountpoint, UnmountFlags::empty()).is_ok()
    })
    .await;
    poll_until("the relay ends", async || !pid.exists()).await;

    let (started, greeting, _) = output(&mut command);
    assert!(started, "a second time: {greeting}");
    let again = fs::read_to_string(&pid).unwrap();
    assert_ne!(again, text);
    let second = Pid::from_raw(again.split(' ').next().unwrap().parse().unwrap()).unwrap();
    assert_ne!(second, process);
    kill_process(second, Signal::TERM).unwrap();
    poll_until("the relay ends", async || !pid.exists()).await;
    assert_eq!(fs::read_dir(&mountpoint).unwrap().count(), 0, "unmounted");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_reported_with_their_reason() {
    let bench = Bench::new();
    let (started, greeting, said) =
        output(&mut bench.relay_command(&[bench.uri("a")], &["--daemon"]));
    assert!(!started);
    assert!(
        greeting.starts_with("{\"failed\":\"cannot connect to"),
        "{greeting}"
    );
    assert!(said.contains("cannot connect to"), "{said}");

    let _server = bench.serve("a").await;
    for (uris, reason) in [
        (vec![bench.uri_of("a", "nothing")], "no such export"),
        (
            vec![bench.uri("a"), bench.uri_of("a", "other")],
            "a relay has one export",
        ),
        (vec!["nonsense".to_owned()], "not an NBD URI"),
        (vec![], "URI"),
    ] {
        let (started, _, said) = output(&mut bench.relay_command(&uris, &[]));
        assert!(!started && said.contains(reason), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    assert!(!bench.socket("relay").exists() && !bench.socket("status").exists());
}

#[test]
fn the_help_explains_how_to_use_it() {
    let (_, text, _) = output(&mut blockd(&["relay", "--help"]));
    for word in [
        "nbd-client -unix",
        "--timeout",
        "two commits are never mixed",
        "SIGTERM",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("relay-daemon"), "{text}");
}
