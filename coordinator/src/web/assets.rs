//! Styles, scripts and pictures: files of this program, served from memory under names that change with what they hold.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A name says what it holds, for good.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// Name, ending, media type, text.
const FILES: [(&str, &str, &str, &str); 6] = [
    ("style", "css", "text/css; charset=utf-8", include_str!("../../assets/style.css")),
    ("theme", "js", "text/javascript; charset=utf-8", include_str!("../../assets/theme.js")),
    ("refresh", "js", "text/javascript; charset=utf-8", include_str!("../../assets/refresh.js")),
    ("live", "js", "text/javascript; charset=utf-8", include_str!("../../assets/live.js")),
    ("plot", "js", "text/javascript; charset=utf-8", include_str!("../../assets/plot.js")),
    ("mark", "svg", "image/svg+xml", include_str!("../../assets/mark.svg")),
];

struct Asset {
    /// `style.css`.
    file: String,
    /// `style-0123456789ab.css`.
    name: String,
    url: String,
    tag: String,
    media_type: &'static str,
    text: &'static str,
}

impl Asset {
    /// Whether a name is that of another version.
    fn is_another(&self, name: &str) -> bool {
        let (stem, ending) = self.file.split_once('.').unwrap_or_default();
        let hash =
            name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(ending)?.strip_suffix('.'));
        hash.is_some_and(|hash| hash.len() == 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(stem, ending, media_type, text): (&str, &str, &'static str, &'static str)| {
        let hash = hex::encode(Sha256::digest(text));
        let name = format!("{stem}-{}.{ending}", hash.get(..12).unwrap_or_default());
        let url = format!("/assets/{name}");
        Asset { file: format!("{stem}.{ending}"), name, url, tag: format!("\"{hash}\""), media_type, text }
    };
    FILES.into_iter().map(asset).collect()
});

/// Where a file is.
pub(super) fn url(file: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.file == file).map_or("", |asset| asset.url.as_str())
}

/// Serves a file.
pub(super) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        // A page of another version, whose next request came here: what is here will do, until it is loaded anew.
        return match ASSETS.iter().find(|asset| asset.is_another(&name)) {
            Some(asset) => ([(header::CONTENT_TYPE, asset.media_type)], asset.text).into_response(),
            None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
        };
    };
    let about = [(header::CACHE_CONTROL, FOR_GOOD), (header::ETAG, asset.tag.as_str())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == asset.tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, asset.media_type)], asset.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for (name, ending, _, text) in FILES {
            assert!(!url(&format!("{name}.{ending}")).is_empty());
            let text = text.replace("http://www.w3.org/", "");
            assert!(
                !text.contains("http:") && !text.contains("https:") && !text.contains("@import"),
                "{name}.{ending}"
            );
        }
    }
}
