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

/// A listing of a bucket's root without keys that begin with a slash: opendal takes their first component for the root itself, and the rest
/// for other keys. They are of the store whose root is hollow.
pub(super) fn without_leading_slashes(listing: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(listing);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some((before, whole, after)) = next_element(rest) {
        kept.push_str(before);
        if !whole.contains("<Key>/") && !whole.contains("<Prefix>/") {
            kept.push_str(whole);
        }
        rest = after;
    }
    kept.push_str(rest);
    kept.into()
}

/// What stands before the first key or group of keys, that element, and the rest.
fn next_element(text: &str) -> Option<(&str, &str, &str)> {
    let elements = [("<Contents>", "</Contents>"), ("<CommonPrefixes>", "</CommonPrefixes>")];
    let found = elements.iter().filter_map(|(opening, closing)| Some((text.find(opening)?, closing))).min()?;
    let (before, rest) = text.split_at(found.0);
    let end = rest.find(found.1)? + found.1.len();
    let (whole, after) = rest.split_at(end);
    Some((before, whole, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_slash_is_left_out() {
        let key = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let group = |prefix: &str| format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
        let listing = |elements: &str| Bytes::from(format!("<R><Prefix></Prefix>{elements}<KeyCount>2</KeyCount></R>"));
        let all = listing(&[key("/a"), group("/"), key("a/b"), key("/"), group("a//")].concat());
        assert_eq!(without_leading_slashes(&all), listing(&[key("a/b"), group("a//")].concat()));
        for odd in ["", "<Contents><Key>/a", "<a/>"] {
            assert_eq!(without_leading_slashes(&Bytes::from(odd)), odd);
        }
    }
}
