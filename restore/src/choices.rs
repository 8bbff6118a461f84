//! What there is to choose from, for messages about names that are not there.

use starsnap_repository::nearest;

/// Names that are listed, at most.
const LISTED: usize = 20;

/// All `names`, where they are few; of many the first, and the one that `wanted` was probably meant to be.
pub(crate) fn choices(wanted: &str, names: &[&str]) -> String {
    match names.get(..LISTED) {
        None if names.is_empty() => "it has none".to_owned(),
        None => format!("it has {}", names.join(", ")),
        Some(_) if names.len() == LISTED => format!("it has {}", names.join(", ")),
        Some(first) => {
            let near = nearest(wanted, names.iter().copied()).map(|near| format!("{near} is the nearest of "));
            format!("{}{} that it has: {}, …", near.unwrap_or_default(), names.len(), first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_not_all_listed() {
        assert_eq!(choices("x", &[]), "it has none");
        assert_eq!(choices("x", &["a", "b"]), "it has a, b");
        let names: Vec<String> = (0..500).map(|at| format!("column_{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(choices("x", &names[..20]).matches("column").count(), 20);
        let text = choices("colum_321", &names);
        assert!(text.starts_with("column_321 is the nearest of 500 that it has: column_0, column_1, "), "{text}");
        assert_eq!(text.matches("column").count(), 21);
        assert!(choices("something else", &names).starts_with("500 that it has: column_0, "));
    }
}
