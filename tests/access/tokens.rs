//! Tokens, and what they open.

use std::fs;

use super::{Guarded, info, refusal};
use crate::harness::{Mounted, fails, program, run, stdout};

#[test]
fn a_token_opens_what_it_is_for_and_nothing_else() {
    let guarded = Guarded::new();
    let server = guarded.serve(&[]);
    let [main, before] = &guarded.commits;
    let full = guarded.token("one", "team/app", &[]);
    let commit = guarded.token("one", &format!("team/app@{main}"), &["--history", "none"]);
    let all = guarded.token("one", "team/*", &[]);
    let foreign = guarded.token("two", "team/app", &[]);
    let claimed = guarded.token("two", "team/app", &["--key-id", "one"]);
    let beyond = guarded.token("one", "docs", &[]);
    for (export, answer) in [
        (format!("team/app@main:token={full}"), Ok(main)),
        (
            format!("team/app.git@main~1:uid=7:token={full}"),
            Ok(before),
        ),
        (format!("team/app:token={commit}:history=none"), Ok(main)),
        (format!("team/app@{main}:token={commit}:path=src"), Ok(main)),
        (format!("team/other@main:token={all}"), Ok(main)),
        ("docs:history=none".to_owned(), Ok(main)),
        ("docs".to_owned(), Err("ask for history=none")),
        (format!("docs:token={beyond}"), Err("ask for history=none")),
        (
            format!("team/app:token={commit}"),
            Err("ask for history=none"),
        ),
        (
            format!("team/app@{before}:history=none:token={commit}"),
            Err("you may open one commit"),
        ),
        (
            format!("team/other:token={full}"),
            Err("there is no repository"),
        ),
        ("team/app".to_owned(), Err("there is no repository")),
        (String::new(), Ok(main)),
        (
            format!("team/app:token={foreign}"),
            Err("the token is not valid here"),
        ),
        (
            format!("team/app:token={claimed}"),
            Err("the token is not valid here"),
        ),
        (
            format!("none/such:token={foreign}"),
            Err("the token is not valid here"),
        ),
        (
            "team/app:token=x".to_owned(),
            Err("the token is not valid here"),
        ),
        ("team/app:token=".to_owned(), Err("a token has 1 to")),
    ] {
        let export = if export.is_empty() {
            ":history=none".to_owned()
        } else {
            export
        };
        match answer {
            Ok(commit) => {
                let said = stdout(&mut info(&server, &export));
                assert!(said.contains(commit.as_str()), "{export}: {said}");
                let shown = said.lines().filter(|line| !line.contains("uri:"));
                assert!(!shown.collect::<String>().contains("token"), "{said}");
            }
            Err(reason) => {
                let said = refusal(&server, &export);
                assert!(said.contains(reason), "{export}: {said}");
            }
        }
    }
    assert!(!server.log().contains("eyJ"), "{}", server.log());
}

/// What may not be opened, and what is not there: the same answer to both.
#[test]
fn nothing_is_learnt_of_what_may_not_be_opened() {
    let guarded = Guarded::new();
    let server = guarded.serve(&[]);
    let token = guarded.token("one", "team/app", &[]);
    let answer = |repository: &str, rest: &str| {
        let said = refusal(&server, &format!("{repository}{rest}"));
        said.replace(repository, "REPO")
    };
    for rest in [
        "",
        "@main",
        "@nothing",
        ":history=none",
        &format!(":token={token}"),
    ] {
        assert_eq!(answer("team/other", rest), answer("team/nothing", rest));
    }
    let mut list = program("nbdinfo");
    let socket = server.socket();
    let listed = stdout(
        list.arg("--list")
            .arg(format!("nbd+unix:///?socket={}", socket.display())),
    );
    assert!(
        listed.contains("docs") && !listed.contains("team"),
        "{listed}"
    );
}

/// By another implementation of the same specifications.
#[test]
fn a_token_that_openssl_has_signed_is_read_until_it_expires() {
    let guarded = Guarded::new();
    let server = guarded.serve(&[]);
    let claims = |more: &str, expires: u64| {
        format!(r#"{{"aud":"blockd","exp":{expires},"repo":"team/app","history":"full"{more}}}"#)
    };
    let later = 4_000_000_000;
    for (claims, answer) in [
        (claims(r#","ver":1"#, later), None),
        (
            claims(r#","ver":1"#, 1_700_000_000),
            Some("the token has expired"),
        ),
        (claims(r#","ver":2"#, later), Some("of a newer release")),
        (claims(r#","ver":1,"only":"x""#, later), Some("not valid")),
        (claims("", later), Some("not valid")),
    ] {
        let token = guarded.signed_by_openssl("one", &claims);
        let export = format!("team/app:token={token}");
        match answer {
            None => drop(run(&mut info(&server, &export))),
            Some(reason) => {
                let said = refusal(&server, &export);
                assert!(said.contains(reason), "{claims}: {said}");
            }
        }
    }
}

/// The relay has it, and nobody else: no file, no argument, no log.
#[test]
fn an_attachment_keeps_its_token_to_itself() {
    let guarded = Guarded::new();
    let mut server = guarded.serve(&[]);
    let token = guarded.token("one", "team/app", &[]);
    let file = guarded.folder.path().join("token");
    fs::write(&file, format!("{token}\n")).unwrap();
    let mounted = Mounted::nowhere();
    let uri = server.uri("team/app@main");
    let said = fails(&mut mounted.attach_command(&uri));
    assert!(said.contains("there is no repository"), "{said}");
    let mut attach = mounted.attach_command(&uri);
    run(attach.arg("--token-file").arg(&file));
    fs::remove_file(&file).unwrap();
    mounted.assert_clean();
    server.kill();
    server.start_again();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    run(&mut mounted.git(&["fsck", "--no-progress"]));
    let mut search = program("grep");
    search.args(["-r", "-l", "-a", "-e", &token]);
    let found = search.arg(mounted.state()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let commands = fs::read_dir("/proc").unwrap().flatten();
    let mut commands = commands.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let shown = |command: Vec<u8>| String::from_utf8_lossy(&command).contains(&token);
    assert!(!commands.any(shown));
    assert!(!mounted.status().to_string().contains(&token));
    assert!(!server.log().contains(&token));
    mounted.detach();
    // From the environment, and in the URI, as other clients have it.
    run(mounted.attach_command(&uri).env("BLOCKD_TOKEN", &token));
    mounted.detach();
    run(&mut mounted.attach_command(&server.uri(&format!("team/app@main:token={token}"))));
    assert!(!mounted.status().to_string().contains(&token));
    mounted.detach();
}
