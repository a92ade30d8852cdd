//! The files of the pages that npm has made of `agent/web`: those that were there when
//! this program was built.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file, with the strong entity tag of its bytes.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    tag: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let assets = FILES.iter().map(|(name, bytes)| Asset {
        name,
        content_type: content_type(name),
        bytes,
        tag: tag(bytes),
    });
    assets.collect()
});

/// Whether this program was built with the pages.
pub(crate) fn are_there() -> bool {
    !FILES.is_empty()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..16]))
}

/// `/assets/NAME`
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return (
            StatusCode::NOT_FOUND,
            "there is no such file of the pages\n",
        )
            .into_response();
    };
    // A browser asks each time whether it has the one of this program.
    let described = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::ETAG, &asset.tag),
    ];
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok());
    if known
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == asset.tag)
    {
        return (StatusCode::NOT_MODIFIED, described).into_response();
    }
    (described, asset.bytes).into_response()
}
