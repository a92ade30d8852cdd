//! A run as it is played again: when its output came, and the asciicast of it.

use std::{fs, path::PathBuf, process::Command};

use reqwest::StatusCode;

use crate::harness::{Server, signal};

impl Server {
    /// The files that say when the output of the only run came.
    fn times_files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.path("logs")).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "times"))
            .collect()
    }

    /// The output of the only run, as asciinema reads it.
    fn exported(&self) -> Vec<u8> {
        let file = self.path("run.cast");
        self.run(&["export", &self.url, "--output", file.to_str().unwrap()]);
        // Its module is for Debian's interpreter, and needs a terminal as a program.
        let shown = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve/play.py"))
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&shown.stderr);
        assert!(shown.status.success(), "{said}");
        shown.stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_exported_whole() {
    let mut server = Server::started();
    for text in ["one", "你好 🦀", "three"] {
        server.run(&["message", &server.url, text]);
        server.shows(text).await;
    }
    assert_eq!(server.terminate(), 0);
    server.restart_after_its_end();
    assert_eq!(server.exported(), server.logged());
    let run = server.text("/live/runs").await;
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    let name = run[0]["run"].as_str().unwrap();
    let times = server.text(&format!("/live/runs/{name}/times")).await;
    let mut lines = times.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("agent-times 1 0 "), "{first}");
    assert!(first.ends_with(" 120x40"), "{first}");
    let counts = lines.map(|line| line.split_once(' ').unwrap().1.parse::<u64>().unwrap());
    let logged = u64::try_from(server.logged().len()).unwrap();
    assert_eq!(counts.sum::<u64>(), logged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_agent_was_killed_is_exported_whole() {
    let mut server = Server::started();
    server.run(&["message", &server.url, "the last words"]);
    server.shows("the last words").await;
    signal("KILL", server.pid());
    server.restart_after_its_end();
    assert_eq!(server.exported(), server.logged());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_of_a_run_is_said() {
    let mut server = Server::started();
    let name = server.status().await["run"].as_str().unwrap().to_owned();
    assert_eq!(server.terminate(), 0);
    server.restart_after_its_end();
    let files = server.times_files();
    assert_eq!(files.len(), 1, "{files:?}");
    fs::remove_file(&files[0]).unwrap();
    let answer = server.get(&format!("/live/runs/{name}/times"), &[]).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let said = answer.text().await.unwrap();
    assert!(said.contains("it is not known when the output"), "{said}");
    for (run, said) in [
        (name.as_str(), "it is not known when the output"),
        ("1", "there is no such run: see /live/runs"),
        ("../1", "a run is named by a number"),
    ] {
        let file = server.path("none.cast");
        let output = server.output(&["export", &server.url, run, "-o", file.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(said), "{error}");
        assert!(!file.exists());
    }
    for path in ["/live/runs/1/times", "/live/runs/1/view"] {
        let answer = server.get(path, &[]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}
