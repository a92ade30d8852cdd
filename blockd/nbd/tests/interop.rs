//! The server with the clients of other projects: libnbd, qemu, fio, nbd-client and
//! the `nbd` crate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    io::{Read, Seek, SeekFrom},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use blockd_nbd::{
    Limits,
    memory::{MemoryExport, MemoryExports},
    server::{Bound, Listener, Server},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::oneshot};

const MIB: usize = 1 << 20;
/// Debian's own, for which python3-libnbd is installed.
const PYTHON: &str = "/usr/bin/python3";

/// Runs a program, which must succeed; returns its stdout.
fn run(program: &str, package: &str, arguments: &[&str]) -> Vec<u8> {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("{program} does not start ({error}): install the Debian package {package}")
        });
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(
        status.success(),
        "{program} {arguments:?}: {status}\n{stderr}"
    );
    stdout
}

fn json(program: &str, package: &str, arguments: &[&str]) -> Value {
    serde_json::from_slice(&run(program, package, arguments)).unwrap()
}

/// A disk in memory, served over TCP and a unix socket until dropped.
struct Served {
    directory: TempDir,
    port: u16,
    bytes: Vec<u8>,
    end: Option<oneshot::Sender<()>>,
    _runtime: Runtime,
}

impl Served {
    fn new(bytes: Vec<u8>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("disk"), &bytes).unwrap();
        let runtime = Runtime::new().unwrap();
        let mut listeners = runtime.block_on(Listener::bind_tcp("127.0.0.1:0")).unwrap();
        let Bound::Tcp(address) = *listeners[0].bound() else {
            panic!("not TCP")
        };
        let socket = directory.path().join("socket");
        listeners.push(runtime.block_on(Listener::bind_unix(&socket)).unwrap());
        let exports = MemoryExports::new([MemoryExport::new("memory", bytes.clone())]);
        let (end, ended) = oneshot::channel();
        let server = Server {
            listeners,
            tls: None,
            limits: Limits::default(),
            exports,
        };
        runtime.spawn(server.run(async { ended.await.unwrap_or_default() }));
        Self {
            directory,
            port: address.port(),
            bytes,
            end: Some(end),
            _runtime: runtime,
        }
    }

    /// 1 MiB of 0x5a, then 1 MiB of zeroes.
    fn half_empty() -> Self {
        Self::new([vec![0x5a; MIB], vec![0; MIB]].concat())
    }

    /// Every third block zeroes, no two others alike.
    fn varied() -> Self {
        let block = |number: u32| -> Vec<u8> {
            let word = if number.is_multiple_of(3) { 0 } else { number };
            word.to_be_bytes().repeat(1024)
        };
        Self::new((0..4096).flat_map(block).collect())
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn unix_uri(&self) -> String {
        format!("nbd+unix:///memory?socket={}", self.file("socket"))
    }

    fn tcp_uri(&self) -> String {
        format!("nbd://127.0.0.1:{}/memory", self.port)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.end.take());
    }
}

#[test]
fn libnbd_probes_every_rule() {
    let exported = Served::half_empty();
    let probe = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/probe.py");
    for uri in [exported.unix_uri(), exported.tcp_uri()] {
        run(PYTHON, "python3-libnbd", &[probe.to_str().unwrap(), &uri]);
    }
}

#[test]
fn nbdinfo_shows_the_export_and_its_extents() {
    let exported = Served::half_empty();
    let info = json(
        "nbdinfo",
        "libnbd-bin",
        &["--json", "--list", &exported.tcp_uri()],
    );
    let export = &info["exports"][0];
    assert_eq!(export["export-name"], "memory");
    assert_eq!(export["export-size"], 2 * MIB);
    assert_eq!(export["is_read_only"], true);
    assert_eq!(export["can_multi_conn"], true);
    assert_eq!(export["can_df"], true);
    assert_eq!(export["contexts"][0], "base:allocation");
    assert_eq!(export["block_size_maximum"], 32 * MIB);
    let map = json(
        "nbdinfo",
        "libnbd-bin",
        &["--json", "--map", &exported.unix_uri()],
    );
    let extents = map.as_array().unwrap();
    let types: Vec<_> = extents
        .iter()
        .map(|extent| extent["type"].as_i64().unwrap())
        .collect();
    assert_eq!(types, [0, 3]);
}

#[test]
fn nbdcopy_copies_every_byte() {
    let exported = Served::varied();
    let copy = exported.file("copy");
    for uri in [exported.unix_uri(), exported.tcp_uri()] {
        for connections in ["--connections=1", "--connections=4"] {
            fs::remove_file(&copy).ok();
            run(
                "nbdcopy",
                "libnbd-bin",
                &[connections, "--requests=64", &uri, &copy],
            );
            assert!(
                fs::read(&copy).unwrap() == exported.bytes,
                "{uri} {connections}"
            );
        }
    }
}

#[test]
fn nbdcopy_passes_a_listening_socket() {
    let exported = Served::varied();
    let (disk, copy) = (exported.file("disk"), exported.file("copy"));
    let server = example("memory_server");
    let server = [
        "[",
        server.to_str().unwrap(),
        &disk,
        "--inherited",
        "]",
        &copy,
    ];
    run("nbdcopy", "libnbd-bin", &[&["--"], &server[..]].concat());
    assert!(fs::read(&copy).unwrap() == exported.bytes);
}

#[test]
fn libnbd_connects_to_stdin_and_stdout() {
    let exported = Served::half_empty();
    let script = "import sys, nbd\n\
        handle = nbd.NBD()\n\
        handle.connect_command(sys.argv[1:])\n\
        assert handle.pread(4, 0) == b'ZZZZ'\n\
        handle.shutdown()\n";
    let server = example("memory_server");
    let server = [server.to_str().unwrap(), &exported.file("disk"), "--stdio"];
    run(
        PYTHON,
        "python3-libnbd",
        &[&["-c", script], &server[..]].concat(),
    );
}

#[test]
fn stdin_may_be_a_pipe_or_a_file() {
    let exported = Served::half_empty();
    let script =
        "cat \"$0\" | \"$1\" \"$2\" --stdio | head -c 18 && \"$1\" \"$2\" --stdio < \"$0\" | wc -c";
    let seed = "fuzz/corpus/handshake/cflags-go-read4k-disc";
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join(seed);
    let server = example("memory_server");
    let arguments = [
        seed.to_str().unwrap(),
        server.to_str().unwrap(),
        &exported.file("disk"),
    ];
    let replies = run("sh", "dash", &[&["-c", script], &arguments[..]].concat());
    let replies = String::from_utf8_lossy(&replies);
    assert!(replies.starts_with("NBDMAGICIHAVEOPT\0\x03"), "{replies}");
    assert_eq!(
        replies[18..].trim(),
        (18 + 20 + 12 + 20 + 16 + 4096).to_string()
    );
}

#[test]
fn qemu_img_sees_the_same_disk_and_the_same_holes() {
    let exported = Served::varied();
    let disk = exported.file("disk");
    for uri in [exported.unix_uri(), exported.tcp_uri()] {
        run(
            "qemu-img",
            "qemu-utils",
            &["compare", "-f", "raw", "-F", "raw", &disk, &uri],
        );
    }
    let map = ["map", "--output=json", "-f", "raw", &exported.unix_uri()];
    let map = json("qemu-img", "qemu-utils", &map);
    let extents = map.as_array().unwrap();
    let zeroes = extents.iter().filter(|extent| extent["zero"] == true);
    let zeroes: u64 = zeroes
        .map(|extent| extent["length"].as_u64().unwrap())
        .sum();
    assert_eq!(zeroes, 1366 * 4096);
}

#[test]
fn qemu_io_reads_data_and_zeroes() {
    let exported = Served::half_empty();
    let commands = [
        "-r",
        "-f",
        "raw",
        "-c",
        "read -P 0x5a 0 1M",
        "-c",
        "read -P 0 1M 1M",
    ];
    let uri = exported.unix_uri();
    run(
        "qemu-io",
        "qemu-utils",
        &[&commands[..], &[uri.as_str()]].concat(),
    );
}

#[test]
fn fio_reads_at_random() {
    let exported = Served::varied();
    for uri in [exported.unix_uri(), exported.tcp_uri()] {
        let uri = format!("--uri={uri}");
        for (size, depth) in [("--bs=4k", "--iodepth=64"), ("--bs=1M", "--iodepth=8")] {
            let fixed = ["--name=r", "--ioengine=nbd", "--rw=randread", "--size=64M"];
            let options = [size, depth, &uri, "--numjobs=2", "--output-format=json"];
            run("fio", "fio", &[&fixed[..], &options].concat());
        }
    }
}

#[test]
fn nbd_client_lists_the_export() {
    let exported = Served::half_empty();
    let port = exported.port.to_string();
    let list = run(
        "/usr/sbin/nbd-client",
        "nbd-client",
        &["-l", "127.0.0.1", &port],
    );
    let list = String::from_utf8(list).unwrap();
    assert!(list.contains("memory"), "{list}");
}

#[test]
fn the_nbd_crate_reads_by_export_name() {
    let exported = Served::varied();
    let mut stream = TcpStream::connect(("127.0.0.1", exported.port)).unwrap();
    let export = nbd::client::handshake(&mut stream, b"memory").unwrap();
    assert_eq!(export.size, u64::try_from(exported.bytes.len()).unwrap());
    let mut disk = nbd::client::NbdClient::new(&mut stream, &export);
    let mut bytes = vec![0; 3 * 4096];
    disk.seek(SeekFrom::Start(5000)).unwrap();
    disk.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, exported.bytes[5000..5000 + 3 * 4096]);
}

/// A built example; `cargo test` builds them all, `--test interop` does not.
fn example(name: &str) -> PathBuf {
    let mut directory = env::current_exe().unwrap();
    directory.pop();
    directory.pop();
    let example = directory.join("examples").join(name);
    assert!(
        example.exists(),
        "run `cargo build -p blockd-nbd --example {name}` first"
    );
    example
}
