//! Writing a run as an asciicast.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use reqwest::Response;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::{asciicast::Asciicast, server::Server};
use crate::{run_times::Line, serve::screen::Size};

/// Which run is written, and where.
#[derive(Debug, Clone)]
pub struct Export {
    /// Its name; without it, the last.
    pub run: Option<String>,
    /// The file; without it, standard output.
    pub output: Option<PathBuf>,
}

/// Writes a run as an asciicast. A file is there when it is complete.
///
/// # Errors
///
/// When the server does not answer, has no such run, or does not know when its
/// output came; or when the file cannot be written.
pub async fn export(server: &Server, options: Export) -> Result<()> {
    let run = match options.run {
        Some(run) => run.parse().with_context(|| {
            format!(
                "a run is named by a number, not {run:?}: see {}/live/runs",
                server.url
            )
        })?,
        None => last_run(server).await?,
    };
    let Some(path) = options.output else {
        return write(server, run, BufWriter::new(io::stdout()))
            .await
            .map(drop);
    };
    let failed = || format!("cannot write {}", path.display());
    let file = NamedTempFile::new_in(directory(&path)).with_context(failed)?;
    let (file, new) = file.into_parts();
    write(server, run, BufWriter::new(file)).await?;
    new.persist(&path).with_context(failed)?;
    Ok(())
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

async fn last_run(server: &Server) -> Result<u64> {
    let runs = server.get("/live/runs").await?.bytes().await?;
    let runs: Vec<Value> = serde_json::from_slice(&runs).context("/live/runs is no list")?;
    let last = runs.last().context("there is no run yet")?;
    let name = last["run"].as_str().context("a run has no name")?;
    name.parse().context("a run is named by a number")
}

async fn write<W: Write>(server: &Server, run: u64, out: W) -> Result<W> {
    let path = format!("/live/runs/{run}");
    let times = server.get(&format!("{path}/times")).await?.text().await?;
    let mut lines = times.lines();
    let first = lines.next().context("it is not known when output came")?;
    let Line::Segment {
        offset,
        began,
        size,
    } = first.parse()?
    else {
        bail!("{path}/times does not say when the run began");
    };
    let output = server.get(&format!("{path}?offset={offset}")).await?;
    let title = format!("codex, run {run}");
    let mut player = Player {
        cast: Asciicast::begin(out, size, began / 1000, &title)?,
        output: Output::new(output),
        began,
        at: began,
        offset,
    };
    for line in lines {
        player.play(line.parse()?).await?;
    }
    player.end().await
}

/// Puts the output and its times together.
struct Player<W> {
    cast: Asciicast<W>,
    output: Output,
    /// In milliseconds since 1970.
    began: u64,
    /// When the last line was, likewise.
    at: u64,
    offset: u64,
}

impl<W: Write> Player<W> {
    async fn play(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Segment {
                offset,
                began,
                size,
            } => {
                let uncounted = offset.checked_sub(self.offset);
                self.output(uncounted.context("the times count too many bytes")?)
                    .await?;
                // The clock may have been set back.
                self.at = self.at.max(began);
                self.resized(size)
            }
            Line::Output { later, bytes } => {
                self.wait(later)?;
                self.output(bytes).await
            }
            Line::Resized { later, size } => {
                self.wait(later)?;
                self.resized(size)
            }
        }
    }

    fn wait(&mut self, later: u64) -> Result<()> {
        let at = self.at.checked_add(later);
        self.at = at.context("the times are beyond all clocks")?;
        Ok(())
    }

    fn resized(&mut self, size: Size) -> Result<()> {
        Ok(self.cast.resized(self.passed(), size)?)
    }

    async fn output(&mut self, count: u64) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let piece = self.output.next(left).await?;
            let piece = piece.context("the output is shorter than its times say")?;
            let length = u64::try_from(piece.len())?;
            self.cast.output(self.passed(), &piece)?;
            left -= length;
            self.offset += length;
        }
        Ok(())
    }

    fn passed(&self) -> Duration {
        Duration::from_millis(self.at - self.began)
    }

    /// What no line counts came with the last one.
    async fn end(mut self) -> Result<W> {
        let passed = self.passed();
        while let Some(piece) = self.output.next(u64::MAX).await? {
            self.cast.output(passed, &piece)?;
        }
        Ok(self.cast.end(passed)?)
    }
}

/// The bytes of a run, as they come.
struct Output {
    answer: Response,
    /// What has come and is not used yet.
    come: bytes::Bytes,
}

impl Output {
    fn new(answer: Response) -> Self {
        let come = bytes::Bytes::new();
        Self { answer, come }
    }

    /// The next bytes, at most `limit`; `None` at the end.
    async fn next(&mut self, limit: u64) -> Result<Option<bytes::Bytes>> {
        while self.come.is_empty() {
            match self.answer.chunk().await? {
                Some(come) => self.come = come,
                None => return Ok(None),
            }
        }
        let all = self.come.len();
        // What does not fit is more than all.
        let length = usize::try_from(limit).map_or(all, |limit| limit.min(all));
        Ok(Some(self.come.split_to(length)))
    }
}
