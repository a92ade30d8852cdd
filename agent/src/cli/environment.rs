//! What of this machine's environment is handed on: what is on a list, and what is
//! passed by name. All else may be a secret: of the store, of the platform, of
//! whoever made the image.

use std::{env, ffi::OsString, path::PathBuf};

use crate::serve::codex::INHERITED;

/// What `agent serve` is told besides what codex inherits from it: the language of what
/// it starts, which machine this is, and how to report.
const FOR_SERVE: [&str; 7] = [
    "LANG",
    "LC_ALL",
    "FLY_APP_NAME",
    "FLY_MACHINE_ID",
    "FLY_REGION",
    "RUST_BACKTRACE",
    "NO_COLOR",
];
/// The beginning of our own options.
const OWN: &str = "AGENT_";
/// Those of them that are secrets, or may have one in them.
const SECRETS: [&str; 3] = ["AGENT_TOKEN", "AGENT_GRANT_KEY", "AGENT_STORE"];

/// The option that names more of them.
const PASSED: &str = "AGENT_PASS_ENV";

/// The variables that are handed on: these names among them, and those in the option
/// of `agent serve`.
pub(super) fn handed_on(passed: &[String]) -> Vec<(OsString, OsString)> {
    let optional = env::var(PASSED).unwrap_or_default();
    let optional: Vec<_> = optional.split(',').collect();
    let chosen = |name: &OsString| {
        let Some(name) = name.to_str() else {
            return false;
        };
        let own = name.starts_with(OWN) && !SECRETS.contains(&name);
        let by_name = optional.contains(&name) || passed.iter().any(|passed| passed == name);
        own || by_name || INHERITED.contains(&name) || FOR_SERVE.contains(&name)
    };
    env::vars_os().filter(|(name, _)| chosen(name)).collect()
}

/// The configuration of codex that this machine was given, which its image has, if
/// there may be one.
pub(super) fn codex_configuration() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let own = set("CODEX_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(set("HOME")?).join(".codex"));
    Some(own.or_else(home)?.join("config.toml"))
}
