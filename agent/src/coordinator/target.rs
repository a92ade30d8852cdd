//! Which machine a request is for.

use axum::{
    extract::{Query, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, Method, Uri},
};
use serde::Deserialize;

use super::wanted::Wanted;
use crate::fly::{Error, MachineId};

/// An MCP session's id. Ours begin with the machine that they are on.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Names a machine.
const MACHINE: HeaderName = HeaderName::from_static("agent-machine");

/// Whom a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// This machine.
    Machine(MachineId),
    /// This machine, and nobody else: the session is in its memory.
    Session(MachineId),
    /// An agent that works on this.
    Agent(Wanted),
}

#[derive(Debug, Deserialize)]
struct Asked {
    machine: Option<MachineId>,
}

/// Reads it off the request, never off its body.
///
/// # Errors
///
/// When it says nothing, with how to say it.
pub(super) fn target(uri: &Uri, headers: &HeaderMap) -> Result<Target, Error> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    if let Some(session) = text(SESSION) {
        return of_session(session).map(Target::Session);
    }
    if let Some(machine) = text(MACHINE) {
        let parsed = machine.parse::<MachineId>();
        return parsed
            .map(Target::Machine)
            .map_err(|error| Error::Invalid(error.to_string()));
    }
    let invalid =
        |error: QueryRejection| Error::Invalid(format!("{}: {}", uri.path(), error.body_text()));
    let asked = Query::<Asked>::try_from_uri(uri).map_err(invalid)?;
    if let Some(machine) = asked.0.machine {
        return Ok(Target::Machine(machine));
    }
    if uri
        .query()
        .is_some_and(|query| query.contains("repository="))
    {
        let wanted = Query::<Wanted>::try_from_uri(uri).map_err(invalid)?.0;
        wanted.check()?;
        return Ok(Target::Agent(wanted));
    }
    Err(Error::Invalid(
        "say which agent: ?repository=R&commit=C&mode=ro|rw, ?machine=ID, or the header agent-machine".into(),
    ))
}

/// A session that no machine of ours can have is one that has ended.
fn of_session(session: &str) -> Result<MachineId, Error> {
    let ended = || Error::NotFound("session of that id: initialize a new one".to_owned());
    let (machine, _) = session.split_once('.').ok_or_else(ended)?;
    machine.parse().map_err(|_| ended())
}

/// Whether a request is worth the start of a machine. The end of a session
/// and the wait for its notices are not: a session does not outlive a stop,
/// and clients open the wait again whenever it is cut.
pub(super) fn may_wake(target: &Target, method: &Method) -> bool {
    !matches!(target, Target::Session(_)) || *method == Method::POST
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Method, Uri};

    use super::{MACHINE, SESSION, Target, may_wake, target};
    use crate::fly::{Error, Mode};

    fn asked(uri: &str, headers: &[(HeaderName, &str)]) -> Result<Target, Error> {
        let pairs = headers.iter().cloned();
        let headers: HeaderMap = pairs
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        target(&uri.parse::<Uri>().unwrap(), &headers)
    }

    #[test]
    fn a_session_a_machine_or_an_agent_is_meant() {
        let id = |text: &str| text.parse().unwrap();
        let session = asked("/mcp?machine=m1", &[(SESSION, "m2.abc")]).unwrap();
        assert_eq!(session, Target::Session(id("m2")));
        assert!(may_wake(&session, &Method::POST));
        assert!(!may_wake(&session, &Method::GET) && !may_wake(&session, &Method::DELETE));
        let header = asked("/live?machine=m1", &[(MACHINE, "m2")]).unwrap();
        assert_eq!(header, Target::Machine(id("m2")));
        let query = asked("/live?follow=1&machine=m1", &[]).unwrap();
        assert_eq!(query, Target::Machine(id("m1")));
        assert!(may_wake(&query, &Method::GET));
        let wanted = asked(
            "/mcp?repository=org%2Fx&commit=0123456789012345678901234567890123456789&mode=ro",
            &[],
        )
        .unwrap();
        let Target::Agent(wanted) = wanted else {
            panic!("{wanted:?}")
        };
        assert_eq!(
            (wanted.repository.as_str(), wanted.mode),
            ("org/x", Mode::ReadOnly)
        );
    }

    #[test]
    fn what_names_nothing_is_refused_with_a_sentence() {
        for uri in [
            "/mcp",
            "/mcp?machine=..%2fx",
            "/mcp?repository=a",
            "/mcp?repository=a&commit=b%20c",
        ] {
            assert!(matches!(asked(uri, &[]), Err(Error::Invalid(_))), "{uri}");
        }
        for session in ["", "abc", "M1.x", ".x", "a/b.c"] {
            let outcome = asked("/mcp", &[(SESSION, session)]);
            assert!(matches!(outcome, Err(Error::NotFound(_))), "{session}");
        }
    }
}
