//! The rules of flyctl, of the platform and of our own programs for a file whose keys
//! are all known.

use std::{collections::BTreeSet, path::Path};

use super::{
    config::{Config, Duration, File, MachineCheck},
    service::{Service, services},
};

/// All faults of the file at `path`.
pub(super) fn faults(text: &str, path: &Path) -> Vec<String> {
    let config: Config = match toml::from_str(text) {
        Ok(config) => config,
        Err(error) => return vec![error.to_string()],
    };
    let mut faults = Vec::new();
    let mut must = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    top(&config, path, &mut must);
    deploy(&config, &mut must);
    groups(&config, &mut must);
    mounts(&config, &mut must);
    machines(&config, &mut must);
    for service in services(&config) {
        one_service(&service, &mut must);
    }
    for check in machine_checks(&config) {
        must(
            check
                .command
                .as_ref()
                .is_some_and(|words| !words.is_empty()),
            "a machine check without a command",
        );
        must(
            short(check.kill_timeout.as_ref(), 300.0),
            "kill_timeout is over 300s",
        );
    }
    faults
}

type Must<'a> = &'a mut dyn FnMut(bool, &str);

fn one_of(value: Option<&String>, known: &[&str]) -> bool {
    value.is_none_or(|value| known.contains(&value.as_str()))
}

/// Whether a duration is valid and not over its limit, in seconds.
fn short(duration: Option<&Duration>, limit: f64) -> bool {
    duration.is_none_or(|duration| duration.seconds().is_some_and(|seconds| seconds <= limit))
}

fn top(config: &Config, path: &Path, must: Must<'_>) {
    must(
        config.app.as_ref().is_some_and(|app| !app.is_empty()),
        "no app",
    );
    must(config.primary_region.is_some(), "no primary_region");
    // Our programs end cleanly on SIGTERM; the documents disagree on the default.
    must(
        config.kill_signal.as_deref() == Some("SIGTERM"),
        "kill_signal is not SIGTERM",
    );
    must(
        config.kill_timeout.is_some(),
        "kill_timeout: the default of 5s is too short",
    );
    must(
        short(config.kill_timeout.as_ref(), 300.0),
        "kill_timeout is over 300s",
    );
    let placed = |file: &File| {
        let sources = [&file.local_path, &file.secret_name, &file.raw_value];
        file.guest_path.is_some() && sources.iter().filter(|source| source.is_some()).count() == 1
    };
    let mut files = config.files.iter().flatten();
    must(files.all(placed), "a file has one place and one source");
    if let Some(build) = &config.build {
        let file = build.dockerfile.as_deref().unwrap_or("Dockerfile");
        // The path is relative to the configuration file.
        let text = path
            .parent()
            .and_then(|folder| std::fs::read_to_string(folder.join(file)).ok());
        let text = text.unwrap_or_default();
        must(!text.is_empty(), "there is no such dockerfile");
        let target = build.target.as_deref().unwrap_or_default();
        must(
            text.contains(&format!(" AS {target}\n")),
            "the dockerfile has no such build-target",
        );
    }
}

fn deploy(config: &Config, must: Must<'_>) {
    let Some(deploy) = &config.deploy else {
        return;
    };
    let known = ["rolling", "immediate", "canary", "bluegreen"];
    must(
        one_of(deploy.strategy.as_ref(), &known),
        "an unknown deploy.strategy",
    );
    let replaces = matches!(deploy.strategy.as_deref(), Some("canary" | "bluegreen"));
    must(
        !(replaces && config.mounts.is_some()),
        "canary and bluegreen exclude mounts",
    );
    let checked = services(config)
        .iter()
        .any(|service| !service.tcp_checks.is_empty() || !service.http_checks.is_empty());
    let is_bluegreen = deploy.strategy.as_deref() == Some("bluegreen");
    must(
        !is_bluegreen || checked || config.checks.is_some(),
        "bluegreen needs a check",
    );
    // bluegreen does not run machine checks, and canary hangs with them.
    must(
        !replaces || machine_checks(config).is_empty(),
        "machine checks need rolling",
    );
    must(
        short(deploy.wait_timeout.as_ref(), 3600.0),
        "wait_timeout cannot be read",
    );
    let long = deploy
        .wait_timeout
        .as_ref()
        .and_then(Duration::seconds)
        .unwrap_or(300.0);
    must(
        machine_checks(config).is_empty() || long >= 1200.0,
        "machine checks need 20m",
    );
}

/// With several processes, everything must name those that it is for.
fn groups(config: &Config, must: Must<'_>) {
    let known: BTreeSet<_> = match &config.processes {
        Some(processes) => processes.keys().map(String::as_str).collect(),
        None => BTreeSet::from(["app"]),
    };
    let mut of = |processes: Option<&Vec<String>>, what: &str| {
        let named = processes.map_or(&[][..], Vec::as_slice);
        must(
            config.processes.is_none() || known.len() < 2 || !named.is_empty(),
            what,
        );
        must(
            named.iter().all(|name| known.contains(name.as_str())),
            "an unknown process",
        );
    };
    for service in services(config) {
        of(service.processes, "a service without processes");
    }
    for mount in config.mounts.iter().flatten() {
        of(mount.processes.as_ref(), "a mount without processes");
    }
    for vm in config.vm.iter().flatten() {
        of(vm.processes.as_ref(), "a vm without processes");
    }
    for restart in config.restart.iter().flatten() {
        of(restart.processes.as_ref(), "a restart without processes");
    }
    if config.processes.is_some() {
        let all = services(config);
        must(
            all.iter().all(|service| service.processes.is_some()),
            "a service without processes",
        );
        let mut ports = BTreeSet::new();
        let given = all.iter().flat_map(|service| service.ports);
        must(
            given
                .filter_map(|port| port.port)
                .all(|port| ports.insert(port)),
            "two services share a port, and so each other's traffic",
        );
    }
}

fn mounts(config: &Config, must: Must<'_>) {
    for mount in config.mounts.iter().flatten() {
        must(
            mount.source.is_some() && mount.destination.is_some(),
            "a mount from or to nowhere",
        );
        let threshold = mount.auto_extend_size_threshold;
        must(
            threshold.is_none_or(|at| (50..=99).contains(&at)),
            "the threshold is not 50 to 99",
        );
        let sizes = [&mount.initial_size, &mount.auto_extend_size_limit];
        let fits = |size: &String| {
            let number = size
                .strip_suffix("gb")
                .and_then(|number| number.parse::<u32>().ok());
            number.is_some_and(|number| (1..=500).contains(&number))
        };
        must(
            sizes.into_iter().flatten().all(fits),
            "a volume has 1gb to 500gb",
        );
    }
}

fn machines(config: &Config, must: Must<'_>) {
    for restart in config.restart.iter().flatten() {
        must(
            one_of(restart.policy.as_ref(), &["always", "never", "on-failure"]),
            "an unknown restart policy",
        );
    }
    for vm in config.vm.iter().flatten() {
        let size = vm.size.as_deref().unwrap_or("shared-cpu-1x");
        let is_size = |kind: &str| {
            let number = size
                .strip_prefix(kind)
                .and_then(|rest| rest.strip_suffix('x'));
            number.and_then(|number| number.parse::<u32>().ok())
        };
        let (shared, performance) = (is_size("shared-cpu-"), is_size("performance-"));
        must(shared.or(performance).is_some(), "an unknown vm size");
        let memory = vm.memory.as_deref().and_then(megabytes);
        must(
            vm.memory.is_none() || memory.is_some(),
            "a memory that cannot be read",
        );
        let Some(memory) = memory else { continue };
        must(memory % 256 == 0, "memory is a multiple of 256mb");
        must(
            shared.is_none_or(|cpus| memory <= 2048 * cpus),
            "over 2gb for a shared CPU",
        );
        let fits = |cpus| (2048 * cpus..=8192 * cpus).contains(&memory);
        must(
            performance.is_none_or(fits),
            "2gb to 8gb for a performance CPU",
        );
        must(
            one_of(vm.persist_rootfs.as_ref(), &["never", "restart", "always"]),
            "an unknown persist_rootfs",
        );
    }
}

fn megabytes(text: &str) -> Option<u32> {
    match text.strip_suffix("gb") {
        Some(number) => number.parse::<u32>().ok().map(|number| number * 1024),
        None => text.strip_suffix("mb")?.parse().ok(),
    }
}

fn one_service(service: &Service<'_>, must: Must<'_>) {
    must(
        service.internal_port.is_some(),
        "a service without internal_port",
    );
    must(service.protocol.is_some(), "a service without protocol");
    must(
        one_of(service.protocol, &["tcp", "udp"]),
        "an unknown protocol",
    );
    let stop = service.auto_stop_machines;
    must(
        one_of(stop, &["off", "stop", "suspend"]),
        "an unknown auto_stop_machines",
    );
    // The proxy sees neither mounted disks nor codex at work.
    must(
        stop.is_some_and(|stop| stop == "off"),
        "the proxy would stop a machine at work",
    );
    must(
        service.auto_start_machines.is_some(),
        "auto_start_machines is missing: the documents disagree on its default",
    );
    if let Some(limits) = service.concurrency {
        let kinds = ["connections", "requests"];
        must(
            one_of(limits.r#type.as_ref(), &kinds),
            "an unknown concurrency.type",
        );
        let (soft, hard) = (limits.soft_limit.unwrap_or(20), limits.hard_limit);
        must(
            hard.is_none_or(|hard| hard >= soft),
            "hard_limit is below soft_limit",
        );
    }
    ports(service, must);
    checks(service, must);
}

fn ports(service: &Service<'_>, must: Must<'_>) {
    let plain = |force: Option<bool>| force != Some(true);
    must(plain(service.force_https), "flycast has no TLS");
    for port in service.ports {
        let known = ["http", "tls", "pg_tls", "proxy_proto"];
        let mut handlers = port.handlers.iter().flatten();
        must(
            handlers.all(|name| known.contains(&name.as_str())),
            "an unknown handler",
        );
        must(
            port.port.is_some() != port.start_port.is_some(),
            "a port, or a range of them",
        );
        must(plain(port.force_https), "flycast has no TLS");
    }
}

fn checks(service: &Service<'_>, must: Must<'_>) {
    for check in service.tcp_checks {
        interval_and_timeout(check.interval.as_ref(), check.timeout.as_ref(), must);
    }
    for check in service.http_checks {
        interval_and_timeout(check.interval.as_ref(), check.timeout.as_ref(), must);
        let path = check.path.as_ref();
        must(
            path.is_some_and(|path| path.starts_with('/')),
            "a check without a path",
        );
    }
}

fn interval_and_timeout(interval: Option<&Duration>, timeout: Option<&Duration>, must: Must<'_>) {
    let within = |duration: Option<&Duration>, least: f64| {
        let seconds = duration.and_then(Duration::seconds);
        seconds.is_some_and(|seconds| (least..=60.0).contains(&seconds))
    };
    must(within(interval, 2.0), "an interval is 2s to 1m");
    must(within(timeout, 1.0), "a timeout is 1s to 1m");
}

fn machine_checks(config: &Config) -> Vec<&MachineCheck> {
    let http = config
        .http_service
        .iter()
        .flat_map(|http| &http.machine_checks);
    let services = config.services.iter().flatten();
    let services = services.flat_map(|service| &service.machine_checks);
    let all = http.chain(services).chain(&config.machine_checks);
    all.flatten().collect()
}
