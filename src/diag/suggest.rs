//! The nearest known word.

/// Returns the candidate most like `word`, if one is near enough to be what was meant: at most one
/// edit for three letters of the word. Letter case does not count.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word from a hostile file may be megabytes long; nothing we know is.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let length = word.chars().count();
    let limit = length.div_ceil(3).max(1);
    candidates
        .into_iter()
        // Names of stages come from the file too, and are as long as it likes.
        .filter(|candidate| {
            candidate.len() <= 256 && candidate.chars().count().abs_diff(length) <= limit
        })
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

// Optimal string alignment: insert, delete, replace, swap of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let words = ["FROM", "COPY", "RUN", "ENTRYPOINT"];
        for (word, want) in [
            ("COPPY", Some("COPY")),
            ("FORM", Some("FROM")),
            ("run", Some("RUN")),
            ("ENTRYPIONT", Some("ENTRYPOINT")),
            ("BANANA", None),
        ] {
            assert_eq!(nearest(word, words), want, "{word}");
        }
    }
}
