//! A relayed disk that is written to: what was flushed survives.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    slice,
};

use blockd_nbd::wire;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{
    harness::{Bench, Relay, output, poll_until},
    host::{Loop, Mount, run},
    raw::Raw,
};

async fn cow_relay(bench: &Bench, folder: &Path) -> Relay {
    let folder = folder.to_str().unwrap();
    bench.relay(&[bench.uri("a")], &["--cow", folder]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_flushed_survives_a_kill() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let mut expected = bench.truth("a").await;
    let folder = bench.path("changes");
    let mut relay = cow_relay(&bench, &folder).await;
    let mut raw = Raw::connect(&relay.socket).await;
    assert_eq!(raw.flags & wire::NBD_FLAG_READ_ONLY, 0);
    for (offset, length, byte) in [(4096, 8192, 1), (70_000, 100, 2), (1 << 20, 200_000, 3)] {
        let data = vec![byte; length];
        assert_eq!(raw.write(offset, &data, 0).await, 0);
        let start = usize::try_from(offset).unwrap();
        expected[start..start + length].copy_from_slice(&data);
    }
    let zero = (wire::NBD_CMD_WRITE_ZEROES, 1 << 20, 50_000);
    assert_eq!(raw.ask(zero, 0).await, 0);
    expected[1 << 20..(1 << 20) + 50_000].fill(0);
    assert_eq!(raw.ask((wire::NBD_CMD_TRIM, 4096, 4096), 0).await, 0);
    expected[4096..8192].fill(0);
    assert_eq!(raw.ask((wire::NBD_CMD_FLUSH, 0, 0), 0).await, 0);
    let last = raw.write(300_000, b"durable", wire::NBD_CMD_FLAG_FUA).await;
    assert_eq!(last, 0);
    expected[300_000..300_007].copy_from_slice(b"durable");
    let size = relay.status()["size"].as_u64().unwrap();
    assert_eq!(raw.write(size, &[0; 512], 0).await, wire::NBD_ENOSPC);
    let client = relay.client().await;
    let length = u32::try_from(expected.len()).unwrap();
    assert!(client.read(0, length).await.unwrap() == expected);

    relay.child.kill().unwrap();
    relay.child.wait().unwrap();
    let relay = cow_relay(&bench, &folder).await;
    let client = relay.client().await;
    assert!(client.read(0, length).await.unwrap() == expected);
    assert!(relay.status()["changed"]["blocks"].as_u64() > Some(40));

    drop(relay);
    bench.commit("second");
    let other = ["--cow", folder.to_str().unwrap()];
    let uri = bench.uri_of("a", "repo@main~0");
    let (started, _, said) = output(&mut bench.relay_command(&[uri], &other));
    assert!(!started && said.contains("choose another --cow"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_cow_a_disk_is_read_only() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let relay = bench.relay(&[bench.uri("a")], &[]).await;
    let mut raw = Raw::connect(&relay.socket).await;
    assert_ne!(raw.flags & wire::NBD_FLAG_READ_ONLY, 0);
    assert_eq!(raw.write(0, &[0; 4096], 0).await, wire::NBD_EPERM);
    let zero = (wire::NBD_CMD_WRITE_ZEROES, 0, 4096);
    assert_eq!(raw.ask(zero, 0).await, wire::NBD_EPERM);
    assert_eq!(raw.ask((wire::NBD_CMD_FLUSH, 0, 0), 0).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_is_an_error_and_damages_nothing() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let folder = bench.path("small");
    fs::create_dir(&folder).unwrap();
    let options = c"size=1m";
    mount(
        "tmpfs",
        &folder,
        "tmpfs",
        MountFlags::empty(),
        Some(options),
    )
    .unwrap();
    let _mount = Mount(folder.clone());
    let mut expected = bench.truth("a").await;
    let relay = cow_relay(&bench, &folder).await;
    let mut raw = Raw::connect(&relay.socket).await;
    let fua = wire::NBD_CMD_FLAG_FUA;
    assert_eq!(raw.write(8192, &vec![5; 65_536], fua).await, 0);
    expected[8192..8192 + 65_536].fill(5);
    let mut codes = Vec::new();
    for offset in (1 << 20..3 << 20).step_by(128 << 10) {
        codes.push(raw.write(offset, &vec![6; 128 << 10], 0).await);
    }
    assert!(codes.contains(&wire::NBD_ENOSPC), "{codes:?}");
    assert!(
        codes
            .iter()
            .all(|code| [0, wire::NBD_ENOSPC].contains(code))
    );
    let again = raw.write(8192, &[7; 4096], 0).await;
    assert_eq!(again, 0, "a block that has its place");
    expected[8192..12_288].fill(7);
    let client = relay.client().await;
    assert!(client.read(0, 1 << 20).await.unwrap() == expected[..1 << 20]);
    drop(relay);
    let relay = cow_relay(&bench, &folder).await;
    let client = relay.client().await;
    assert!(client.read(12_288, 1 << 19).await.unwrap() == expected[12_288..12_288 + (1 << 19)]);
}

/// Mounted read-write, written, synced in parts, and then the relay is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_is_clean_after_a_kill_and_has_what_was_synced() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let (fuse, tree) = (bench.path("fuse"), bench.path("tree"));
    fs::create_dir(&fuse).unwrap();
    fs::create_dir(&tree).unwrap();
    let uri = bench.uri_of("a", "repo@main:free=64M");
    let changes = bench.path("changes");
    let more = [
        "--cow",
        changes.to_str().unwrap(),
        "--fuse",
        fuse.to_str().unwrap(),
    ];
    let mut relay = bench.relay(slice::from_ref(&uri), &more).await;
    let fuse_mount = Mount(fuse.clone());
    let device = Loop::on(&fuse.join("disk")).await;
    run("mount", &["-t".as_ref(), "ext4".as_ref(), &device.0, &tree]);
    let tree_mount = Mount(tree.clone());
    for number in 0..30_u8 {
        let folder = tree.join(format!("new/{}", number % 7));
        fs::create_dir_all(&folder).unwrap();
        let mut file = File::create(folder.join(format!("{number}"))).unwrap();
        file.write_all(&vec![number; 30_000]).unwrap();
        if number < 20 {
            file.sync_all().unwrap();
        }
        fs::write(tree.join("0.txt"), [number; 9000]).unwrap();
    }
    relay.child.kill().unwrap();
    relay.child.wait().unwrap();
    drop(tree_mount);
    drop(device);
    drop(fuse_mount);

    let _relay = bench.relay(slice::from_ref(&uri), &more).await;
    let _fuse = Mount(fuse.clone());
    let device = Loop::on(&fuse.join("disk")).await;
    run("mount", &["-t".as_ref(), "ext4".as_ref(), &device.0, &tree]);
    let tree_mount = Mount(tree.clone());
    for number in 0..20_u8 {
        let path = tree.join(format!("new/{}/{number}", number % 7));
        assert_eq!(fs::read(path).unwrap(), vec![number; 30_000]);
    }
    poll_until("the tree is unmounted", async || {
        unmount(&tree, UnmountFlags::empty()).is_ok()
    })
    .await;
    std::mem::forget(tree_mount);
    run("e2fsck", &["-fn".as_ref(), &device.0]);
}
