//! Parses, builds, runs, and maps the outcome to an exit code.

use std::{
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
};
use anyhow::Result;
use clap::Parser;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter =
        EnvFilter::try_from_env("AGENT_LOG").unwrap_or_else(|_| EnvFilter::new("info,rmcp=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when this fails.
            let _told = writeln!(io::stderr(), "agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    // Two threads are enough for what is mostly waiting.
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve(&args).await,
            Command::Start(args) => client::start(&args.remote.server()?, args.resume).await,
            Command::Message(args) => client::message(&args.remote.server()?, &args.text).await,
            Command::Live(args) => {
                client::live(&args.remote.server()?, args.offset, args.follow).await
            }
            Command::Terminal(args) => client::terminal(&args.server()?).await,
            Command::Status(args) => client::status(&args.server()?).await,
            Command::Coordinator(args) => coordinate(args.options()?).await,
            Command::Machines(args) => fly::run(args.options()?).await,
            Command::Boot(args) => boot(&args.options()?).await,
            Command::Smoke(args) => smoke(&args.options()?).await,
            Command::Exercises(args) => exercises::serve(args.options()?).await,
        }
    });
    // A thread that reads standard input would be waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}
