//! Hydration: when it is done no server is needed, and until then reads go on
//! whatever becomes of it.

use std::{
    ffi::CStr,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use blockd_nbd::{
    client::{Client, allocation},
    uri::Address,
};
use rustix::mount::{MountFlags, mount};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    harness::{Bench, POLL_TIMEOUT, Relay, blockd, is_eio, output, poll_until},
    host::{Mount, Nbdkit},
    throttle::Throttle,
};

/// Enough for every handshake, and for what is read first.
const A_LITTLE: usize = 6 << 20;
const ALL: usize = 1 << 30;

/// The answer of the relay to one line.
fn ask(bench: &Bench, line: &str) -> Value {
    let mut stream = UnixStream::connect(bench.socket("control")).unwrap();
    stream.set_read_timeout(Some(POLL_TIMEOUT)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut document = String::new();
    stream.read_to_string(&mut document).unwrap();
    serde_json::from_str(&document).unwrap()
}

/// Sends a request that the relay accepts.
fn begin(bench: &Bench, line: &str) {
    let answer = ask(bench, line);
    assert!(answer["cache"].is_object(), "{answer}");
}

/// Sends a request that the relay refuses; returns the reason.
fn refused(bench: &Bench, line: &str) -> String {
    let answer = ask(bench, line);
    answer["refused"].as_str().unwrap().to_owned()
}

/// A relay with a cache and a control socket.
async fn relay(bench: &Bench, uri: String, cache: &Path, more: &[&str]) -> Relay {
    fs::create_dir_all(cache).unwrap();
    let control = bench.socket("control");
    let own = [
        "--cache",
        cache.to_str().unwrap(),
        "--control",
        control.to_str().unwrap(),
    ];
    bench.relay(&[uri], &[&own, more].concat()).await
}

async fn state_is(relay: &Relay, state: &str) {
    let begun = Instant::now();
    while relay.status()["cache"]["state"] != state {
        let status = relay.status();
        assert!(begun.elapsed() < POLL_TIMEOUT, "not {state}: {status}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn number(relay: &Relay, what: &str) -> u64 {
    relay.status()["cache"][what].as_u64().unwrap()
}

/// The disk as a file, made by `blockd image`.
fn image(bench: &Bench) -> Vec<u8> {
    let file = bench.path("image");
    let export = format!("{}@main", bench.path("repo").display());
    let mut image = blockd(&["image", &export]);
    image
        .arg(&file)
        .arg("--state")
        .arg(bench.path("image.state"));
    let (done, _, said) = output(&mut image);
    assert!(done, "{said}");
    fs::read(file).unwrap()
}

async fn all(client: &Client) -> Vec<u8> {
    let mut disk = Vec::new();
    let size = client.info().size;
    while let Some(left) = size
        .checked_sub(disk.len().try_into().unwrap())
        .filter(|left| *left > 0)
    {
        let length = u32::try_from(left.min(1 << 20)).unwrap();
        let offset = disk.len().try_into().unwrap();
        disk.extend(client.read(offset, length).await.unwrap());
    }
    disk
}

/// A repository with 24 MiB that cannot be compressed.
fn large() -> Bench {
    let bench = Bench::new();
    let mut noise = vec![0; 24 << 20];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut noise)
        .unwrap();
    fs::write(bench.path("repo/noise"), noise).unwrap();
    bench.commit("noise");
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hydrated_disk_needs_no_server() {
    let bench = Bench::new();
    let server = bench.serve("a").await;
    let folder = bench.path("cache");
    let relay = relay(&bench, bench.uri("a"), &folder, &[]).await;
    let client = relay.client().await;
    assert_eq!(relay.status()["cache"], Value::Null);
    let said = refused(&bench, "dance");
    assert!(said.contains("can be asked to \"hydrate\""), "{said}");

    let begun = ask(&bench, "hydrate");
    assert!(begun["cache"]["of"].as_u64() > Some(1 << 20), "{begun}");
    state_is(&relay, "hydrated").await;
    let again = ask(&bench, "hydrate");
    assert_eq!(again["cache"]["state"], "hydrated");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "it has no name");

    let (of, size) = (number(&relay, "of"), client.info().size);
    assert!(of < size, "the holes of the disk are no data");
    assert_eq!(number(&relay, "hydrated"), of);
    let server_side = Address::Unix(bench.socket("a"));
    let (_, known) = allocation(&server_side, "repo@main").await.unwrap();
    let relay_side = Address::Unix(relay.socket.clone());
    let (_, reported) = allocation(&relay_side, "").await.unwrap();
    assert_eq!(reported, known, "the extents are those of the server");

    drop(server);
    relay.upstream_is(0, "down").await;
    assert!(all(&client).await == image(&bench), "a byte differs");
    let status = relay.status();
    assert_eq!(
        (&status["errors"], &status["cache"]["misses"]),
        (&0.into(), &0.into())
    );
    assert!(status["cache"]["hits"].as_u64() > Some(0), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hydration_waits_for_a_server_that_is_restarted() {
    let bench = large();
    let server = bench.serve("a").await;
    let throttle = Throttle::new(bench.socket("throttle"), bench.socket("a"));
    throttle.allow(A_LITTLE);
    let folder = bench.path("cache");
    let relay = relay(&bench, bench.uri("throttle"), &folder, &["--timeout", "1s"]).await;
    let client = relay.client().await;
    begin(&bench, "hydrate");
    poll_until("some of it is cached", async || {
        number(&relay, "hydrated") > 1 << 20
    })
    .await;
    drop(server);
    relay.upstream_is(0, "down").await;
    let image = image(&bench);
    let front = client.read(0, 256 << 10).await.unwrap();
    assert!(front == image[..256 << 10], "wrong bytes");
    assert!(number(&relay, "hydrated") < number(&relay, "of"));
    let last = client.info().size - 4096;
    let data_end = allocation_end(&image);
    let error = client.read(data_end - 4096, 4096).await.unwrap_err();
    assert!(is_eio(&error), "it is not cached: {error}");
    assert_eq!(
        client.read(last, 4096).await.unwrap(),
        image[usize::try_from(last).unwrap()..]
    );
    assert_eq!(relay.status()["cache"]["state"], "hydrating");

    throttle.allow(ALL);
    let server = bench.serve("a").await;
    state_is(&relay, "hydrated").await;
    drop(server);
    assert!(all(&client).await == image, "a byte differs");
}

/// Where the last byte of data lies, up to a whole block.
fn allocation_end(image: &[u8]) -> u64 {
    let last = image.iter().rposition(|byte| *byte != 0).unwrap();
    u64::try_from(last + 1).unwrap().next_multiple_of(4096)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_fit_is_refused() {
    let bench = Bench::new();
    let _server = bench.serve("a").await;
    let folder = bench.path("cache");
    let size = ["--cache-size", "64K"];
    let one = relay(&bench, bench.uri("a"), &folder, &size).await;
    for (line, most) in [("hydrate", "1 MiB"), ("hydrate 1100000", "2 MiB")] {
        let said = refused(&bench, line);
        assert!(
            said.contains(&format!("the cache may take {most}")) && said.contains("--cache-size"),
            "{said}"
        );
    }
    assert_eq!(one.status()["cache"], Value::Null);
    begin(&bench, "hydrate 1000000000");
    state_is(&one, "hydrated").await;
    drop(one);

    let small = bench.path("small");
    let _mount = small_disk(&small, c"size=1m");
    let one = relay(&bench, bench.uri("a"), &small, &[]).await;
    let said = refused(&bench, "hydrate");
    assert!(said.contains("has room for 1 MiB"), "{said}");
    assert_eq!(one.status()["cache"], Value::Null);
    drop(one);
    let control = bench.socket("control");
    let without = ["--control", control.to_str().unwrap()];
    let _one = bench.relay(&[bench.uri("a")], &without).await;
    assert!(refused(&bench, "hydrate").contains("no --cache"));
}

/// A small file system in memory.
fn small_disk(folder: &Path, options: &CStr) -> Mount {
    fs::create_dir(folder).unwrap();
    mount("tmpfs", folder, "tmpfs", MountFlags::empty(), Some(options)).unwrap();
    Mount(folder.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_ends_the_hydration_and_reads_go_on() {
    let bench = large();
    let _server = bench.serve("a").await;
    let throttle = Throttle::new(bench.socket("throttle"), bench.socket("a"));
    throttle.allow(A_LITTLE);
    let folder = bench.path("small");
    let _mount = small_disk(&folder, c"size=100m");
    let relay = relay(&bench, bench.uri("throttle"), &folder, &[]).await;
    let client = relay.client().await;
    begin(&bench, "hydrate");
    poll_until("some of it is cached", async || {
        number(&relay, "hydrated") > 1 << 20
    })
    .await;
    let filler = folder.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    let block = vec![1; 1 << 16];
    while file.write_all(&block).is_ok() {}
    throttle.allow(ALL);
    state_is(&relay, "failed").await;
    let status = relay.status();
    let reason = status["cache"]["reason"].as_str().unwrap();
    assert!(reason.contains("No space left"), "{reason}");
    assert_eq!(status["cache"]["bytes"], 0, "{status}");
    assert!(all(&client).await == image(&bench), "a byte differs");

    assert!(refused(&bench, "hydrate").contains("make room there"));
    drop(file);
    fs::remove_file(filler).unwrap();
    begin(&bench, "hydrate");
    state_is(&relay, "hydrated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_can_read_stays_an_error_and_the_rest_is_cached() {
    let bench = Bench::new();
    let disk: Vec<u8> = (0..1 << 20_u32)
        .map(|at| (at / 512 % 251 + 1).try_into().unwrap())
        .collect();
    let (file, broken) = (bench.path("disk"), bench.path("broken"));
    fs::write(&file, &disk).unwrap();
    fs::write(&broken, "").unwrap();
    let read = format!(
        "pread=if [ -e {} ] && [ $4 -le 600000 ] && [ $(($4 + $3)) -gt 600000 ]; then
            echo EIO a broken blob >&2; exit 1; fi
         dd if={} iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none",
        broken.display(),
        file.display()
    );
    let arguments = ["eval", "get_size=echo 1048576", &read];
    let server = Nbdkit::serve(&bench, &arguments).await;
    let folder = bench.path("cache");
    let uri = bench.uri_of("nbdkit", "disk");
    let relay = relay(&bench, uri, &folder, &["--timeout", "1s"]).await;
    begin(&bench, "hydrate");
    state_is(&relay, "incomplete").await;
    assert_eq!(number(&relay, "of") - number(&relay, "hydrated"), 4096);
    assert!(
        relay.status()["cache"]["reason"]
            .as_str()
            .unwrap()
            .contains("error 5")
    );
    drop(server);
    let client = relay.client().await;
    let bad = 600_000 / 4096 * 4096;
    for (offset, length) in [(0, bad), (bad + 4096, (1 << 20) - bad - 4096)] {
        let read = client.read(offset.into(), length).await.unwrap();
        let start = usize::try_from(offset).unwrap();
        assert!(read == disk[start..start + usize::try_from(length).unwrap()]);
    }
    let error = client.read(bad.into(), 4096).await.unwrap_err();
    assert!(is_eio(&error), "{error}");

    fs::remove_file(&broken).unwrap();
    let server = Nbdkit::serve(&bench, &arguments).await;
    begin(&bench, "hydrate");
    state_is(&relay, "hydrated").await;
    drop(server);
    assert!(all(&client).await == disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_block_status_is_read_whole() {
    let bench = Bench::new();
    let server = Nbdkit::serve(&bench, &["--no-sr", "memory", "8M"]).await;
    let folder = bench.path("cache");
    let uri = bench.uri_of("nbdkit", "disk");
    let relay = relay(&bench, uri, &folder, &[]).await;
    let said = refused(&bench, "hydrate 4000000");
    assert!(
        said.contains("does not say which parts") && said.contains("8 MiB"),
        "{said}"
    );
    begin(&bench, "hydrate");
    state_is(&relay, "hydrated").await;
    assert_eq!(
        (number(&relay, "of"), number(&relay, "bytes")),
        (8 << 20, 0)
    );
    drop(server);
    let client = relay.client().await;
    assert!(all(&client).await == vec![0; 8 << 20]);
}
