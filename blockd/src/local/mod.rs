//! A commit of a repository on this host, without a server: `blockd image` and
//! `blockd info`.

mod image_file;

pub(crate) use self::image_file::progress;

use std::{
    io::{self, Write},
    path::Path,
    time::Instant,
};

use anyhow::{Result, anyhow};

use crate::{
    cli::{ImageFile, Info, Store},
    serve::catalog::{Catalog, CatalogOptions, Facts},
    signals::{EndSignals, HangUp},
};

/// `blockd image`
///
/// # Errors
///
/// A sentence for the person who asked.
pub async fn image(args: &ImageFile) -> Result<()> {
    let (catalog, name) = local(&args.export, &args.store)?;
    let export = catalog
        .open_now(&name)
        .map_err(|error| anyhow!("{error}"))?;
    let mut signals = EndSignals::catch(HangUp::Default)?;
    tokio::select! {
        written = image_file::write(export, &args.file) => written,
        signal = signals.received() => {
            Err(anyhow!("ended by {signal}; nothing was written to {}", args.file.display()))
        }
    }
}

/// `blockd info`
///
/// # Errors
///
/// A sentence for the person who asked.
pub fn info(args: &Info) -> Result<()> {
    let start = Instant::now();
    let (catalog, name) = local(&args.export, &args.store)?;
    let facts = catalog.facts(&name).map_err(|error| anyhow!("{error}"))?;
    let took = start.elapsed();
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&facts)?)?;
        return Ok(());
    }
    let Facts {
        name,
        size,
        prefix,
        files,
        directories,
        ..
    } = &facts;
    writeln!(out, "{name}")?;
    writeln!(
        out,
        "  {size} bytes of disk, of which the first {prefix} hold all metadata"
    )?;
    writeln!(
        out,
        "  {files} files and links in {directories} directories"
    )?;
    writeln!(
        out,
        "  planned in {} ms, in {} bytes of memory",
        took.as_millis(),
        facts.memory()
    )?;
    Ok(())
}

/// The repository that an export's name begins with, and the rest of the name.
fn local(export: &str, store: &Store) -> Result<(Catalog, String)> {
    let end = export.find(['@', ':']).unwrap_or(export.len());
    let (repo, rest) = export.split_at(end);
    let path = if repo.is_empty() { "." } else { repo };
    let options = CatalogOptions {
        repos: Path::new(path).to_owned(),
        state: store.state(),
        cache: store.cache,
    };
    Ok((Catalog::new(&options)?, rest.to_owned()))
}
