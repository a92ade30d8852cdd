//! Walks the tree of a commit, reads its blobs, and prints the time it took:
//!
//! `cargo run --release -p imagegen --example read_head -- REPOSITORY [REV]
//! [--ahead] [--walk]`
//!
//! With `--ahead`, trees are prefetched by several threads. With `--walk`, blobs
//! are not read.

#![expect(clippy::print_stdout, reason = "it is the output of a program")]

use std::{path::Path, time::Instant};

use gix::ObjectId;
use imagegen::{
    Result,
    git::{Cache, EntryMode, Objects, Repository},
};

fn main() -> Result<()> {
    let (flags, names): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let path = names.first().map_or(".", String::as_str);
    let rev = names.get(1).map_or("HEAD", String::as_str);
    let is_set = |flag: &str| flags.iter().any(|set| set == flag);

    let begin = Instant::now();
    let repository = Repository::open(Path::new(path))?;
    let commit = repository.resolve(rev)?.commit;
    let resolved = begin.elapsed();
    let cache = Cache::new(256 << 20, &std::env::temp_dir());
    let objects = repository.objects(&cache)?;
    let root = objects.commit(commit)?.tree;
    let opened = begin.elapsed();
    if is_set("--ahead") {
        objects.prefetch_trees(root);
    }
    let mut blobs = Vec::new();
    walk(&objects, root, &mut blobs)?;
    let walked = begin.elapsed();
    let bytes: u64 = blobs.iter().map(|(_, size)| size).sum();
    println!(
        "resolved {resolved:?}, opened {opened:?}, walked {walked:?}: {} blobs of {bytes} bytes",
        blobs.len()
    );
    if is_set("--walk") {
        return Ok(());
    }
    let begin = Instant::now();
    for (id, size) in &blobs {
        drop(objects.blob(id, *size)?);
    }
    println!(
        "blobs read in {:?}; the cache holds {} bytes",
        begin.elapsed(),
        cache.used()
    );
    Ok(())
}

fn walk(objects: &Objects, tree: ObjectId, blobs: &mut Vec<(ObjectId, u64)>) -> Result<()> {
    for entry in objects.tree(tree)?.iter() {
        match entry.mode {
            EntryMode::Directory => walk(objects, entry.id.to_owned(), blobs)?,
            EntryMode::Gitlink => {}
            _ => blobs.push((entry.id.to_owned(), entry.size)),
        }
    }
    Ok(())
}
