//! `rbuild context`: which files a build would see, and which rule says so. Also reads the ignore
//! file for builds.

mod copied;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use rbuild::base::ImagePath;
use rbuild::build::FolderFiles;
use rbuild::diag::chain;
use rbuild::input::{Context, Ignore, Pick, Rule, select};
use rbuild::layer::{Entry, EntryKind};
use rbuild::output::Target;
use rbuild::sys::{FileKind, Follow};
use serde_json::json;

use super::exit::Exit;
use super::progress::size;
use super::shared::{Stop, printable};

/// Show which files of a context a build would see.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List the files that a build would see
    Ls {
        /// The folder
        #[arg(value_name = "CONTEXT", default_value = ".")]
        context: PathBuf,
        /// Show sizes, and their sum
        #[arg(long)]
        sizes: bool,
        /// Only what COPY and ADD of the Dockerfile take
        #[arg(long)]
        copied: bool,
        /// With --copied: on the way to this stage, by name or number, instead of the last one
        #[arg(long, value_name = "STAGE", requires = "copied")]
        target: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Tell which rule keeps a file in or out
    Why {
        /// A path in the context
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// The folder
        #[arg(value_name = "CONTEXT", default_value = ".")]
        context: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(clap::Args, Debug)]
struct Common {
    /// The Dockerfile, whose own ignore file `<PATH>.dockerignore` goes first
    #[arg(short, long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The answer's form
    #[arg(long, value_name = "text|json", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let text = match &args.command {
        Command::Ls { context, sizes, copied, target, common } => {
            let copied = copied.then_some(target.as_deref());
            ls(context, *sizes, copied, common)
        }
        Command::Why { path, context, common } => why(path, context, common),
    };
    match text {
        Ok(text) => {
            // A closed pipe is the reader's choice.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            Exit::Success
        }
        Err(stop) => stop.tell(),
    }
}

/// Finds the Dockerfile of a folder.
pub(crate) fn dockerfile_in(folder: &Path) -> Option<PathBuf> {
    let names = ["Dockerfile", "Containerfile"];
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Finds the ignore file: that of the Dockerfile, else that of the context.
pub(crate) fn ignore_file(folder: Option<&Path>, dockerfile: Option<&Path>) -> Option<PathBuf> {
    let own = dockerfile.map(|path| {
        let mut own = path.to_owned().into_os_string();
        own.push(".dockerignore");
        PathBuf::from(own)
    });
    let common = folder
        .into_iter()
        .flat_map(|folder| [".dockerignore", ".containerignore"].map(|name| folder.join(name)));
    own.into_iter().chain(common).find(|path| path.is_file())
}

/// Reads the ignore file, if there is one. What of `written` is in the context is left out too: what
/// a build writes is no part of what the next one reads.
pub(crate) fn ignore(
    file: Option<&Path>,
    context: &Path,
    written: &[PathBuf],
) -> Result<Option<Ignore>, Stop> {
    let mut ignore = match file {
        None => Ignore::default(),
        Some(file) => {
            let name = file.strip_prefix(".").unwrap_or(file).display().to_string();
            let text = read_ignore(file, context)
                .map_err(|why| Stop::usage(format!("cannot read `{name}`: {why}")))?;
            let ignore =
                Ignore::parse(&text).map_err(|error| Stop::usage(format!("`{name}`: {error}")))?;
            ignore.named(name)
        }
    };
    for path in written {
        if let Some(inside) = inside(path, context) {
            ignore.leave_out(&inside, "what the build writes");
        }
    }
    Ok(if ignore.is_empty() { None } else { Some(ignore) })
}

/// Returns the files of a context for rules: listed when the first one asks.
pub(crate) fn listed(
    folder: &Path,
    dockerfile: Option<&Path>,
    written: &[PathBuf],
) -> Result<Arc<FolderFiles>, Stop> {
    let file = ignore_file(Some(folder), dockerfile);
    let ignore = ignore(file.as_deref(), folder, written)?;
    let name = file.and_then(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
    Ok(Arc::new(FolderFiles::new(folder.to_owned(), ignore, name)))
}

/// The largest ignore file, in bytes.
const IGNORE_LIMIT: u64 = 10 << 20;

// One that lies in the context is a stranger's like the rest: a link out of the context leads
// nowhere. One beside a Dockerfile elsewhere was named by the user.
fn read_ignore(file: &Path, context: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| error.to_string();
    let open = match inside(file, context) {
        Some(at) => {
            let root = rbuild::sys::Root::open_host(context).map_err(told)?;
            root.open(&at, Follow::InRoot).map_err(|error| match root.stat(&at, Follow::No) {
                Ok(stat) if stat.kind == FileKind::Symlink => {
                    "it is a link to no file of the context".to_owned()
                }
                _ => told(error),
            })?
        }
        None => std::fs::File::open(file).map_err(told)?,
    };
    let mut text = Vec::new();
    open.take(IGNORE_LIMIT + 1).read_to_end(&mut text).map_err(told)?;
    if text.len() as u64 > IGNORE_LIMIT {
        return Err(format!("it is larger than {IGNORE_LIMIT} bytes"));
    }
    Ok(text)
}

/// The place of `path` in the context, if it is there: by whatever links the two are named.
fn inside(path: &Path, context: &Path) -> Option<ImagePath> {
    // It may not be there yet, its folder is.
    let path = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => without_links(folder)?.join(name),
        _ => without_links(path)?,
    };
    let inside = path.strip_prefix(without_links(context)?).ok()?;
    ImagePath::from_entry(inside.as_os_str().as_encoded_bytes()).ok()
}

#[expect(clippy::disallowed_methods, reason = "two names are compared; nothing is opened by them")]
fn without_links(path: &Path) -> Option<PathBuf> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok()
}

fn open(folder: &Path, common: &Common) -> Result<Context, Stop> {
    if !folder.is_dir() {
        return Err(Stop::usage(format!("the context `{}` is not a folder", folder.display())));
    }
    let dockerfile = common.file.clone().or_else(|| dockerfile_in(folder));
    let file = ignore_file(Some(folder), dockerfile.as_deref());
    let ignore = ignore(file.as_deref(), folder, &Target::default_layout().paths())?;
    Context::open(folder, ignore).map_err(|error| Stop::usage(chain(&error)))
}

/// `copied`: only what is copied, and the stage that counts.
fn ls(
    folder: &Path,
    sizes: bool,
    copied: Option<Option<&str>>,
    common: &Common,
) -> Result<String, Stop> {
    let context = open(folder, common)?;
    let entries: Vec<Entry> = match copied {
        Some(target) => {
            let dockerfile =
                common.file.clone().or_else(|| dockerfile_in(folder)).ok_or_else(|| {
                    Stop::usage(format!("no Dockerfile in `{}`", folder.display()))
                        .help("name one with -f PATH")
                })?;
            copied::copied(&context, &dockerfile, target)?
        }
        None => {
            let all = Pick { sources: vec![".".to_owned()], ..Pick::default() };
            let found = select(&context, &all, None).map_err(|error| Stop::usage(chain(&error)))?;
            found.entries().cloned().collect()
        }
    };
    let filled: BTreeSet<_> = entries.iter().filter_map(|entry| entry.path.parent()).collect();
    let (mut text, mut list, mut total) = (String::new(), Vec::new(), 0);
    for entry in entries.iter().filter(|entry| !entry.path.is_root()) {
        let folder = entry.kind == EntryKind::Dir;
        // A folder is told by what is in it, unless there is nothing.
        if folder && filled.contains(&entry.path) {
            continue;
        }
        let bytes = match entry.kind {
            EntryKind::File { size } => size,
            _ => 0,
        };
        total += bytes;
        let slash = if folder { "/" } else { "" };
        let name = format!("{}{slash}", String::from_utf8_lossy(entry.path.relative()));
        if common.format == "json" {
            list.push(json!({ "path": name, "size": bytes }));
        } else if sizes {
            let _ = writeln!(text, "{:>9}  {}", size(bytes), printable(&name));
        } else {
            let _ = writeln!(text, "{}", printable(&name));
        }
    }
    if common.format == "json" {
        let document = json!({ "version": 1, "size": total, "files": list });
        return Ok(format!("{document:#}\n"));
    }
    if sizes {
        let _ = writeln!(text, "{:>9}  in all", size(total));
    }
    Ok(text)
}

fn why(path: &Path, folder: &Path, common: &Common) -> Result<String, Stop> {
    let context = open(folder, common)?;
    let wrong = || Stop::usage(format!("`{}` is no path in the context", path.display()));
    let inside = match path.is_absolute() {
        true => path.strip_prefix(std::path::absolute(folder).map_err(|_| wrong())?),
        false => Ok(path),
    };
    let bytes = inside.map_err(|_| wrong())?.as_os_str().as_encoded_bytes();
    let at = ImagePath::root().resolve(bytes).map_err(|_| wrong())?;
    let there = context.root().stat_opt(&at, Follow::No).is_ok_and(|stat| stat.is_some());
    let rule = context.ignore().and_then(|ignore| ignore.rule(&at));
    let included = !rule.as_ref().is_some_and(|rule| rule.excludes);
    let name = String::from_utf8_lossy(at.relative()).into_owned();
    if common.format == "json" {
        let rule = rule.map(|rule| {
            let matched = String::from_utf8_lossy(rule.matched.relative()).into_owned();
            json!({
                "file": rule.file,
                "line": rule.file.as_ref().map(|_| rule.line),
                "pattern": rule.pattern,
                "matched": matched,
            })
        });
        let document = json!({
            "version": 1, "path": name, "exists": there, "included": included, "rule": rule,
        });
        return Ok(format!("{document:#}\n"));
    }
    let mut text = format!(
        "{}: {}: {}",
        printable(&name),
        if included { "in" } else { "out" },
        rule.map_or("no rule matches".to_owned(), |rule| told(&rule, &at))
    );
    if !there {
        text.push_str(" (there is no such file)");
    }
    text.push('\n');
    Ok(text)
}

fn told(rule: &Rule, at: &ImagePath) -> String {
    let mut text = rule.to_string();
    if rule.file.is_some() {
        let _ = write!(text, ": {}", printable(&rule.pattern));
    }
    if rule.matched != *at {
        let folder = String::from_utf8_lossy(rule.matched.relative()).into_owned();
        let _ = write!(text, " (by the folder {})", printable(&folder));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("Dockerfile", "FROM scratch\n"),
            (".dockerignore", "*.log\nsecret/\n!keep.log\n"),
            ("other.Dockerfile.dockerignore", "src\n"),
            ("a.log", "1"),
            ("keep.log", "22"),
            ("src/app.py", "333"),
            ("secret/key", "4444"),
            ("image.oci/index.json", "{}"),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        folder
    }

    fn common(file: Option<PathBuf>, format: &str) -> Common {
        Common { file, format: format.to_owned() }
    }

    #[test]
    fn lists_what_a_build_sees() {
        let folder = folder();
        // The build's own output is looked for where the program runs, here elsewhere.
        let text = ls(folder.path(), false, None, &common(None, "text")).unwrap();
        let want = ".dockerignore\nDockerfile\nempty/\nimage.oci/index.json\nkeep.log\n\
                    other.Dockerfile.dockerignore\nsrc/app.py\n";
        assert_eq!(text, want);
        let own = common(Some(folder.path().join("other.Dockerfile")), "json");
        let text = ls(folder.path(), false, None, &own).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["version"], 1);
        let files = document["files"].as_array().unwrap();
        assert!(files.iter().any(|file| file["path"] == "a.log" && file["size"] == 1), "{text}");
        assert!(!text.contains("app.py"), "{text}");
        let text = ls(folder.path(), true, None, &common(None, "text")).unwrap();
        assert!(text.contains("  keep.log\n") && text.ends_with("in all\n"), "{text}");
    }

    #[test]
    fn lists_what_is_copied() {
        let folder = folder();
        let check = |text: &str, target: Option<&str>, want: &str| {
            std::fs::write(folder.path().join("Dockerfile"), text).unwrap();
            let common = common(None, "text");
            assert_eq!(ls(folder.path(), false, Some(target), &common).unwrap(), want, "{text}");
        };
        check("FROM scratch\nRUN true\n", None, "");
        check(
            "FROM scratch\nCOPY src keep.log /x/\nADD *.log /y/\n",
            None,
            "keep.log\nsrc/app.py\n",
        );
        check("FROM scratch\nCOPY --exclude=*.py src empty /x/\n", None, "empty/\nsrc/\n");
        let two = "FROM scratch AS a\nCOPY keep.log /\nFROM scratch AS b\nCOPY src /\n\
                   FROM scratch\nCOPY --from=a keep.log /secret\n";
        check(two, None, "keep.log\n");
        check(two, Some("b"), "src/app.py\n");
        let wrong = ls(folder.path(), false, Some(Some("c")), &common(None, "text"));
        assert!(wrong.unwrap_err().text.contains("no stage `c`"));
    }

    #[test]
    fn tells_the_rule() {
        let folder = folder();
        let file = folder.path().join(".dockerignore");
        let file = file.display();
        for (path, want) in [
            ("a.log", format!("a.log: out: {file}:1: *.log\n")),
            ("./keep.log", format!("keep.log: in: {file}:3: !keep.log\n")),
            ("secret/key", format!("secret/key: out: {file}:2: secret/ (by the folder secret)\n")),
            ("src/app.py", "src/app.py: in: no rule matches\n".to_owned()),
            ("x.log", format!("x.log: out: {file}:1: *.log (there is no such file)\n")),
        ] {
            let text = why(Path::new(path), folder.path(), &common(None, "text")).unwrap();
            assert_eq!(text, want);
        }
        let absolute = folder.path().join("a.log");
        let text = why(&absolute, folder.path(), &common(None, "json")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["included"], false);
        assert_eq!(document["rule"]["line"], 1);
        assert!(why(Path::new("/nowhere"), folder.path(), &common(None, "text")).is_err());
    }

    #[test]
    fn outputs_in_the_context_are_left_out() {
        let folder = folder();
        let target = Target::bare(folder.path().join("image.oci").to_str().unwrap()).unwrap();
        let ignore = ignore(None, folder.path(), &target.paths()).unwrap().unwrap();
        assert!(ignore.excludes(&ImagePath::from_entry(b"image.oci/index.json").unwrap()));
        assert!(!ignore.excludes(&ImagePath::from_entry(b"src/image.oci").unwrap()));
    }

    #[test]
    fn what_is_written_into_the_context_is_found_there() {
        let folder = tempfile::tempdir().unwrap();
        let (context, link) = (folder.path().join("context"), folder.path().join("link"));
        std::fs::create_dir_all(context.join("sub")).unwrap();
        std::os::unix::fs::symlink(&context, &link).unwrap();
        let check = |path: &str, want: Option<&str>| {
            for context in [&context, &link] {
                let found = inside(&folder.path().join(path), context);
                assert_eq!(found.map(|found| found.to_string()).as_deref(), want, "{path}");
            }
        };
        check("context/image.oci", Some("/image.oci"));
        check("link/sub/x", Some("/sub/x"));
        check("context/sub/../x", Some("/x"));
        check("context/new/x", Some("/new/x"));
        check("image.oci", None);
    }
}
