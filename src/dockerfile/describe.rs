//! Comments that describe: `# NAME text` directly above an instruction tells what NAME is.

use std::collections::BTreeMap;

use super::Dockerfile;
use crate::base::Span;

impl Dockerfile {
    /// Returns the descriptions in the comment lines directly above the instruction at `at`, by the
    /// name that each begins with; of several for one name, the first. `text` is the file's.
    ///
    /// So BuildKit reads them: <https://docs.docker.com/reference/cli/docker/buildx/build/#call>.
    pub fn descriptions<'a>(&'a self, text: &str, at: Span) -> BTreeMap<&'a str, &'a str> {
        let mut found = BTreeMap::new();
        let mut start = at.start;
        let above = self.comments.partition_point(|comment| comment.span.start < at.start);
        for comment in self.comments[..above].iter().rev() {
            let between = text.get(comment.span.end as usize..start as usize).unwrap_or("?");
            if !between.trim().is_empty() || between.matches('\n').count() != 1 {
                break;
            }
            start = comment.span.start;
            if let Some((name, words)) = comment.text.trim().split_once(' ') {
                found.insert(name, words.trim());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::diag::Sources;
    use crate::dockerfile::parse;

    #[test]
    fn a_description_stands_directly_above() {
        let check = |text: &str, name: &str, want: Option<&str>| {
            let mut sources = Sources::new();
            let source = sources.add("Dockerfile", text);
            let (file, _) = parse(source, text);
            let last = file.lines.last().unwrap().span;
            assert_eq!(file.descriptions(text, last).get(name).copied(), want, "{text}");
        };
        check("# A the version\nARG A\n", "A", Some("the version"));
        check("FROM x\n# A the version\n#  B  a word \r\nARG A B\n", "B", Some("a word"));
        check("# A first\n# A second\n  ARG A\n", "A", Some("first"));
        check("# A the version\n\nARG A\n", "A", None);
        check("# A the version\nARG B\nARG A\n", "A", None);
        check("# other words\nARG A\n", "A", None);
        check("ARG A\n", "A", None);
    }
}
