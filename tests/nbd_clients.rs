//! Clients that other people wrote read what `blockd image` writes.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    DISTRO_PYTHON, Fixture, TestBlockd, TestImage, binary, blockd, fails, program, run, sha256_of,
    stdout,
};

const EXPORT: &str = "history@main";

/// A server, and the image of [`EXPORT`] in a file, from one state folder.
struct Served {
    server: TestBlockd,
    image: TestImage,
    _state: TempDir,
}

impl Served {
    fn start() -> Self {
        let repo = Fixture::get("history").repo("history");
        let state = tempfile::tempdir().unwrap();
        let image = TestImage::of(&format!("{}@main", repo.path().display()), state.path());
        let server = TestBlockd::serve_with_state(repo.folder(), state.path());
        Self {
            server,
            image,
            _state: state,
        }
    }

    fn uri(&self) -> String {
        self.server.uri(EXPORT)
    }
}

/// `clients/NAME` with the arguments.
fn python(name: &str) -> Command {
    let mut command = program(DISTRO_PYTHON);
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("clients")
            .join(name),
    );
    command
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&stdout(command)).unwrap()
}

/// More files than the server may open: clients read all of them, and further
/// clients get in.
#[test]
fn a_server_reads_more_files_than_it_may_open() {
    const OPEN_FILES: u32 = 64;
    let repo = Fixture::get("storage").repo("loose");
    let objects = repo.git(&["count-objects"]);
    let (count, _) = objects.split_once(' ').unwrap();
    assert!(count.parse::<u32>().unwrap() > 2 * OPEN_FILES, "{objects}");
    let server = TestBlockd::serve_with_open_files(repo.folder(), OPEN_FILES);
    let folder = tempfile::tempdir().unwrap();
    let copies = ["one", "two"].map(|name| folder.path().join(name));
    let held = UnixStream::connect(server.socket()).unwrap();
    for copy in &copies {
        run(program("nbdcopy").arg(server.uri("loose@main")).arg(copy));
    }
    drop(held);
    assert_eq!(sha256_of(&copies[0]), sha256_of(&copies[1]));
    let said = stdout(program("e2fsck").arg("-fn").arg(&copies[0]));
    assert!(
        !server.log().contains("Too many open files"),
        "{said}\n{}",
        server.log()
    );
}

#[test]
fn nbdinfo_shows_list_and_map() {
    let served = Served::start();
    let length = fs::metadata(served.image.path()).unwrap().len();
    let plain = stdout(program("nbdinfo").arg(served.uri()));
    assert!(
        plain.contains("protocol: newstyle-fixed without TLS, using structured"),
        "{plain}"
    );
    assert!(plain.contains("is_read_only: true") && plain.contains("can_multi_conn: true"));
    assert_eq!(
        stdout(program("nbdinfo").arg("--size").arg(served.uri())),
        length.to_string()
    );

    let shown = json(program("nbdinfo").arg("--json").arg(served.uri()));
    assert_eq!(shown["exports"][0]["export-size"], length);
    assert!(
        !shown["exports"][0]["description"]
            .as_str()
            .unwrap()
            .is_empty()
    );
    let list = json(
        program("nbdinfo")
            .args(["--json", "--list"])
            .arg(served.server.uri("")),
    );
    let names: Vec<_> = list["exports"].as_array().unwrap().iter().collect();
    assert!(
        names
            .iter()
            .any(|e| e["export-name"].as_str().unwrap().starts_with("history"))
    );

    let map = json(
        program("nbdinfo")
            .args(["--map", "--json"])
            .arg(served.uri()),
    );
    let extents = map.as_array().unwrap();
    let covered: u64 = extents.iter().map(|e| e["length"].as_u64().unwrap()).sum();
    assert_eq!(covered, length);
    assert!(extents.iter().any(|e| e["type"] == 3), "no hole in {map}");
    assert!(extents.iter().any(|e| e["type"] == 0), "no data in {map}");
}

#[test]
fn nbdcopy_copies_with_many_connections_and_over_tcp() {
    let served = Served::start();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    run(program("nbdcopy")
        .args(["--connections=4", "--requests=32"])
        .arg(served.uri())
        .arg(&copy));
    assert_eq!(sha256_of(&copy), served.image.sha256());

    let tcp = TestBlockd::serve_tcp(Fixture::get("history").folder());
    let uri = format!("nbd://127.0.0.1:{}/{EXPORT}", tcp.port());
    run(program("nbdcopy").arg(uri).arg(&copy));
    assert_eq!(sha256_of(&copy), served.image.sha256());
}

#[test]
fn qemu_img_compares_maps_and_converts() {
    let served = Served::start();
    let image = served.image.path();
    let info = json(program("qemu-img").args(["info", "--output=json", &served.uri()]));
    assert_eq!(info["virtual-size"], fs::metadata(image).unwrap().len());
    let compare = ["compare", "-f", "raw", "-F", "raw"];
    let same = stdout(
        program("qemu-img")
            .args(compare)
            .arg(image)
            .arg(served.uri()),
    );
    assert!(same.contains("Images are identical."), "{same}");
    let map = ["map", "--output=json", "-f", "raw", &served.uri()];
    let map = json(program("qemu-img").args(map));
    assert!(
        map.as_array()
            .unwrap()
            .iter()
            .any(|extent| extent["zero"] == true),
        "{map}"
    );

    let folder = tempfile::tempdir().unwrap();
    let converted = folder.path().join("converted");
    let convert = ["convert", "-f", "raw", "-O", "raw", &served.uri()];
    run(program("qemu-img").args(convert).arg(&converted));
    assert_eq!(sha256_of(&converted), served.image.sha256());
    // That compare can find a difference at all.
    let mut bytes = fs::read(&converted).unwrap();
    bytes[1024] ^= 1;
    fs::write(&converted, bytes).unwrap();
    let compared = program("qemu-img")
        .args(compare)
        .arg(&converted)
        .arg(served.uri())
        .status();
    assert_eq!(compared.unwrap().code(), Some(1));
}

#[test]
fn libnbd_asks_everything_and_is_refused_what_it_must() {
    let served = Served::start();
    run(python("probe.py")
        .arg(served.uri())
        .arg(served.image.path()));
    assert!(
        stdout(program("nbdinfo").arg("--size").arg(served.uri()))
            .parse::<u64>()
            .is_ok()
    );
}

#[test]
fn fio_reads_at_random() {
    let served = Served::start();
    let folder = tempfile::tempdir().unwrap();
    let job = format!("--uri={}", served.uri());
    let options = [
        "--name=read",
        "--ioengine=nbd",
        "--rw=randread",
        "--bs=4k",
        "--iodepth=16",
    ];
    let more = ["--time_based", "--runtime=2", "--output-format=json"];
    let mut fio = program("fio");
    fio.current_dir(folder.path())
        .args(options)
        .args(more)
        .arg(job);
    let said = stdout(&mut fio);
    let report: Value = serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap();
    let job = &report["jobs"][0];
    assert_eq!(job["error"], 0, "{job}");
    assert!(job["read"]["total_ios"].as_u64().unwrap() > 1000, "{job}");
}

#[test]
fn the_nbd_crate_reads_the_same() {
    let served = Served::start();
    let tcp = TestBlockd::serve_tcp(Fixture::get("history").folder());
    let stream = TcpStream::connect(("127.0.0.1", tcp.port())).unwrap();
    read_with_crate(stream, served.image.path());
    let stream = UnixStream::connect(served.server.socket()).unwrap();
    read_with_crate(stream, served.image.path());
}

/// One request at a time, and a handshake by `NBD_OPT_EXPORT_NAME`.
fn read_with_crate(mut stream: impl Read + std::io::Write, image: &Path) {
    let expected = fs::read(image).unwrap();
    let export = nbd::client::handshake(&mut stream, EXPORT.as_bytes()).unwrap();
    assert_eq!(export.size, u64::try_from(expected.len()).unwrap());
    let mut client = nbd::client::NbdClient::new(&mut stream, &export);
    let mut read = vec![0; expected.len().min(4 << 20)];
    client.read_exact(&mut read).unwrap();
    assert!(read == expected[..read.len()], "the first bytes differ");
    client.seek(SeekFrom::Start(1024)).unwrap();
    client.read_exact(&mut read[..512]).unwrap();
    assert_eq!(read[..512], expected[1024..1536]);
}

#[test]
fn socket_activation_and_standard_input() {
    let repo = Fixture::get("history").repo("history");
    let state = tempfile::tempdir().unwrap();
    let image = TestImage::of(&format!("{}@main", repo.path().display()), state.path());
    let arguments = |command: &mut Command| {
        command
            .arg("serve")
            .arg("--repos")
            .arg(repo.path())
            .arg("--state")
            .arg(state.path());
    };
    // libnbd's tools start a server in brackets by LISTEN_FDS. The empty
    // export is the only repository.
    let copy = state.path().join("copy");
    let mut nbdcopy = program("nbdcopy");
    nbdcopy.args(["--", "["]).arg(binary());
    arguments(&mut nbdcopy);
    run(nbdcopy.arg("]").arg(&copy));
    assert_eq!(sha256_of(&copy), image.sha256());

    let mut stdio = python("command.py");
    stdio.arg(image.path()).arg(EXPORT).arg(binary());
    arguments(&mut stdio);
    run(stdio.arg("--stdio"));
}

#[test]
fn one_port_is_for_one_server() {
    let server = TestBlockd::serve_tcp(Fixture::get("history").folder());
    let mut second = blockd();
    second
        .arg("serve")
        .arg("--repos")
        .arg(Fixture::get("history").folder());
    let said = fails(second.args(["--listen", &format!("127.0.0.1:{}", server.port())]));
    assert!(said.contains(&server.port().to_string()), "{said}");
}
