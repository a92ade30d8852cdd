//! The keys of `fly.toml` that flyctl knows. Its plain `validate` does not report an
//! unknown key, and the platform ignores it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A duration: a text like `10s`, or milliseconds.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Duration {
    Text(String),
    Milliseconds(u64),
}

impl Duration {
    /// In seconds, as Go parses it; durations of several units are not accepted.
    pub(super) fn seconds(&self) -> Option<f64> {
        let text = match self {
            Self::Milliseconds(number) => {
                return Some(f64::from(u32::try_from(*number).ok()?) / 1e3);
            }
            Self::Text(text) => text,
        };
        let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let found = units.iter().find_map(|(unit, seconds)| {
            let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
            Some(number * seconds)
        });
        found.filter(|seconds| *seconds >= 0.0)
    }
}

/// A table of known keys, all of them optional.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($(#[$option:meta])* $key:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name { $($(#[$option])* pub(super) $key: Option<$kind>),* }
    };
}

table! {
    /// The whole file.
    Config {
        app: String, primary_region: String, kill_signal: String, kill_timeout: Duration,
        swap_size_mb: u32, console_command: String, build: Build, deploy: Deploy,
        env: BTreeMap<String, String>, processes: BTreeMap<String, String>, mounts: Vec<Mount>,
        http_service: HttpService, services: Vec<Service>, checks: BTreeMap<String, TopCheck>,
        machine_checks: Vec<MachineCheck>, restart: Vec<Restart>, vm: Vec<Vm>, files: Vec<File>,
    }
}
table! {
    /// `[build]`
    Build {
        args: BTreeMap<String, String>, image: String, dockerfile: String, ignorefile: String,
        #[serde(rename = "build-target")]
        target: String,
    }
}
table! {
    /// `[deploy]`
    Deploy {
        strategy: String, max_unavailable: f64, wait_timeout: Duration, release_command: String,
        release_command_timeout: Duration,
    }
}
table! {
    /// `[[mounts]]`
    Mount {
        source: String, destination: String, initial_size: String, snapshot_retention: u32,
        scheduled_snapshots: bool, auto_extend_size_threshold: u32, auto_extend_size_increment: String,
        auto_extend_size_limit: String, processes: Vec<String>,
    }
}
table! {
    /// `[http_service]`: ports 80 and 443.
    HttpService {
        internal_port: u16, force_https: bool, auto_stop_machines: String,
        auto_start_machines: bool, min_machines_running: u32, processes: Vec<String>,
        concurrency: Concurrency, http_options: HttpOptions, checks: Vec<HttpCheck>,
        machine_checks: Vec<MachineCheck>,
    }
}
table! {
    /// `[[services]]`
    Service {
        protocol: String, internal_port: u16, auto_stop_machines: String,
        auto_start_machines: bool, min_machines_running: u32, processes: Vec<String>,
        concurrency: Concurrency, ports: Vec<Exposed>, tcp_checks: Vec<TcpCheck>,
        http_checks: Vec<HttpCheck>, machine_checks: Vec<MachineCheck>,
    }
}
table! {
    /// `[….concurrency]`
    Concurrency { r#type: String, soft_limit: u32, hard_limit: u32 }
}
table! {
    /// `[[services.ports]]`
    Exposed {
        port: u16, start_port: u16, end_port: u16, handlers: Vec<String>, force_https: bool,
        http_options: HttpOptions,
    }
}
table! {
    /// `[….http_options]`
    HttpOptions { compress: bool, h2_backend: bool, idle_timeout: u32, headers_read_timeout: u32 }
}
table! {
    /// `[[….tcp_checks]]`
    TcpCheck { interval: Duration, timeout: Duration, grace_period: Duration }
}
table! {
    /// `[[….http_checks]]`
    HttpCheck {
        interval: Duration, timeout: Duration, grace_period: Duration, method: String,
        path: String, protocol: String, tls_skip_verify: bool, headers: BTreeMap<String, String>,
    }
}
table! {
    /// `[checks.NAME]`
    TopCheck {
        r#type: String, port: u16, interval: Duration, timeout: Duration, grace_period: Duration,
        method: String, path: String, headers: BTreeMap<String, String>, processes: Vec<String>,
    }
}
table! {
    /// `[[….machine_checks]]`: no other keys, although an example in the platform's
    /// documents has some.
    MachineCheck {
        command: Vec<String>, image: String, entrypoint: Vec<String>, kill_signal: String,
        kill_timeout: Duration,
    }
}
table! {
    /// `[[restart]]`
    Restart { policy: String, retries: u32, processes: Vec<String> }
}
table! {
    /// `[[vm]]`
    Vm {
        size: String, memory: String, cpus: u32, cpu_kind: String, kernel_args: Vec<String>,
        persist_rootfs: String, processes: Vec<String>,
    }
}
table! {
    /// `[[files]]`
    File {
        guest_path: String, local_path: String, secret_name: String, raw_value: String,
        processes: Vec<String>,
    }
}
