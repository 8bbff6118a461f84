//! Names that were probably meant, for messages about names that are not there.

/// Longer names are not compared.
const LONGEST: usize = 256;

/// The one of `known` that `name` was probably meant to be; nothing where none comes near it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let near = known.into_iter().filter(|known| known.len().max(name.len()) <= LONGEST);
    let (found, far) = near.map(|known| (known, distance(&name, &known.to_ascii_lowercase()))).min_by_key(|n| n.1)?;
    (far <= (name.len() / 3).max(1) && far < name.len().max(1)).then_some(found)
}

/// Edit distance (Levenshtein), of names that were capped.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let cost = (before + usize::from(x != y)).min(left + 1).min(*cell + 1);
            before = *cell;
            *cell = cost;
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, far) in [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }

    #[test]
    fn only_near_names_are_named() {
        let known = ["sr_hub_full", "sr_member_backup", "Users"];
        assert_eq!(nearest("sr_hub_fll", known), Some("sr_hub_full"));
        assert_eq!(nearest("users", known), Some("Users"));
        assert_eq!(nearest("orders", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest(&"x".repeat(1000), known), None);
    }
}
