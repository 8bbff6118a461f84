//! What is tried with text that claims to be statements or conditions. Included by the fuzz targets and, with the kept corpus, by `cargo test` of
//! the restore crate.

use starsnap_restore::condition::Condition;
use starsnap_restore::statement;

pub fn statements(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = statement::is_unfinished(&text);
    match (statement::parse(&text), statement::parse_located(&text)) {
        (Ok(plain), Ok(located)) => assert_eq!(plain.len(), located.len()),
        (Err(error), Err(_)) => assert!(!error.to_string().is_empty()),
        _ => panic!("one of two equal parsers refuses what the other reads"),
    }
}

/// What stands behind `--where`.
pub fn condition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Condition::parse(&text) {
        Ok(condition) => assert_eq!(condition.text(), text),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
