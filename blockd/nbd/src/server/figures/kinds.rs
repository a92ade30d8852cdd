//! The kinds of things that are counted; each is declared once, with its name.

use crate::{budget::Full, export::OpenError, server::error::ConnectionError, wire};

/// Declares kinds, and a table with a value for each of them.
macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident, $table:ident { $($kind:ident $field:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($kind),* }

        /// A value for each of the kinds.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct $table<T> { $($field: T),* }

        impl<T> $table<T> {
            pub(crate) fn of(&self, kind: $name) -> &T {
                match kind { $($name::$kind => &self.$field),* }
            }

            /// All values, with their kinds' names.
            pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &T)> {
                [$(($text, &self.$field)),*].into_iter()
            }
        }
    };
}

kinds! {
    /// A command of the transmission phase, but `NBD_CMD_DISC`, which has no reply.
    Command, Commands {
        Read read "read",
        Write write "write",
        Flush flush "flush",
        Trim trim "trim",
        Cache cache "cache",
        WriteZeroes write_zeroes "write_zeroes",
        BlockStatus block_status "block_status",
        Unknown unknown "unknown",
    }
}

impl Command {
    /// As a request says it.
    pub(crate) fn of(command: u16) -> Self {
        match command {
            wire::NBD_CMD_READ => Self::Read,
            wire::NBD_CMD_WRITE => Self::Write,
            wire::NBD_CMD_FLUSH => Self::Flush,
            wire::NBD_CMD_TRIM => Self::Trim,
            wire::NBD_CMD_CACHE => Self::Cache,
            wire::NBD_CMD_WRITE_ZEROES => Self::WriteZeroes,
            wire::NBD_CMD_BLOCK_STATUS => Self::BlockStatus,
            _ => Self::Unknown,
        }
    }
}

impl Commands<u32> {
    /// Adds one of this kind.
    pub(crate) fn add(&mut self, kind: Command) {
        let count = match kind {
            Command::Read => &mut self.read,
            Command::Write => &mut self.write,
            Command::Flush => &mut self.flush,
            Command::Trim => &mut self.trim,
            Command::Cache => &mut self.cache,
            Command::WriteZeroes => &mut self.write_zeroes,
            Command::BlockStatus => &mut self.block_status,
            Command::Unknown => &mut self.unknown,
        };
        // One burst has no more requests than fit the receive buffer.
        *count = count.saturating_add(1);
    }

    /// All kinds with their counts.
    pub(crate) fn all(&self) -> [(Command, u32); 8] {
        [
            (Command::Read, self.read),
            (Command::Write, self.write),
            (Command::Flush, self.flush),
            (Command::Trim, self.trim),
            (Command::Cache, self.cache),
            (Command::WriteZeroes, self.write_zeroes),
            (Command::BlockStatus, self.block_status),
            (Command::Unknown, self.unknown),
        ]
    }
}

kinds! {
    /// An error in a reply (proto.md, "Error values").
    NbdError, NbdErrors {
        Perm perm "EPERM",
        Io io "EIO",
        Inval inval "EINVAL",
        NoSpace no_space "ENOSPC",
        Overflow overflow "EOVERFLOW",
        Shutdown shutdown "ESHUTDOWN",
        Other other "other",
    }
}

impl NbdError {
    /// As a reply says it.
    pub(crate) fn of(error: u32) -> Self {
        match error {
            wire::NBD_EPERM => Self::Perm,
            wire::NBD_EIO => Self::Io,
            wire::NBD_EINVAL => Self::Inval,
            wire::NBD_ENOSPC => Self::NoSpace,
            wire::NBD_EOVERFLOW => Self::Overflow,
            wire::NBD_ESHUTDOWN => Self::Shutdown,
            _ => Self::Other,
        }
    }
}

kinds! {
    /// Why a client was closed before its first byte.
    Refused, Refusals {
        PeerConnections peer_connections "peer_connections",
        Connections connections "connections",
        PeerHandshakes peer_handshakes "peer_handshakes",
        Handshakes handshakes "handshakes",
    }
}

impl Refused {
    /// For want of a place among the connections.
    pub(crate) fn connection(full: Full) -> Self {
        match full {
            Full::Peer(_) => Self::PeerConnections,
            Full::All(_) => Self::Connections,
        }
    }

    /// For want of a place among the handshakes.
    pub(crate) fn handshake(full: Full) -> Self {
        match full {
            Full::Peer(_) => Self::PeerHandshakes,
            Full::All(_) => Self::Handshakes,
        }
    }
}

kinds! {
    /// How a connection ended.
    Ending, Endings {
        Closed closed "closed",
        Broken broken "broken",
        Protocol protocol "protocol_error",
        Tls tls "tls_error",
        Timeout timeout "handshake_timeout",
        Evicted evicted "evicted",
        NoExport no_export "no_export",
        Panic panic "panic",
    }
}

impl Ending {
    pub(crate) fn of(ended: &Result<(), ConnectionError>) -> Self {
        match ended {
            Ok(()) => Self::Closed,
            Err(ConnectionError::Io(_)) => Self::Broken,
            Err(ConnectionError::Protocol(_)) => Self::Protocol,
            Err(ConnectionError::Tls(_)) => Self::Tls,
            Err(ConnectionError::HandshakeTimeout(_)) => Self::Timeout,
            Err(ConnectionError::Evicted(_)) => Self::Evicted,
            Err(ConnectionError::NoExport(_)) => Self::NoExport,
            Err(ConnectionError::ExportPanicked(_)) => Self::Panic,
        }
    }
}

kinds! {
    /// What became of an export that was asked for.
    Answer, Answers {
        Opened opened "opened",
        Unknown unknown "unknown",
        Invalid invalid "invalid",
        Policy policy "refused",
        Failed failed "failed",
    }
}

impl Answer {
    pub(crate) fn of<T>(opened: &Result<T, OpenError>) -> Self {
        match opened {
            Ok(_) => Self::Opened,
            Err(OpenError::Unknown(_)) => Self::Unknown,
            Err(OpenError::Invalid(_)) => Self::Invalid,
            Err(OpenError::Policy(_)) => Self::Policy,
            Err(OpenError::Failed(_)) => Self::Failed,
        }
    }
}
