//! The command line, and the variables of the environment that stand for its
//! flags. Each command has a file; nothing else reads the environment.

pub mod coordinator;
mod environment;
pub mod export;
pub mod fly;
mod http;
pub mod live;
pub mod machine;
pub mod message;
pub mod remote;
pub mod serve;
pub mod smoke;
pub mod start;
pub mod terminal;

use clap::{Parser, Subcommand};

use self::{
    coordinator::Coordinator,
    export::Export,
    fly::Machines,
    live::Live,
    machine::Boot,
    message::Message,
    remote::Remote,
    serve::Serve,
    smoke::{Exercises, Smoke},
    start::Start,
    terminal::Terminal,
};

/// Runs codex in a terminal of its own, driven over MCP, and shows what it does.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve MCP, /live and /terminal for one codex.
    Serve(Box<Serve>),
    /// Start codex on a server.
    Start(Start),
    /// Send codex a message.
    Message(Message),
    /// Print the output of codex, byte for byte; on a terminal, what draws.
    Live(Live),
    /// Write a run as an asciicast, which asciinema and other players show.
    Export(Export),
    /// Use codex's terminal; Ctrl+] detaches.
    Terminal(Terminal),
    /// Print what codex is doing.
    Status(Remote),
    /// Wake the machines of a Fly app on demand, and have requests replayed there.
    Coordinator(Box<Coordinator>),
    /// Create, start, stop, resize, restart and destroy machines of a Fly app.
    Machines(Machines),
    /// Run a machine: attach its repository, serve, upload its changes.
    Boot(Box<Boot>),
    /// Test a machine, and print a verdict; the exit status says whether it passed.
    Smoke(Smoke),
    /// Deploy exercises on this machine for `agent smoke`, and judge their solutions.
    #[command(alias = "ground")]
    Exercises(Exercises),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn every_flag_of_serve_has_a_variable_in_the_environment() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        let serve = cli.find_subcommand("serve").unwrap();
        for flag in serve.get_arguments() {
            let name = flag.get_id().as_str().to_uppercase();
            // The platform names the machine.
            let prefix = if name == "MACHINE_ID" { "FLY" } else { "AGENT" };
            let variable = flag.get_env().and_then(|variable| variable.to_str());
            assert_eq!(variable, Some(format!("{prefix}_{name}").as_str()));
        }
    }
}
