//! Changes of the text that mend findings, applied.

use super::finding::Report;
use crate::base::SourceId;

impl Report {
    /// Applies the changes of all findings that count to the text of a source: those that keep
    /// what the build does, or all. Where two overlap, the first one is made. `None` if there is
    /// nothing to change.
    pub fn mended(&self, source: SourceId, text: &str, all: bool) -> Option<(String, usize)> {
        let mut edits = Vec::new();
        for finding in self.findings.iter().filter(|finding| finding.counts()) {
            let Some(fix) = finding.fix.as_ref().filter(|fix| fix.safe || all) else { continue };
            let own: Vec<_> = fix
                .edits
                .iter()
                .map(|(span, text)| (span.range(), text.as_str(), span.source))
                .collect();
            // A change is made whole, or not at all.
            let free = own.iter().all(|(range, _, of)| {
                *of == source
                    && text.get(range.clone()).is_some()
                    && edits.iter().all(|(other, _): &(std::ops::Range<usize>, &str)| {
                        (other.end <= range.start || range.end <= other.start)
                            && range.start != other.start
                    })
            });
            if free && !own.is_empty() {
                edits.extend(own.into_iter().map(|(range, text, _)| (range, text)));
            }
        }
        let count = edits.len();
        edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut out = text.to_owned();
        for (range, new) in edits {
            out.replace_range(range, new);
        }
        (out != text).then_some((out, count))
    }
}

/// Returns the change from one text to another as a unified diff of one hunk; empty if there is
/// none.
pub fn diff(name: &str, old: &str, new: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let first = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(after.len()) - first;
    let same = before.iter().rev().zip(after.iter().rev()).take(rest);
    let last = same.take_while(|(a, b)| a == b).count();
    let (removed, added) = (&before[first..before.len() - last], &after[first..after.len() - last]);
    if removed.is_empty() && added.is_empty() {
        return String::new();
    }
    // A hunk of no lines begins at the line before it.
    let start = |lines: &[&str]| if lines.is_empty() { first } else { first + 1 };
    let mut out = format!(
        "--- {name}\n+++ {name}\n@@ -{},{} +{},{} @@\n",
        start(removed),
        removed.len(),
        start(added),
        added.len()
    );
    for (sign, lines) in [('-', removed), ('+', added)] {
        for line in lines {
            out.push(sign);
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{Text, mend};

    #[test]
    fn safe_changes_are_made_until_nothing_is_left() {
        let check = |rule: &str, file: &str, want: &str| {
            assert_eq!(mend(&Text::new(rule, file)), want, "{rule}");
        };
        check("from-as-case", "FROM a as b\nFROM c as d\n", "FROM a AS b\nFROM c AS d\n");
        check("instruction-case", "FROM a\nrun x\n", "FROM a\nRUN x\n");
        check(
            "maintainer-deprecated",
            "FROM a\nMAINTAINER me@x.org\n",
            "FROM a\nLABEL org.opencontainers.image.authors=\"me@x.org\"\n",
        );
        check(
            "package-interactive",
            "FROM a\nRUN apt-get install \\\n  x\n",
            "FROM a\nRUN apt-get install -y \\\n  x\n",
        );
        check(
            "download-no-fail",
            "FROM a\nRUN curl -sS https://x.org -o a\n",
            "FROM a\nRUN curl -f -sS https://x.org -o a\n",
        );
        check(
            "exec-form-preferred",
            "FROM a\nCMD nginx -g x\n",
            "FROM a\nCMD [\"nginx\", \"-g\", \"x\"]\n",
        );
        check(
            "heredoc-no-errexit",
            "FROM a\nRUN <<E\nfalse\ntrue\nE\n",
            "FROM a\nRUN <<E\nset -e\nfalse\ntrue\nE\n",
        );
        check("copy-multiple-no-slash", "FROM a\nCOPY a b /c\n", "FROM a\nCOPY a b /c/\n");
        check("legacy-key-value", "FROM a\nENV A b c\n", "FROM a\nENV A=\"b c\"\n");
        check("package-apt-frontend", "FROM a\nRUN apt update\n", "FROM a\nRUN apt-get update\n");
        // One that may change what the build does is left.
        check(
            "copy-from-unknown",
            "FROM a AS bc\nFROM d\nCOPY --from=bd /a /a\n",
            "FROM a AS bc\nFROM d\nCOPY --from=bd /a /a\n",
        );
    }

    #[test]
    fn a_diff_has_what_differs() {
        assert_eq!(diff("D", "a\nb\nc\n", "a\nx\nc\n"), "--- D\n+++ D\n@@ -2,1 +2,1 @@\n-b\n+x\n");
        assert_eq!(diff("D", "a\n", "a\nb\n"), "--- D\n+++ D\n@@ -1,0 +2,1 @@\n+b\n");
        assert_eq!(diff("D", "a\n", "a\n"), "");
    }
}
