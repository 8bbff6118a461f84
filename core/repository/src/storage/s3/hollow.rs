//! Keys with an empty component (`x//y`), which opendal cannot name: a word stands for the empty component, and is taken out of
//! requests and put into listings on their way.

use crate::location::HOLLOW;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Uri};

/// Of a store whose root has an empty component.
pub(super) struct Hollow {
    /// What keys begin with, in listings: `x//`.
    real: String,
    /// What they begin with for opendal.
    named: String,
}

impl Hollow {
    /// None where the root has no such component.
    pub(super) fn of(root: &str) -> Option<Hollow> {
        let named = format!("{root}/");
        let real = named.split('/').map(|part| if part == HOLLOW { "" } else { part }).collect::<Vec<_>>().join("/");
        let escaped = |text: String| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        (real != named).then(|| Hollow { real: escaped(real), named: escaped(named) })
    }

    /// The request as the store shall get it.
    pub(super) fn outward(&self, parts: &mut Parts) {
        if let Ok(uri) = parts.uri.to_string().replace(HOLLOW, "").parse::<Uri>() {
            parts.uri = uri;
        }
        for value in parts.headers.values_mut() {
            let real = value.to_str().ok().filter(|text| text.contains(HOLLOW)).map(|text| text.replace(HOLLOW, ""));
            if let Some(real) = real.and_then(|real| HeaderValue::from_str(&real).ok()) {
                *value = real;
            }
        }
    }

    /// A listing as opendal shall get it.
    pub(super) fn inward(&self, listing: &Bytes) -> Bytes {
        let mut text = String::from_utf8_lossy(listing).into_owned();
        for element in ["<Key>", "<Prefix>"] {
            text = text.replace(&format!("{element}{}", self.real), &format!("{element}{}", self.named));
        }
        text.into()
    }
}
