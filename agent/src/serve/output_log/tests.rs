use std::{fs, io::Read as _, os::unix::fs::PermissionsExt, sync::Arc, thread};

use tempfile::{TempDir, tempdir};

use super::{Limits, OutputLog, Reader, Runs};
use crate::{run_times::Line, serve::screen::Size};

const SMALL: Limits = Limits {
    segment: 1000,
    run: 3000,
    total: 10_000,
};

fn size() -> Size {
    "120x40".parse().unwrap()
}

fn log(limits: Limits) -> (TempDir, Arc<OutputLog>) {
    let directory = tempdir().unwrap();
    let log = OutputLog::create(directory.path(), limits, size()).unwrap();
    (directory, Arc::new(log))
}

/// The byte that belongs at an offset.
fn byte(offset: u64) -> u8 {
    u8::try_from(offset * 31 % 251).unwrap()
}

fn bytes(from: u64, length: u64) -> Vec<u8> {
    (from..from + length).map(byte).collect()
}

fn read_all(reader: &mut Reader) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 333]);
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => return all,
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn bytes_are_read_from_any_offset_across_segments() {
    let (_directory, log) = log(SMALL);
    log.append(&bytes(0, 2500)).unwrap();
    for offset in [0, 1, 999, 1000, 1001, 2499, 2500] {
        assert_eq!(
            read_all(&mut log.reader(offset)),
            bytes(offset, 2500 - offset)
        );
    }
    assert_eq!(read_all(&mut log.reader(9999)), b"");
}

#[test]
fn the_end_is_whole_across_segments() {
    let (_directory, log) = log(SMALL);
    assert_eq!(log.end_text(10).unwrap(), "");
    log.append("ab".repeat(600).as_bytes()).unwrap();
    assert_eq!(log.end_text(300).unwrap(), "ab".repeat(150));
    log.append(&b"c".repeat(5000)).unwrap();
    let retained = usize::try_from(log.extent().end - log.extent().first).unwrap();
    assert_eq!(log.end_text(99_999).unwrap(), "c".repeat(retained));
}

#[test]
fn old_bytes_go_and_offsets_stay() {
    let (directory, log) = log(SMALL);
    log.append(&bytes(0, 500)).unwrap();
    let mut slow = log.reader(0);
    slow.read(&mut [0; 10]).unwrap();
    log.append(&bytes(500, 9500)).unwrap();
    let extent = log.extent();
    assert_eq!((extent.first, extent.end), (7000, 10000));
    // Three segments, their times, and how much is missing.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 7);
    assert_eq!(read_all(&mut log.reader(7100)), bytes(7100, 2900));
    assert!(log.reader(10).read(&mut [0; 10]).is_err());
    // The segment that it holds can be read to its end, and nothing after it.
    let mut rest = vec![0; 2000];
    assert_eq!(slow.read(&mut rest).unwrap(), 990);
    assert_eq!(rest[..990], bytes(10, 990));
    assert!(slow.read(&mut rest).is_err());
}

#[test]
fn a_log_is_private_and_opens_again() {
    let directory = tempdir().unwrap();
    let runs = Runs::new(&directory.path().join("logs"), SMALL).unwrap();
    let (id, log) = runs.create(size()).unwrap();
    log.append(&bytes(0, 5000)).unwrap();
    log.finish();
    let (next, _) = runs.create(size()).unwrap();
    assert!(next > id);
    assert_eq!(runs.list().unwrap(), [id, next]);
    let again = Arc::new(runs.open(id).unwrap());
    assert_eq!(again.extent(), log.extent());
    let first = again.extent().first;
    assert_eq!(
        read_all(&mut again.reader(first)),
        bytes(first, 5000 - first)
    );
    for entry in fs::read_dir(directory.path().join(format!("logs/{id}"))).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(runs.open("12".parse().unwrap()).is_err());
}

#[test]
fn the_oldest_runs_go_when_all_are_too_large() {
    let directory = tempdir().unwrap();
    let runs = Runs::new(&directory.path().join("logs"), SMALL).unwrap();
    let mut all = Vec::new();
    for length in [1500, 2500, 2500, 2500, 10, 10] {
        let (id, log) = runs.create(size()).unwrap();
        log.append(&bytes(0, length)).unwrap();
        all.push(id);
    }
    // Three of 2,500 fit beside one that may become 3,000 long; 2,520 more do not.
    assert_eq!(runs.list().unwrap(), all[2..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_from_many_offsets_get_exact_bytes() {
    const LENGTH: u64 = 4_000_000;
    let limits = Limits {
        segment: 300_000,
        ..Limits::default()
    };
    let (_directory, log) = log(limits);
    let writer = Arc::clone(&log);
    let writing = thread::spawn(move || {
        for start in (0..LENGTH).step_by(8000) {
            writer.append(&bytes(start, 8000)).unwrap();
        }
        writer.finish();
    });
    let followers = (0..20).map(|index| {
        let mut reader = log.reader(index * 12345);
        tokio::spawn(async move {
            let mut expected = reader.offset();
            let mut buffer = vec![0; 4096];
            while reader.wait().await {
                let read = reader.read(&mut buffer).unwrap();
                let length = u64::try_from(read).unwrap();
                assert_eq!(buffer[..read], bytes(expected, length));
                expected += length;
            }
            expected
        })
    });
    for follower in followers.collect::<Vec<_>>() {
        assert_eq!(follower.await.unwrap(), LENGTH);
    }
    writing.join().unwrap();
}

/// A log whose folder is removed cannot create its next segment.
#[test]
fn what_cannot_be_written_is_counted_and_marked() {
    let (directory, log) = log(SMALL);
    let folder = directory.path();
    let error = {
        fs::remove_dir_all(folder).unwrap();
        log.append(&bytes(0, 2500)).unwrap_err()
    };
    assert!(!error.is_full(), "{error}");
    let extent = log.extent();
    assert_eq!((extent.end, extent.missing), (1000, 1500));
    assert_eq!(extent.error, Some(error));
    let mut held = log.reader(500);
    assert_eq!(read_all(&mut held), bytes(500, 500));
    assert_eq!(log.append(&bytes(2500, 10)), Err(error));
    assert!(!log.retry(), "there is no folder yet");
    fs::create_dir(folder).unwrap();
    assert!(log.retry());
    log.append(&bytes(2510, 90)).unwrap();
    log.finish();
    let mark =
        format!("\x18\x1b[0m\r\n[agent: 1510 bytes of output are missing here: {error}]\r\n");
    let rest = [mark.as_bytes(), &bytes(2510, 90)].concat();
    assert_eq!(read_all(&mut held), rest);
    assert_eq!(
        read_all(&mut log.reader(990)),
        [bytes(990, 10), rest].concat()
    );
    let extent = log.extent();
    assert_eq!((extent.missing, extent.error), (1510, None));
}

#[test]
fn what_is_missing_is_known_of_an_earlier_run() {
    let (directory, log) = log(SMALL);
    log.append(&bytes(0, 900)).unwrap();
    let segment = directory.path().join("00000000000000001000");
    // Something is where the next segment belongs.
    fs::create_dir(&segment).unwrap();
    log.append(&bytes(900, 400)).unwrap_err();
    log.finish();
    assert!(log.extent().finished && log.extent().error.is_some());
    fs::remove_dir(&segment).unwrap();
    let again = OutputLog::open(directory.path()).unwrap();
    assert_eq!((again.extent().end, again.extent().missing), (1000, 300));
}

fn times(log: &OutputLog) -> Vec<Line> {
    let mut text = String::new();
    log.times_text().unwrap().read_to_string(&mut text).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn each_byte_has_a_time_and_each_size_too() {
    let (directory, log) = log(SMALL);
    log.append(&bytes(0, 700)).unwrap();
    log.resized("80x24".parse().unwrap());
    for start in (700..5000).step_by(100) {
        log.append(&bytes(start, 100)).unwrap();
    }
    let first = log.extent().first;
    let mut counted = first;
    let lines = times(&log);
    for line in &lines {
        match line {
            Line::Segment { offset, size, .. } => {
                assert_eq!(*offset, counted);
                assert_eq!(size.to_string(), "80x24");
            }
            Line::Output { bytes, .. } => counted += bytes,
            Line::Resized { .. } => panic!("that was in the first segment"),
        }
    }
    assert_eq!(counted, 5000);
    log.finish();
    assert_eq!(times(&OutputLog::open(directory.path()).unwrap()), lines);
    // Those of segments that were removed are removed.
    let files = fs::read_dir(directory.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let (times, others): (Vec<_>, Vec<_>) =
        names.partition(|name| name.strip_suffix(".times").is_some());
    assert_eq!(times.len() + 1, others.len(), "{times:?} {others:?}");
}

#[test]
fn a_size_comes_where_it_was_given() {
    let (_directory, log) = log(Limits::default());
    log.append(b"wide").unwrap();
    log.resized("80x24".parse().unwrap());
    log.append(b"narrow").unwrap();
    let lines = times(&log);
    let [
        Line::Segment { size, .. },
        Line::Output { bytes: 4, .. },
        resized,
        Line::Output { bytes: 6, .. },
    ] = lines.as_slice()
    else {
        panic!("{lines:?}");
    };
    assert_eq!(size.to_string(), "120x40");
    assert!(matches!(resized, Line::Resized { size, .. } if size.to_string() == "80x24"));
}
