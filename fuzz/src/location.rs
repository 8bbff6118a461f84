//! What is tried with text that claims to be a place and its properties. Included by the fuzz target and, with the kept corpus, by
//! `cargo test` of the repository crate.

use starsnap_repository::Location;

/// The place in the first line, then lines of `name = value`.
pub fn location(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let place = lines.next().unwrap_or_default();
    let properties: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    match Location::with_properties(place, &properties) {
        Ok(location) => drop(location.to_string()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
