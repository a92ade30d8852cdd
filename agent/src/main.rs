//! Parses the command line, runs the command, and maps its result to an exit code.

use std::{
    env::{self, VarError},
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use agent::{
    cli::{Cli, Command},
    client,
    coordinator::coordinate,
    fly,
    machine::boot,
    serve::serve,
    smoke::{exercises, smoke},
    terminal_output::escaped,
};
use anyhow::{Context, Result};
use clap::Parser;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start_log().and_then(|()| run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit code has to do.
            // It may quote a server, and is read on a person's terminal.
            let error = escaped(&format!("{error:#}"));
            drop(writeln!(io::stderr(), "agent: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error what `AGENT_LOG` selects.
fn start_log() -> Result<()> {
    let filter = match env::var("AGENT_LOG") {
        Ok(filter) => EnvFilter::try_new(&filter).with_context(|| format!("AGENT_LOG={filter}"))?,
        Err(VarError::NotPresent) => EnvFilter::new("info,rmcp=warn"),
        Err(error) => return Err(error).context("AGENT_LOG"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}

fn run(command: Command) -> Result<()> {
    // Two threads are enough for what is mostly waiting.
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve(args.options()?).await,
            Command::Start(args) => client::start(&args.remote.server()?, args.resume).await,
            Command::Message(args) => client::message(&args.remote.server()?, args.text()?).await,
            Command::Live(args) => client::live(&args.remote.server()?, args.options()).await,
            Command::Export(args) => client::export(&args.remote.server()?, args.options()).await,
            Command::Terminal(args) => client::terminal(&args.remote.server()?, args.raw).await,
            Command::Status(args) => client::status(&args.server()?).await,
            Command::Coordinator(args) => coordinate(args.options()?).await,
            Command::Machines(args) => fly::run(args.options()?).await,
            Command::Boot(args) => boot(&args.options()?).await,
            Command::Smoke(args) => smoke(&args.options()?).await,
            Command::Exercises(args) => exercises::serve(args.options()?).await,
        }
    });
    // Otherwise this would wait for a thread that reads standard input.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}
