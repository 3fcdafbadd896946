//! Arguments that several commands take.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::exit::Exit;

/// The end of a command before its work began: what to say, and the exit code.
#[derive(Debug)]
pub(crate) struct Stop {
    /// The code.
    pub(crate) exit: Exit,
    /// The fact.
    pub(crate) text: String,
    /// The remedy.
    pub(crate) help: Option<String>,
}

impl Stop {
    /// Wrong use.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Stop { exit: Exit::Usage, text: text.into(), help: None }
    }

    /// Adds the remedy.
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Says it on stderr.
    pub(crate) fn tell(&self) -> Exit {
        let mut text = format!("error: {}\n", self.text);
        if let Some(help) = &self.help {
            text.push_str(&format!("  = help: {help}\n"));
        }
        say(&text);
        self.exit
    }
}

/// Writes to stderr; a closed one is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A number of things, in words: `1 layer`, `2 layers`.
pub(crate) fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// A name for one line of a terminal: control characters are escaped.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// Writes a small file, whole or not at all. A device or a pipe (`/dev/stdout`) is written to: a
/// rename would put a file in its place.
pub(crate) fn write_file(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return fs::write(path, text);
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut aside = tempfile::Builder::new().prefix(".rbuild-").tempfile_in(folder)?;
    aside.write_all(text.as_bytes())?;
    // tempfile makes files 0600; these are for others to read.
    aside.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    aside.persist(path)?;
    Ok(())
}

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyValue {
    /// Before the first `=`; not empty.
    pub(crate) key: String,
    /// After it.
    pub(crate) value: String,
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(KeyValue { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is not KEY=VALUE")),
        }
    }
}

/// Where things are kept and whom to ask.
#[derive(clap::Args, Debug)]
pub(crate) struct StoreArgs {
    /// The store [default: $XDG_CACHE_HOME/rbuild, ~/.cache/rbuild]
    #[arg(long, value_name = "DIR", env = "RBUILD_ROOT")]
    pub(crate) root: Option<PathBuf>,
    /// Never use the network
    #[arg(long, env = "RBUILD_OFFLINE", num_args = 0)]
    pub(crate) offline: bool,
    /// Mirrors, plain-HTTP hosts, certificates: a TOML file
    #[arg(long, value_name = "FILE", env = "RBUILD_REGISTRY_CONFIG")]
    pub(crate) registry_config: Option<PathBuf>,
    /// Trust these certificate authorities too, for registries, ADD and git: PEM files
    #[arg(long, value_name = "FILE", env = "RBUILD_CA_FILE", value_delimiter = ',')]
    pub(crate) ca_file: Vec<PathBuf>,
    /// Registry credentials in Docker's or containers' form
    #[arg(long, value_name = "FILE", env = "RBUILD_AUTHFILE")]
    pub(crate) authfile: Option<PathBuf>,
}

/// What is demanded of a Dockerfile and an image.
#[derive(clap::Args, Debug)]
pub(crate) struct PolicyArgs {
    /// A profile (none, baseline, hardened, paranoid) or a policy file [default:
    /// /etc/rbuild/policy.toml if it is there, else hardened]
    #[arg(long, value_name = "PROFILE|FILE", env = "RBUILD_POLICY")]
    pub(crate) policy: Option<String>,
    /// Change one value: `rules.ID=off|warn|error`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<KeyValue>,
    /// Only these rules
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Not these rules
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// The severity that stops
    #[arg(long, value_name = "error|warn|never")]
    pub(crate) fail_on: Option<String>,
    /// What rules in Rego see as `input`: rbuild, or conftest (its list of commands)
    #[arg(long, value_name = "FORM", value_parser = ["rbuild", "conftest"])]
    pub(crate) rego_input: Option<String>,
    /// Write a report: FORMAT is human, json, sarif, github, gitlab, junit, checkstyle or tap
    #[arg(long, value_name = "FORMAT=FILE")]
    pub(crate) report: Vec<KeyValue>,
}

/// Splits `key=value,key=value` as the comma-separated values that Docker's flags are: a field may
/// stand in double quotes, where `""` is a quote. A field without `=` has an empty value.
pub(crate) fn attributes(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut fields = vec![String::new()];
    let mut chars = text.chars().peekable();
    let mut start = true;
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is always one");
        match c {
            '"' if start => {
                loop {
                    match chars.next() {
                        Some('"') if chars.next_if_eq(&'"').is_some() => field.push('"'),
                        Some('"') => break,
                        Some(c) => field.push(c),
                        None => return Err(format!("`{text}`: a quote is not closed")),
                    }
                }
                start = false;
            }
            ',' => {
                fields.push(String::new());
                start = true;
            }
            c => {
                field.push(c);
                start = false;
            }
        }
    }
    Ok(fields
        .into_iter()
        .filter(|field| !field.is_empty())
        .map(|field| match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), value.to_owned()),
            None => (field.trim().to_ascii_lowercase(), String::new()),
        })
        .collect())
}

/// Parses a size: `64m`, `1GiB`, `500kB`, `1024`. Binary units, as Docker reads its memory flags.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write for example 64m or 1g");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let factor: u64 = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_comma_separated_values() {
        let check = |text: &str, want: &[(&str, &str)]| {
            let want: Vec<_> =
                want.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(attributes(text).unwrap(), want, "{text}");
        };
        check("id=a,src=b c", &[("id", "a"), ("src", "b c")]);
        check("type=oci,\"dest=a,b\"", &[("type", "oci"), ("dest", "a,b")]);
        check("\"dest=a\"\"b\",tar", &[("dest", "a\"b"), ("tar", "")]);
        check("k=a=b", &[("k", "a=b")]);
        assert!(attributes("\"dest=a").is_err());
    }

    #[test]
    fn a_file_is_replaced_and_a_device_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        write_file(&link, "text").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        for text in ["a longer text", "text"] {
            write_file(&file, text).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(write_file(folder.path(), "text").is_err());
    }

    #[test]
    fn sizes_have_binary_units() {
        for (text, want) in [("1024", 1024), ("64m", 64 << 20), ("1GiB", 1 << 30), ("2kB", 2048)] {
            assert_eq!(bytes(text).unwrap(), want);
        }
        for bad in ["", "m", "-1", "1x", "99999999999999999999", "9999999999t"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
