//! gix, by which blockd itself reads repositories: here a work tree.

use std::path::Path;

use gix::{
    bstr::ByteSlice,
    index::{
        entry::{Stat, stat::Options},
        fs::Metadata,
    },
};

use super::twins;

/// HEAD, the refs, the history and the index with its times, as gix reads them.
fn told_by_gix(tree: &Path) -> String {
    let repo = gix::open(tree).unwrap();
    let mut lines = vec![
        format!("{:?}", repo.head_name().unwrap()),
        repo.head_id().unwrap().to_string(),
    ];
    for reference in repo.references().unwrap().all().unwrap() {
        let reference = reference.unwrap();
        lines.push(format!("{:?} {:?}", reference.name(), reference.target()));
    }
    for commit in repo.head_id().unwrap().ancestors().all().unwrap() {
        let commit = commit.unwrap().object().unwrap();
        let message = commit.message().unwrap().summary().to_string();
        lines.push(format!("{} {message}", commit.id));
    }
    let index = repo.index().unwrap();
    for entry in index.entries() {
        let path = entry.path(&index);
        let file = Metadata::from_path_no_follow(&tree.join(path.to_path().unwrap())).unwrap();
        let is_known = entry
            .stat
            .matches(&Stat::from_fs(&file).unwrap(), Options::default());
        lines.push(format!(
            "{path} {} {:?}, unchanged: {is_known}",
            entry.id, entry.mode
        ));
    }
    lines.join("\n")
}

#[test]
fn gix() {
    let (_server, twins) = twins();
    let [attached, cloned] = twins.both().map(|twin| told_by_gix(&twin.tree));
    assert_eq!(attached, cloned);
}
