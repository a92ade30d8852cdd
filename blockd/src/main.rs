//! Parses, builds, runs, and maps the outcome to an exit code.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::Result;
use blockd::{
    attach,
    cli::{Cli, Command, attach::DiffArgs},
    local, relay, serve,
};
use clap::Parser;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("BLOCKD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when this fails.
            let _told = writeln!(io::stderr(), "blockd: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(args) => runtime()?.block_on(serve::serve(&args)),
        Command::Relay(args) => relay::relay(&args),
        Command::Image(args) => runtime()?.block_on(local::image(&args)),
        Command::Info(args) => local::info(&args),
        Command::Attach(args) => {
            let report = attach::attach(&args.options()?)?;
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            print(&report, args.json)
        }
        Command::Detach(args) => print(&attach::detach(&args.options()?)?, args.json),
        Command::Hydrate(args) => {
            let hydrated = runtime()?.block_on(attach::hydrate(&args.options()?))?;
            print(&hydrated, args.json)
        }
        Command::Status(args) => print(&attach::status(&args.options()?)?, args.json),
        Command::Diff(args) => diff(&args),
        Command::Doctor(args) => {
            let findings = attach::doctor(&args.options()?);
            print(&findings, args.json)?;
            findings.verdict()
        }
        Command::ReadAhead(args) => attach::read_ahead(&args),
        Command::Settle(args) => attach::settle(&args),
    }
}

fn diff(args: &DiffArgs) -> Result<()> {
    let changes = attach::changes(&args.options()?)?;
    if !changes.exact && !args.json {
        tracing::warn!("the export is not attached: what was written anew counts as new");
    }
    if changes.changes.is_empty() && !args.json {
        return Ok(());
    }
    print(&changes, args.json)
}

/// The error and its causes, without those that were told already.
fn sentence(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

fn print(report: &(impl Serialize + ToString), json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string(report)?
    } else {
        report.to_string()
    };
    Ok(writeln!(io::stdout(), "{text}")?)
}
