//! Which room may name which.

/// Files below `within` must not name `names`, except where the path has a
/// part of `but`.
pub(super) struct Rule {
    pub(super) within: &'static str,
    pub(super) but: &'static [&'static str],
    pub(super) names: &'static [&'static str],
}

pub(super) const RULES: [Rule; 19] = [
    Rule {
        within: "imagegen/src/ext4/",
        but: &[],
        names: &[
            "crate::git",
            "crate::image",
            "crate::error",
            "crate::Error",
            "crate::Kind",
        ],
    },
    Rule {
        within: "imagegen/src/ext4/",
        but: &[],
        names: &["gix", "gix_pack"],
    },
    Rule {
        within: "imagegen/src/git/",
        but: &[],
        names: &["crate::ext4", "crate::image"],
    },
    Rule {
        within: "imagegen/src/",
        but: &["imagegen/src/lib.rs", "imagegen/src/image/"],
        names: &["crate::image"],
    },
    Rule {
        within: "imagegen/src/error.rs",
        but: &[],
        names: &["crate"],
    },
    Rule {
        within: "imagegen/src/",
        but: &["/tests/"],
        names: &["std::env", "tokio", "clap"],
    },
    Rule {
        within: "blockd/src/",
        but: &["blockd/src/catalog"],
        names: &["imagegen"],
    },
    Rule {
        within: "blockd/src/",
        but: &["blockd/src/main.rs", "/args.rs", "/tests/"],
        names: &["std::env"],
    },
    Rule {
        within: "agent/src/",
        but: &["agent/src/main.rs", "/args.rs", "/tests.rs"],
        names: &["std::env"],
    },
    Rule {
        within: "agent/src/pty/",
        but: &[],
        names: &["crate::output_log", "crate::session", "crate::http"],
    },
    Rule {
        within: "agent/src/output_log/",
        but: &[],
        names: &["crate::pty", "crate::session", "crate::http"],
    },
    Rule {
        within: "agent/src/session/",
        but: &[],
        names: &["crate::http", "crate::mcp", "crate::client", "axum"],
    },
    Rule {
        within: "agent/src/mcp.rs",
        but: &[],
        names: &["crate::http", "crate::pty", "crate::output_log", "axum"],
    },
    Rule {
        within: "agent/src/http/",
        but: &[],
        names: &["crate::pty", "crate::codex", "crate::client", "crate::args"],
    },
    Rule {
        within: "agent/src/http/",
        but: &["agent/src/http/mod.rs"],
        names: &["crate::mcp"],
    },
    Rule {
        within: "agent/src/client/",
        but: &[],
        names: &["crate::session", "crate::http", "crate::mcp", "crate::pty"],
    },
    Rule {
        within: "agent/src/machines/",
        but: &[],
        names: &[
            "crate::coordinator",
            "crate::http",
            "crate::session",
            "axum",
        ],
    },
    Rule {
        within: "agent/src/coordinator/",
        but: &[],
        names: &[
            "crate::session",
            "crate::mcp",
            "crate::pty",
            "crate::client",
        ],
    },
    Rule {
        within: "agent/src/http/",
        but: &[],
        names: &["crate::coordinator", "crate::machines"],
    },
];
