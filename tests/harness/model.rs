//! A real codex without a key or a network: its model is a script.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::command::{DISTRO_PYTHON, program, stdout};

/// `model/responses.py`, with a character.
pub(crate) struct Model {
    child: Child,
    port: u16,
}

impl Model {
    #[track_caller]
    pub(crate) fn start(character: &str) -> Self {
        let mut script = program(DISTRO_PYTHON);
        script.arg(here().join("model/responses.py")).arg(character);
        let mut child = script.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        Self {
            child,
            port: line.trim().parse().expect("the port of the model"),
        }
    }

    /// Writes the configuration that makes codex ask this model.
    pub(crate) fn configure(&self, home: &Path) {
        let config = format!(
            r#"model = "gpt-5.5"
model_provider = "script"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[notice]
model_migrations = {{ "gpt-5.5" = "gpt-6-sol" }}
[model_providers.script]
name = "script"
base_url = "http://127.0.0.1:{}/v1"
wire_api = "responses"
env_key = "SCRIPT_KEY"
request_max_retries = 0
stream_max_retries = 0
"#,
            self.port
        );
        fs::write(home.join("config.toml"), config).unwrap();
    }

    /// The pinned codex; brought from npm the first time.
    #[track_caller]
    pub(crate) fn codex() -> PathBuf {
        stdout(Command::new("bash").arg(here().join("codex.sh"))).into()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
