//! Only disks that blockd makes are mounted, unless the user trusts the server.

use std::{fs, process::Command};

use rustix::process::Signal;

use crate::harness::{Bench, failure, git, run, send};

/// Without the trust in any server that the images of the other tests need.
fn wary(mut command: Command) -> Command {
    command.env_remove("BLOCKD_ANY_EXT4");
    command
}

#[test]
fn an_ext4_of_others_is_mounted_only_if_that_is_asked_for() {
    let bench = Bench::new();
    for more in [&[][..], &["--read-only"], &["--cow", "block"]] {
        let error = failure(&mut wary(bench.attach_command("repo", more)));
        assert!(
            error.contains("no ext4 that blockd makes: its s_feature_"),
            "{error}"
        );
        assert!(error.contains("--any-ext4"), "{error}");
        bench.nothing_is_left();
    }
    run(&mut wary(bench.attach_command("repo", &["--any-ext4"])));
    bench.detach(&[]);
    bench.nothing_is_left();
}

/// Images of every kind, and one that was written to, after a clean unmount and after
/// a kill.
#[test]
fn the_images_of_blockd_are_mounted() {
    let bench = Bench::serving(|repositories| {
        let repository = repositories.join("repo");
        fs::create_dir(&repository).unwrap();
        fs::write(repository.join("file"), "x\n").unwrap();
        git(&repository, &["init", "-q", "-b", "main"]);
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "-q", "-m", "first"]);
    });
    let attach = |export: &str, more: &[&str]| {
        run(&mut wary(bench.attach_command(export, more)));
    };
    for export in ["repo@main", "repo@main:history=none", "repo@main:free=1G"] {
        attach(export, &["--read-only"]);
        bench.detach(&[]);
    }
    let written = bench.mountpoint().join("written");
    for round in ["1", "2", "3"] {
        attach("repo@main", &["--cow", "block"]);
        fs::write(&written, round).unwrap();
        run(Command::new("sync").arg("-f").arg(&written));
        if round == "2" {
            send(bench.relay(), Signal::KILL);
        }
        bench.detach(&[]);
        bench.nothing_will_be_left();
    }
    attach("repo@main", &["--cow", "block"]);
    assert_eq!(fs::read_to_string(&written).unwrap(), "3");
    bench.detach(&["--discard"]);
    bench.nothing_is_left();
}
