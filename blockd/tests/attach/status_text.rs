//! The output of status, diff and doctor.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Bench, failure, run, send, wait_until};

fn json_of(bench: &Bench, command: &str, more: &[&str]) -> Value {
    serde_json::from_str(&run(bench.blockd(&[command, "--json"]).args(more))).unwrap()
}

#[test]
fn status_shows_attachments_relays_and_kept_changes() {
    let bench = Bench::new();
    assert_eq!(json_of(&bench, "status", &[])["attachments"], json!([]));
    assert_eq!(run(&mut bench.blockd(&["status"])), "nothing is attached\n");
    let report = bench.attach("repo@1234:layout=1", &[]);
    bench.attach_at("m2", "repo@1234:layout=1", &["--read-only"]);
    fs::write(bench.path("m/new"), vec![b'x'; 100_000]).unwrap();
    let status = json_of(&bench, "status", &[]);
    let [first, second] = status["attachments"].as_array().unwrap().as_slice() else {
        panic!("{status}");
    };
    assert_eq!(first["state"], "attached");
    assert_eq!(first["export"], "repo@1234:layout=1");
    assert_eq!(first["commit"], "1234");
    assert_eq!(first["via"], "fuse");
    assert_eq!(first["device"], report["device"]);
    assert_eq!(first["shared_with"], 1);
    assert_eq!(first["relay"]["state"], "alive");
    assert_eq!(first["relay"]["upstreams"][0]["state"], "connected");
    assert!(first["relay"]["reads"].as_u64().unwrap() > 0);
    assert_eq!(first["diff"]["entries"], 1);
    assert!(first["diff"]["bytes"].as_u64().unwrap() >= 100_000);
    assert_eq!(second["diff"], Value::Null);
    bench.detach_from("m2", &[]);

    let mountpoint = bench.mountpoint();
    let one = json_of(&bench, "status", &[mountpoint.to_str().unwrap()]);
    assert_eq!(one["attachments"].as_array().unwrap().len(), 1);
    let nowhere = failure(&mut bench.blockd(&["status", "/nowhere"]));
    assert!(
        nowhere.contains("nothing is attached at /nowhere"),
        "{nowhere}"
    );

    send(bench.relay(), Signal::STOP);
    let silent = json_of(&bench, "status", &[]);
    assert_eq!(silent["attachments"][0]["relay"]["state"], "silent");
    send(bench.relay(), Signal::KILL);
    wait_until("the relay is dead", || {
        json_of(&bench, "status", &[])["attachments"][0]["relay"]["state"] == "dead"
    });
    let text = run(&mut bench.blockd(&["status"]));
    assert!(text.contains("dead: reads fail"), "{text}");
    bench.detach(&[]);
    let kept = json_of(&bench, "status", &[]);
    assert_eq!(kept["attachments"][0]["state"], "detached");
    assert_eq!(kept["attachments"][0]["diff"]["entries"], 1);
}

/// The lines of `blockd diff`.
fn diff(bench: &Bench) -> Vec<String> {
    let text = run(bench.blockd(&["diff"]).arg(bench.mountpoint()));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn diff_lists_every_kind_of_change() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    let path = tree.display().to_string();
    bench.attach("repo", &[]);
    assert_eq!(diff(&bench), Vec::<String>::new());
    fs::write(tree.join("added"), "x").unwrap();
    fs::create_dir_all(tree.join("new/deep")).unwrap();
    fs::write(tree.join("README"), "changed").unwrap();
    fs::set_permissions(
        tree.join("src/deep/1.txt"),
        PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    fs::remove_file(tree.join("src/deep/2.txt")).unwrap();
    fs::rename(tree.join("src/deep/3.txt"), tree.join("src/deep/three")).unwrap();
    fs::remove_file(tree.join("link")).unwrap();
    symlink("elsewhere", tree.join("link")).unwrap();
    fs::write(tree.join("two\nlines"), "x").unwrap();
    let mut changes = vec![
        "M README",
        "A added",
        "M link",
        "A new",
        "A new/deep",
        "M src/deep/1.txt",
        "D src/deep/2.txt",
        "R src/deep/3.txt -> src/deep/three",
        "A \"two\\nlines\"",
    ];
    assert_eq!(diff(&bench), changes);
    bench.detach(&[]);
    // The link was written anew, which the upper layer alone does not know.
    changes[2] = "A link";
    assert_eq!(diff(&bench), changes);

    let json = json_of(&bench, "diff", &[&path]);
    assert_eq!(json["exact"], false);
    assert_eq!(json["export"], "repo");
    let entry = json!({"kind": "M", "path": "src/deep/1.txt", "metadata": true});
    assert!(
        json["changes"].as_array().unwrap().contains(&entry),
        "{json}"
    );
}

#[test]
fn diff_lists_renamed_and_replaced_directories() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    let path = tree.display().to_string();
    bench.attach("repo", &[]);
    fs::rename(tree.join("src"), tree.join("source")).unwrap();
    fs::remove_file(tree.join("source/deep/4.txt")).unwrap();
    fs::write(tree.join("source/deep/5.txt"), "changed").unwrap();
    let changes = [
        "R src -> source",
        "D source/deep/4.txt",
        "M source/deep/5.txt",
    ];
    assert_eq!(diff(&bench), changes);
    bench.detach(&[]);
    assert_eq!(diff(&bench), changes);
    bench.detach(&["--discard"]);
    let nothing = failure(&mut bench.blockd(&["diff", &path]));
    assert!(nothing.contains("no changes are kept"), "{nothing}");

    bench.attach("repo", &[]);
    fs::remove_dir_all(tree.join("src")).unwrap();
    fs::create_dir(tree.join("src")).unwrap();
    fs::write(tree.join("src/x"), "x").unwrap();
    assert_eq!(diff(&bench), ["D src", "A src", "A src/x"]);
}

#[test]
fn doctor_reports_faults_and_leftovers() {
    let bench = Bench::new();
    let well = json_of(&bench, "doctor", &[]);
    assert_eq!(well["works"], true, "{well}");
    bench.attach("repo", &[]);
    run(Command::new("umount").arg(bench.mountpoint()));
    let text = run(&mut bench.blockd(&["doctor"]));
    let fix = format!("fix: blockd detach {}", bench.mountpoint().display());
    assert!(
        text.contains("is half attached") && text.contains(&fix),
        "{text}"
    );
    bench.detach(&[]);
    bench.nothing_is_left();
    assert!(!run(&mut bench.blockd(&["doctor"])).contains("half attached"));

    let mut nobody = Command::new("setpriv");
    nobody.args([
        "--bounding-set=-all",
        "--inh-caps=-all",
        env!("CARGO_BIN_EXE_blockd"),
    ]);
    let error = failure(nobody.args(["doctor", "--state"]).arg(bench.state()));
    assert!(
        error.contains("attach cannot work here: CAP_SYS_ADMIN"),
        "{error}"
    );
}

#[test]
fn every_command_refuses_a_state_directory_of_another_format() {
    let bench = Bench::new();
    fs::create_dir(bench.state()).unwrap();
    fs::write(bench.state().join("version"), "9\n").unwrap();
    let error = bench.refused("repo", &[]);
    assert!(error.contains("has format 9"), "{error}");
    for command in ["detach", "status", "diff"] {
        let error = failure(bench.blockd(&[command]).arg(bench.mountpoint()));
        assert!(
            error.contains("has format 9") && error.contains("--state"),
            "{error}"
        );
    }
    let error = failure(&mut bench.blockd(&["doctor"]));
    assert!(
        error.contains("attach cannot work here: state directory"),
        "{error}"
    );
}
