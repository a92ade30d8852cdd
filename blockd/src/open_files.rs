//! How many files, sockets among them, a process may have open.

use blockd_nbd::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the soft limit of open files to the hard one (getrlimit(2)). It is
/// low for programs that use select(2), as this one does not. Programs that are
/// started inherit the limit, so only processes call this that start none but
/// fusermount3(1), which opens few files.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(?current, ?maximum, %error, "cannot raise the limit of open files");
    }
}

/// The default limits of a server, with as many connections as half of the files
/// that this process may open: the other half is for what it serves.
pub(crate) fn server_limits() -> Limits {
    let limits = Limits::default();
    let half = getrlimit(Resource::Nofile).current.map(|files| files / 2);
    // Without a limit, or with one of more than a usize holds, no fewer.
    let half = half.and_then(|half| usize::try_from(half).ok());
    let connections = half.map_or(limits.connections, |half| half.min(limits.connections));
    Limits {
        connections,
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_hard_one_and_leaves_room_beside_connections() {
        raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        let connections = u64::try_from(server_limits().connections).unwrap();
        assert!(connections > 0 && current.is_none_or(|files| connections <= files / 2));
    }
}
