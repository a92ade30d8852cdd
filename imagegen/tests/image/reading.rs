//! Reads of any offset and length give the same bytes.

use std::process::Command;

use imagegen::Kind;
use imagegen::image::{Image, Options, Origin};

use crate::harness::{TestRepo, bare, file, mixed, whole};

/// The whole image, in reads of `step` bytes.
fn stepwise(image: &Image, step: usize) -> Vec<u8> {
    let mut bytes = vec![0xff; usize::try_from(image.size()).unwrap()];
    let mut offset = 0;
    for piece in bytes.chunks_mut(step) {
        image.read_at(offset, piece).unwrap();
        offset += u64::try_from(piece.len()).unwrap();
    }
    bytes
}

#[test]
fn reads_of_any_length_give_the_same_bytes() {
    let (repo, head) = TestRepo::holding(&[mixed(), file("l", vec![7; 600_000])].concat());
    for options in [
        Options::default(),
        Options {
            free: 300_000_000,
            ..bare()
        },
    ] {
        let image = repo.open(head, &options).unwrap();
        let expected = whole(&image);
        for step in [3 << 20, 70_001, 4097, 4095] {
            assert!(stepwise(&image, step) == expected, "steps of {step}");
        }
        // Small reads in the metadata, where every block is different.
        let prefix = usize::try_from(image.prefix()).unwrap();
        for (at, piece) in expected[..prefix].chunks(509).enumerate() {
            let mut bytes = vec![0; piece.len()];
            image
                .read_at(u64::try_from(at * 509).unwrap(), &mut bytes)
                .unwrap();
            assert!(bytes == piece, "509 bytes at {}", at * 509);
        }
    }
}

#[test]
fn allocated_runs_and_holes_tile_the_disk_and_holes_are_zeroes() {
    let (repo, head) = TestRepo::holding(&mixed());
    let image = repo
        .open(
            head,
            &Options {
                free: 50_000_000,
                ..Options::default()
            },
        )
        .unwrap();
    let bytes = whole(&image);
    let (mut offset, mut runs) = (0, Vec::new());
    while let Some(run) = image.allocated(offset) {
        assert!(run.length > 0);
        let start = usize::try_from(offset).unwrap();
        let end = start + usize::try_from(run.length).unwrap();
        assert!(run.allocated || bytes[start..end].iter().all(|byte| *byte == 0));
        runs.push(run.allocated);
        offset += run.length;
    }
    assert_eq!(offset, image.size());
    assert!(runs.contains(&false) && runs[0]);
}

#[test]
fn cached_reads_give_the_same_bytes() {
    let (repo, head) = TestRepo::holding(&mixed());
    let cold = repo.open(head, &Options::default()).unwrap();
    let mut bytes = vec![0; usize::try_from(cold.size()).unwrap()];
    assert!(
        !cold.try_read_cached(0, &mut bytes).unwrap(),
        "nothing is cached yet"
    );
    let expected = whole(&cold);
    let mut cached = 0;
    for (at, piece) in expected.chunks(4096).enumerate() {
        let mut block = [0; 4096];
        if cold
            .try_read_cached(u64::try_from(at * 4096).unwrap(), &mut block)
            .unwrap()
        {
            assert_eq!(block, piece);
            cached += 1;
        }
    }
    assert!(
        cached > expected.len() / 4096 / 2,
        "only {cached} blocks are cached"
    );
}

#[test]
fn two_opens_give_the_same_bytes() {
    let (repo, head) = TestRepo::holding(&mixed());
    let one = repo.open(head, &Options::default()).unwrap();
    let other = repo.open(head, &Options::default()).unwrap();
    assert!(whole(&one) == whole(&other));
}

#[test]
fn two_servers_give_the_same_bytes() {
    let (repo, head) = TestRepo::holding(&mixed());
    let [one, other] = ["one", "other"].map(|state| repo.snapshot(state, head).unwrap());
    assert_eq!(one.id(), other.id());
    let images = [one, other].map(|snapshot| {
        Image::open(Origin::Snapshot(snapshot), head, &Options::default()).unwrap()
    });
    assert!(whole(&images[0]) == whole(&images[1]));
}

#[test]
fn without_history_only_the_commit_matters() {
    let (repo, head) = TestRepo::holding(&mixed());
    let before = whole(&repo.open(head, &bare()).unwrap());
    repo.git(&["tag", "later"]);
    repo.git(&["repack", "-adfq"]);
    let snapshot = repo.snapshot("another", head).unwrap();
    let later = Image::open(Origin::Snapshot(snapshot), head, &bare()).unwrap();
    assert!(whole(&later) == before);
    assert!(whole(&repo.open_live(head, &bare()).unwrap()) == before);
}

#[test]
fn without_history_there_is_no_dot_git() {
    let (repo, head) = TestRepo::holding(&mixed());
    let with = repo.dump_all(&repo.open(head, &Options::default()).unwrap(), "with");
    let without = repo.dump_all(&repo.open(head, &bare()).unwrap(), "without");
    assert!(with.join(".git/objects/pack").is_dir());
    assert!(without.join("README").is_file() && !without.join(".git").exists());
}

#[test]
fn a_subtree_has_the_files_of_the_whole_tree() {
    let (repo, head) = TestRepo::holding(&mixed());
    let all = repo.dump_all(&repo.open(head, &bare()).unwrap(), "all");
    for path in ["sub", "sub/deep", "sub/deep/er", "sub/deep/er/"] {
        let options = Options {
            path: path.into(),
            ..Options::default()
        };
        let name = path.replace('/', "-");
        let part = repo.dump_all(&repo.open(head, &options).unwrap(), &name);
        assert!(!part.join(".git").exists());
        let mut diff = Command::new("diff");
        diff.args(["-r", "--no-dereference"])
            .arg(all.join(path))
            .arg(&part);
        let output = diff.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test]
fn reads_past_the_end_are_errors() {
    let (repo, head) = TestRepo::holding(&mixed());
    let image = repo.open(head, &bare()).unwrap();
    let size = image.size();
    for (offset, length) in [
        (size, 1),
        (size - 1, 2),
        (u64::MAX, 1),
        (u64::MAX - 4095, 4096),
    ] {
        let error = image.read_at(offset, &mut vec![0; length]).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(&offset.to_string()), "{error}");
    }
    image.read_at(size, &mut []).unwrap();
    assert!(image.allocated(size).is_none() && image.allocated(u64::MAX).is_none());
    assert_eq!(image.describe(size), "<past the end>");
    let described = (0..size)
        .step_by(4096)
        .map(|at| image.describe(at))
        .collect::<Vec<_>>();
    assert!(
        described.contains(&"sub/deep/er/text".to_owned()),
        "{described:?}"
    );
}
