//! `rbuild push`: an image of a layout to a registry, byte for byte.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rbuild::base::{Digest, ImageRef, Masker};
use rbuild::diag::{Sources, chain};
use rbuild::event::{Cancel, Events};
use rbuild::image::{Layout, LayoutError, Selector, unpack_layout};
use rbuild::output::{self, push_layout};
use rbuild::registry;

use super::environment;
use super::exit::Exit;
use super::progress::{Format, Progress};
use super::shared::{Stop, StoreArgs};

/// Push an image of an OCI layout to a registry, unchanged.
///
/// What the registry has already is not sent. An index is pushed with all images in it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A layout: `DIR`, `oci:DIR[:TAG][@DIGEST]`, `oci-archive:FILE[:TAG][@DIGEST]`
    #[arg(value_name = "SRC")]
    source: String,
    /// Where to, and under which names; all of them will point to one digest
    #[arg(value_name = "REF", required = true)]
    names: Vec<String>,
    /// Set no tags
    #[arg(long)]
    by_digest: bool,
    /// How progress is shown
    #[arg(
        long,
        value_name = "auto|plain|json|quiet|none",
        default_value = "auto",
        env = "RBUILD_PROGRESS"
    )]
    progress: String,
    /// Show nothing but the names with their digest, and errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match push(&args) {
        Ok(lines) => {
            // A closed pipe is the reader's choice.
            let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
            Exit::Success
        }
        Err(stop) => stop.tell(),
    }
}

fn push(args: &Args) -> Result<Vec<String>, Stop> {
    let format =
        Format::parse(if args.quiet { "none" } else { &args.progress }).map_err(Stop::usage)?;
    let source = Source::parse(&args.source)?;
    let names = args
        .names
        .iter()
        .map(|name| ImageRef::parse(name).map_err(|error| Stop::usage(error.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let progress = Arc::new(Progress::new(format, super::build::colour()));
    let events = Events::new(Masker::new(), move |event| progress.show(&event, &Sources::new()));
    let registry = environment::registry(&args.store, &[], &events, &Cancel::new())?;

    // Lives as long as the layout in it is read.
    let unpacked;
    let folder = if source.archive {
        unpacked = unpack(&source.path)?;
        unpacked.path()
    } else {
        &source.path
    };
    let layout = Layout::open(folder).map_err(|error| layout_stop(&error))?;
    push_layout(&layout, &source.selector, &names, args.by_digest, &registry)
        .map(|pushed| pushed.names)
        .map_err(|error| match error {
            output::Error::Registry(error) => Stop {
                exit: match error {
                    registry::Error::Mismatch { .. } | registry::Error::Source { .. } => {
                        Exit::Tampered
                    }
                    _ => Exit::Network,
                },
                text: chain(&error),
                help: error.help(),
            },
            output::Error::Layout(error) => layout_stop(&error),
            other => Stop { exit: Exit::Internal, text: chain(&other), help: None },
        })
}

fn layout_stop(error: &LayoutError) -> Stop {
    let exit = match error {
        LayoutError::Mismatch { .. } => Exit::Tampered,
        _ => Exit::Usage,
    };
    Stop { exit, text: chain(error), help: None }
}

fn unpack(archive: &Path) -> Result<tempfile::TempDir, Stop> {
    let unreadable =
        |why: String| Stop::usage(format!("cannot read `{}`: {why}", archive.display()));
    let file = File::open(archive).map_err(|error| unreadable(error.to_string()))?;
    let folder = tempfile::tempdir().map_err(|error| Stop {
        exit: Exit::Internal,
        text: format!("cannot make a temporary folder: {error}"),
        help: None,
    })?;
    unpack_layout(BufReader::new(file), folder.path())
        .map_err(|error| unreadable(chain(&error)))?;
    Ok(folder)
}

/// A layout, as it is named on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) archive: bool,
    pub(super) path: PathBuf,
    pub(super) selector: Selector,
}

impl Source {
    /// Reads `DIR`, `oci:DIR[:TAG][@DIGEST]`, `oci-archive:FILE[:TAG][@DIGEST]`.
    pub(super) fn parse(text: &str) -> Result<Self, Stop> {
        let (archive, rest) = match text.split_once(':') {
            Some(("oci", rest)) => (false, rest),
            Some(("oci-archive", rest)) => (true, rest),
            _ => (Path::new(text).is_file(), text),
        };
        let source = |path: &str, selector| Source { archive, path: path.into(), selector };
        if rest.is_empty() {
            return Err(Stop::usage(format!("`{text}` names no layout"))
                .help("write DIR, oci:DIR[:TAG] or oci-archive:FILE[:TAG]"));
        }
        // A path may have a colon in it.
        if Path::new(rest).exists() {
            return Ok(source(rest, Selector::Only));
        }
        if let Some((path, digest)) = rest.split_once("@sha256:") {
            let digest = Digest::parse(&format!("sha256:{digest}"))
                .map_err(|error| Stop::usage(format!("`{text}`: {error}")))?;
            let path = match path.rsplit_once(':') {
                Some((shorter, _)) if !Path::new(path).exists() => shorter,
                _ => path,
            };
            return Ok(source(path, Selector::Digest(digest)));
        }
        match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') && !path.is_empty() => {
                Ok(source(path, Selector::Tag(tag.to_owned())))
            }
            _ => Ok(source(rest, Selector::Only)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let pinned = || Selector::Digest(Digest::parse(&digest).unwrap());
        let check = |text: &str, archive: bool, path: &str, selector: Selector| {
            let want = Source { archive, path: path.into(), selector };
            assert_eq!(Source::parse(text).unwrap(), want, "{text}");
        };
        check("nonesuch", false, "nonesuch", Selector::Only);
        check("nonesuch:1", false, "nonesuch", Selector::Tag("1".into()));
        check("oci:no/ne:a.b", false, "no/ne", Selector::Tag("a.b".into()));
        check("oci:no:ne/x", false, "no:ne/x", Selector::Only);
        check("oci-archive:x.tar", true, "x.tar", Selector::Only);
        check("oci-archive:x.tar:1", true, "x.tar", Selector::Tag("1".into()));
        check(&format!("oci:none@{digest}"), false, "none", pinned());
        check(&format!("oci:none:1@{digest}"), false, "none", pinned());
        check("src", false, "src", Selector::Only);
        check("Cargo.toml", true, "Cargo.toml", Selector::Only);
        for bad in ["oci:", "", "oci:none@sha256:12"] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }
}
