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
        but: &["blockd/src/serve/catalog"],
        names: &["imagegen"],
    },
    Rule {
        within: "blockd/src/",
        but: &["blockd/src/main.rs", "blockd/src/cli/", "/tests/"],
        names: &["std::env"],
    },
    Rule {
        within: "agent/src/",
        but: &["agent/src/main.rs", "agent/src/cli/", "/tests.rs"],
        names: &["std::env"],
    },
    Rule {
        within: "agent/src/serve/pty/",
        but: &[],
        names: &[
            "crate::serve::output_log",
            "crate::serve::session",
            "crate::serve::http",
        ],
    },
    Rule {
        within: "agent/src/serve/output_log/",
        but: &[],
        names: &[
            "crate::serve::pty",
            "crate::serve::session",
            "crate::serve::http",
        ],
    },
    Rule {
        within: "agent/src/serve/session/",
        but: &[],
        names: &[
            "crate::serve::http",
            "crate::serve::mcp",
            "crate::client",
            "axum",
        ],
    },
    Rule {
        within: "agent/src/serve/mcp.rs",
        but: &[],
        names: &[
            "crate::serve::http",
            "crate::serve::pty",
            "crate::serve::output_log",
            "axum",
        ],
    },
    Rule {
        within: "agent/src/serve/http/",
        but: &[],
        names: &[
            "crate::serve::pty",
            "crate::serve::codex",
            "crate::client",
            "crate::cli",
        ],
    },
    Rule {
        within: "agent/src/serve/http/",
        but: &["agent/src/serve/http/mod.rs"],
        names: &["crate::serve::mcp"],
    },
    Rule {
        within: "agent/src/client/",
        but: &[],
        names: &[
            "crate::serve::session",
            "crate::serve::http",
            "crate::serve::mcp",
            "crate::serve::pty",
        ],
    },
    Rule {
        within: "agent/src/fly/",
        but: &[],
        names: &[
            "crate::coordinator",
            "crate::serve::http",
            "crate::serve::session",
            "axum",
        ],
    },
    Rule {
        within: "agent/src/coordinator/",
        but: &[],
        names: &[
            "crate::serve::session",
            "crate::serve::mcp",
            "crate::serve::pty",
            "crate::client",
        ],
    },
    Rule {
        within: "agent/src/serve/http/",
        but: &[],
        names: &["crate::coordinator", "crate::fly"],
    },
];
