//! The machine that a request is for.

use axum::{
    extract::{Query, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, Method, Uri},
};
use serde::Deserialize;

use super::spec::AgentSpec;
use crate::fly::{Error, MachineId};

/// The id of an MCP session. Those of our agents begin with the machine's id.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The id of the machine that is meant.
const MACHINE: HeaderName = HeaderName::from_static("agent-machine");

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// This machine.
    Machine(MachineId),
    /// A session of this machine.
    Session(MachineId),
    /// Any machine for this spec.
    Agent(AgentSpec),
}

#[derive(Debug, Deserialize)]
struct MachineQuery {
    machine: Option<MachineId>,
}

/// Reads the target from a request's headers and query, never from its body.
///
/// # Errors
///
/// [`Error::Invalid`] when the request names no target, or not well;
/// [`Error::NotFound`] when it names a session that cannot exist.
pub(super) fn target(uri: &Uri, headers: &HeaderMap) -> Result<Target, Error> {
    if let Some(session) = headers.get(SESSION) {
        let session = session.to_str().map_err(|_| no_such_session())?;
        return machine_of(session).map(Target::Session);
    }
    if let Some(machine) = headers.get(MACHINE) {
        let parsed = machine.to_str().map(str::parse::<MachineId>);
        return match parsed {
            Ok(Ok(machine)) => Ok(Target::Machine(machine)),
            Ok(Err(error)) => Err(Error::Invalid(error.to_string())),
            Err(_) => Err(Error::Invalid(format!("the header {MACHINE} is not ASCII"))),
        };
    }
    let invalid =
        |error: QueryRejection| Error::Invalid(format!("{}: {}", uri.path(), error.body_text()));
    let query = Query::<MachineQuery>::try_from_uri(uri).map_err(invalid)?;
    if let Some(machine) = query.0.machine {
        return Ok(Target::Machine(machine));
    }
    if uri
        .query()
        .is_some_and(|query| query.contains("repository="))
    {
        let spec = Query::<AgentSpec>::try_from_uri(uri).map_err(invalid)?.0;
        spec.check()?;
        return Ok(Target::Agent(spec));
    }
    Err(Error::Invalid(
        "the request names no agent: add ?repository=R&commit=C&mode=ro|rw, ?machine=ID, or the header agent-machine".into(),
    ))
}

fn machine_of(session: &str) -> Result<MachineId, Error> {
    let (machine, _) = session.split_once('.').ok_or_else(no_such_session)?;
    machine.parse().map_err(|_| no_such_session())
}

/// As MCP has it, a 404 makes the client initialize a new session.
fn no_such_session() -> Error {
    Error::NotFound("session of that id: initialize a new one".to_owned())
}

/// Whether a request tries to name an agent, well or not.
pub(super) fn names_agent(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_named = [SESSION, MACHINE]
        .iter()
        .any(|name| headers.contains_key(name));
    is_named || uri.query().is_some_and(|query| !query.is_empty())
}

/// Whether a request may start a machine. The end of a session and the stream of
/// its notifications may not: clients open the stream again whenever it is closed,
/// and a machine that is stopped has nothing to say.
pub(super) fn may_wake(target: &Target, method: &Method) -> bool {
    !matches!(target, Target::Session(_)) || *method == Method::POST
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Method, Uri};

    use super::{MACHINE, SESSION, Target, may_wake, target};
    use crate::{fly::Error, mode::Mode};

    fn target_of(uri: &str, headers: &[(HeaderName, &str)]) -> Result<Target, Error> {
        let pairs = headers.iter().cloned();
        let headers: HeaderMap = pairs
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        target(&uri.parse::<Uri>().unwrap(), &headers)
    }

    #[test]
    fn a_session_a_machine_or_a_spec_is_named() {
        let id = |text: &str| text.parse().unwrap();
        let session = target_of("/mcp?machine=m1", &[(SESSION, "m2.abc")]).unwrap();
        assert_eq!(session, Target::Session(id("m2")));
        assert!(may_wake(&session, &Method::POST));
        assert!(!may_wake(&session, &Method::GET) && !may_wake(&session, &Method::DELETE));
        let header = target_of("/live?machine=m1", &[(MACHINE, "m2")]).unwrap();
        assert_eq!(header, Target::Machine(id("m2")));
        let query = target_of("/live?follow=1&machine=m1", &[]).unwrap();
        assert_eq!(query, Target::Machine(id("m1")));
        assert!(may_wake(&query, &Method::GET));
        let spec = target_of(
            "/mcp?repository=org%2Fx&commit=0123456789012345678901234567890123456789&mode=ro",
            &[],
        )
        .unwrap();
        let Target::Agent(spec) = spec else {
            panic!("{spec:?}")
        };
        assert_eq!(
            (spec.repository.as_str(), spec.mode),
            ("org/x", Mode::ReadOnly)
        );
    }

    #[test]
    fn a_request_without_a_valid_target_is_refused() {
        for uri in [
            "/mcp",
            "/mcp?machine=..%2fx",
            "/mcp?repository=a",
            "/mcp?repository=a&commit=b%20c",
        ] {
            assert!(
                matches!(target_of(uri, &[]), Err(Error::Invalid(_))),
                "{uri}"
            );
        }
        for session in ["", "abc", "M1.x", ".x", "a/b.c"] {
            let outcome = target_of("/mcp", &[(SESSION, session)]);
            assert!(matches!(outcome, Err(Error::NotFound(_))), "{session}");
        }
    }
}
