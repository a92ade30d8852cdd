//! Services, in whichever of the two ways they are written.

use std::sync::LazyLock;

use super::config::{self, Concurrency, Config, Exposed, HttpCheck, HttpService, TcpCheck};

/// All services; `[http_service]` is one, on the ports 80 and 443.
pub(super) fn services(config: &Config) -> Vec<Service<'_>> {
    let own = config.services.iter().flatten().map(Service::from);
    let http = config.http_service.iter().map(Service::from);
    own.chain(http).collect()
}

/// A service, with what both ways have in common.
pub(super) struct Service<'a> {
    pub(super) protocol: Option<&'a String>,
    pub(super) internal_port: Option<u16>,
    pub(super) auto_stop_machines: Option<&'a String>,
    pub(super) auto_start_machines: Option<bool>,
    pub(super) force_https: Option<bool>,
    pub(super) processes: Option<&'a Vec<String>>,
    pub(super) concurrency: Option<&'a Concurrency>,
    pub(super) ports: &'a [Exposed],
    pub(super) tcp_checks: &'a [TcpCheck],
    pub(super) http_checks: &'a [HttpCheck],
}

impl<'a> From<&'a config::Service> for Service<'a> {
    fn from(own: &'a config::Service) -> Self {
        Self {
            protocol: own.protocol.as_ref(),
            internal_port: own.internal_port,
            auto_stop_machines: own.auto_stop_machines.as_ref(),
            auto_start_machines: own.auto_start_machines,
            force_https: None,
            processes: own.processes.as_ref(),
            concurrency: own.concurrency.as_ref(),
            ports: own.ports.as_deref().unwrap_or_default(),
            tcp_checks: own.tcp_checks.as_deref().unwrap_or_default(),
            http_checks: own.http_checks.as_deref().unwrap_or_default(),
        }
    }
}

static TCP: LazyLock<String> = LazyLock::new(|| "tcp".to_owned());

impl<'a> From<&'a HttpService> for Service<'a> {
    fn from(http: &'a HttpService) -> Self {
        Self {
            protocol: Some(&TCP),
            internal_port: http.internal_port,
            auto_stop_machines: http.auto_stop_machines.as_ref(),
            auto_start_machines: http.auto_start_machines,
            force_https: http.force_https,
            processes: http.processes.as_ref(),
            concurrency: http.concurrency.as_ref(),
            ports: &[],
            tcp_checks: &[],
            http_checks: http.checks.as_deref().unwrap_or_default(),
        }
    }
}
