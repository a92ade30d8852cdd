//! The program `blockd`: parses the command line, runs the command, and prints its
//! result or error.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use blockd::{
    attach,
    cli::{
        Cli, Command,
        diff::DiffArgs,
        mount_helper::{Failure, Helper},
        plugin::Engine,
    },
    fsmonitor, local,
    log::{self, LogFormat, LogLimit},
    plain_text, plugin, serve,
};
use blockd_nbd::printable;
use clap::Parser;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    if let Some(helper) = Helper::called() {
        write_log(LogFormat::Text, LogLimit::None);
        return help(helper);
    }
    let cli = Cli::parse();
    let (format, limit) = cli.command.log();
    write_log(format, limit);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain("blockd", &error);
            ExitCode::FAILURE
        }
    }
}

/// Does what mount(8) or umount(8) asks for.
fn help(helper: Helper) -> ExitCode {
    let name = helper.name();
    match helper.run() {
        Ok(done) => match done.map_or(Ok(()), |done| print(&done, false)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(name, &Failure::Failed(error)),
        },
        Err(failure) => failed(name, &failure),
    }
}

fn failed(name: &str, failure: &Failure) -> ExitCode {
    match failure {
        Failure::Usage(error) | Failure::Failed(error) => complain(name, error),
        // It prints to where it belongs; where that is closed, the exit code is left.
        Failure::CommandLine(error) => drop(error.print()),
    }
    ExitCode::from(failure.exit_code())
}

fn write_log(format: LogFormat, limit: LogLimit) {
    let filter = EnvFilter::try_from_env("BLOCKD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    log::write(format, limit, filter);
}

/// Where standard error is closed, only the exit code is left.
fn complain(name: &str, error: &anyhow::Error) {
    let message = message(error);
    let _written = writeln!(io::stderr(), "{name}: {}", printable(&message));
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(args) => runtime()?.block_on(serve::serve(&args.options()?)),
        Command::Relay(args) => args.run(),
        Command::RelayDaemon(args) => args.run(),
        Command::Image(args) => runtime()?.block_on(local::image(&args.options()?)),
        Command::Info(args) => local::info(&args.options()?),
        Command::Forget(args) => local::forget(&args.options()?),
        Command::Token(args) => args.run(),
        Command::CheckConfig(args) => args.run(),
        Command::Attach(args) => {
            let report = args.attach(&args.options()?)?;
            for warning in &report.warnings {
                tracing::warn!("{warning}");
            }
            print(&report, args.json)
        }
        Command::Detach(args) => print(&attach::detach(&args.options()?)?, args.json),
        Command::Plugin(args) => {
            let Engine::Docker(docker) = args.engine;
            runtime()?.block_on(plugin::docker::serve(&docker.options()?))
        }
        Command::Hydrate(args) => {
            let report = runtime()?.block_on(attach::hydrate(&args.options()?))?;
            print(&report, args.json)
        }
        Command::Status(args) => print(&attach::status(&args.options()?)?, args.json),
        Command::Diff(args) => diff(&args),
        Command::Doctor(args) => {
            let report = attach::doctor(&args.options()?);
            print(&report, args.json)?;
            report.verdict()
        }
        Command::Fsmonitor(args) => {
            let answer = fsmonitor::fsmonitor(&args.options());
            Ok(io::stdout().write_all(&answer)?)
        }
        Command::Prefetch(args) => attach::prefetch(&args.options()),
        Command::Reap(args) => attach::reap(&args.options()),
    }
}

fn diff(args: &DiffArgs) -> Result<()> {
    let report = attach::diff(&args.options()?)?;
    if !report.exact && !args.json {
        tracing::warn!("the export is not attached: replaced files are listed as added");
    }
    if report.changes.is_empty() && !args.json {
        return Ok(());
    }
    print(&report, args.json)
}

/// An error and its causes, without those that are part of another's text.
fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

fn print(report: &(impl Serialize + ToString), json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string(report)?
    } else {
        plain_text::lines(&report.to_string())
    };
    Ok(writeln!(io::stdout(), "{text}")?)
}
