//! The changes of a disk in memory, after every kind of end.

use std::{fs, os::unix::fs::FileExt, path::Path};

use proptest::{
    collection::vec,
    prelude::{Strategy, any, proptest},
    prop_oneof,
    test_runner::Config,
};
use tokio::runtime::Builder;

use super::*;
use blockd_nbd::memory::MemoryExport;

const SIZE: usize = 64 * 4096;

fn below(name: &str) -> Arc<dyn Export> {
    let bytes = (0..SIZE).map(|at| u8::try_from(at / 512 % 251).unwrap());
    Arc::new(MemoryExport::new(name, bytes.collect()))
}

fn open(folder: &Path) -> Arc<Cow> {
    Cow::open(below("disk"), folder).unwrap()
}

async fn all(disk: &Arc<Cow>) -> Vec<u8> {
    let length = u32::try_from(SIZE).unwrap();
    Arc::clone(disk).read(0, length).await.unwrap()
}

async fn write(disk: &Arc<Cow>, offset: u64, data: &[u8]) {
    let done = Arc::clone(disk).write(offset, data.to_vec(), false).await;
    done.unwrap();
}

async fn flush(disk: &Arc<Cow>) {
    Arc::clone(disk).flush().await.unwrap();
}

#[tokio::test]
async fn what_was_flushed_is_there_and_what_was_not_reads_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let mut expected = all(&disk).await;
    write(&disk, 4096, &[7; 8192]).await;
    write(&disk, 30_000, b"a few bytes").await;
    expected[4096..12_288].fill(7);
    expected[30_000..30_011].copy_from_slice(b"a few bytes");
    Arc::clone(&disk).zero(8000, 9000, false).await.unwrap();
    expected[8000..17_000].fill(0);
    flush(&disk).await;
    assert_eq!(all(&disk).await, expected);
    write(&disk, 100_000, &[9; 4096]).await;
    drop(disk);

    let disk = open(folder.path());
    assert_eq!(all(&disk).await, expected);
    let changed = disk.changed();
    assert_eq!((changed.blocks, changed.bytes), (5, 3 * 4096));
    let durable = Arc::clone(&disk).write(0, vec![1; 4096], true).await;
    durable.unwrap();
    expected[..4096].fill(1);
    drop(disk);
    assert_eq!(all(&open(folder.path())).await, expected);
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_new_records_follow_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let before = all(&disk).await;
    write(&disk, 0, &[1; 4096]).await;
    flush(&disk).await;
    let whole = fs::metadata(folder.path().join("map")).unwrap().len();
    write(&disk, 8192, &[2; 4096]).await;
    flush(&disk).await;
    let first = [&[1; 4096], &before[4096..]].concat();
    let both = all(&disk).await;
    drop(disk);
    let map = folder.path().join("map");
    let written = fs::read(&map).unwrap();
    for cut in whole..u64::try_from(written.len()).unwrap() {
        fs::write(&map, &written).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&map).unwrap();
        file.set_len(cut).unwrap();
        assert_eq!(all(&open(folder.path())).await, first, "cut at {cut}");
        assert_eq!(fs::metadata(&map).unwrap().len(), whole);
        file.write_all_at(&written[..usize::try_from(whole).unwrap()], 0)
            .unwrap();
    }
    for at in usize::try_from(whole).unwrap()..written.len() {
        let mut torn = written.clone();
        torn[at] ^= 0x20;
        fs::write(&map, &torn).unwrap();
        assert_eq!(all(&open(folder.path())).await, first, "torn at {at}");
    }
    fs::write(&map, &written).unwrap();
    assert_eq!(all(&open(folder.path())).await, both);
}

#[tokio::test]
async fn the_changes_of_another_disk_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let said = |opened: Result<Arc<Cow>>| format!("{:#}", opened.map(drop).unwrap_err());
    let busy = said(Cow::open(below("disk"), folder.path()));
    assert!(busy.contains("another relay"), "{busy}");
    drop(disk);
    let other = said(Cow::open(below("other"), folder.path()));
    assert!(
        other.contains("changes to \"disk\"") && other.contains("choose another --cow"),
        "{other}"
    );
    let map = folder.path().join("map");
    for (bytes, reason) in [
        (&b"x"[..], "cut off"),
        (&[0; 100][..], "no map of changed blocks"),
    ] {
        fs::write(&map, bytes).unwrap();
        let text = said(Cow::open(below("disk"), folder.path()));
        assert!(text.contains(reason), "{text}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize, u8),
    Zero(usize, usize),
    Flush,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let range = || (0..SIZE, 1..20_000_usize);
    prop_oneof![
        4 => (range(), any::<u8>()).prop_map(|((at, length), byte)| Step::Write(at, length, byte)),
        2 => range().prop_map(|(at, length)| Step::Zero(at, length)),
        1 => (0..1).prop_map(|_| Step::Flush),
        1 => (0..1).prop_map(|_| Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(Config::with_cases(48))]

    /// Whatever is written, the disk reads as a plain array would; and after a
    /// flush it does so when opened again.
    #[test]
    fn it_is_an_array(steps in vec(step(), 1..40)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let mut disk = open(folder.path());
            let mut array = all(&disk).await;
            for step in steps {
                match step {
                    Step::Write(at, length, byte) => {
                        let end = SIZE.min(at + length);
                        write(&disk, u64::try_from(at).unwrap(), &vec![byte; end - at]).await;
                        array[at..end].fill(byte);
                    }
                    Step::Zero(at, length) => {
                        let end = SIZE.min(at + length);
                        let (at64, length) = (u64::try_from(at).unwrap(), u64::try_from(end - at).unwrap());
                        Arc::clone(&disk).zero(at64, length, false).await.unwrap();
                        array[at..end].fill(0);
                    }
                    Step::Flush => flush(&disk).await,
                    Step::Reopen => {
                        flush(&disk).await;
                        drop(disk);
                        disk = open(folder.path());
                    }
                }
                assert!(all(&disk).await == array);
            }
        });
    }
}
