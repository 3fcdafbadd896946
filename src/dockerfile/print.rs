//! A parsed file as text again.

use std::fmt;

use super::{Dockerfile, Flag, Line};

impl fmt::Display for Dockerfile {
    /// Writes the file with one line for each instruction, without comments. Parsing that gives the
    /// same tree, except for places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for directive in &self.directives {
            writeln!(f, "# {}={}", directive.name, directive.value)?;
        }
        // Ends the directives, lest the first line look like one.
        writeln!(f)?;
        self.lines.iter().try_for_each(|line| line.fmt(f))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        f.write_str("\n")?;
        let heredocs = self.nested.as_deref().map_or(&self.heredocs, |nested| &nested.heredocs);
        for heredoc in heredocs {
            writeln!(f, "{}{}", heredoc.content, heredoc.name)?;
        }
        Ok(())
    }
}

impl Line {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.keyword.text)?;
        for flag in &self.flags {
            write!(f, " {flag}")?;
        }
        if self.body.as_str().starts_with("--") {
            f.write_str(" --")?;
        }
        if !self.body.is_empty() {
            write!(f, " {}", self.body.as_str())?;
        }
        // Something stood behind a last escape character that kept it from continuing the line: white
        // space, but neither blank nor tab.
        let bare = self.flags.is_empty() && self.body.is_empty();
        let last = if bare { self.keyword.text.as_str() } else { self.body.as_str() };
        if last.ends_with(self.escape) {
            f.write_str("\u{b}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("--")?;
        quoted(&self.name, f)?;
        match &self.value {
            Some(value) => {
                f.write_str("=")?;
                quoted(value.as_str(), f)
            }
            None => Ok(()),
        }
    }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,@%+-${}".contains(c);
    if text.chars().all(plain) {
        return f.write_str(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    write!(f, "\"{escaped}\"")
}
