//! Build arguments, and the stages that flags name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use rbuild::diag::nearest;
use rbuild::instruction::Instruction;

use super::environment;
use super::shared::Stop;

/// The largest file of build arguments, in bytes.
const LIMIT: u64 = 1 << 20;

/// `--build-arg`, `--build-arg-file` and `--no-cache-filter`.
#[derive(clap::Args, Debug)]
pub(crate) struct ArgumentArgs {
    /// Set a build argument; without `=VALUE`, take it from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Read build arguments: one NAME[=VALUE] a line, `#` begins a comment; --build-arg wins
    #[arg(long, value_name = "FILE")]
    build_arg_file: Vec<PathBuf>,
    /// Do not read cache records of these stages, by name or number
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
}

impl ArgumentArgs {
    /// Puts the build arguments together: files in their order, then the command line; the last one
    /// of a name wins. `None` is a name that the environment does not have.
    pub(crate) fn build_args(&self) -> Result<BTreeMap<String, Option<String>>, Stop> {
        let mut list = BTreeMap::new();
        let mut set = |text: &str| {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text, environment::variable(text)),
            };
            list.insert(name.to_owned(), value);
        };
        for path in &self.build_arg_file {
            let text = read(path)?;
            for line in lines(&text, &path.display().to_string())? {
                set(line);
            }
        }
        self.build_arg.iter().for_each(|text| set(text));
        Ok(list)
    }

    /// Returns the numbers of the stages that `--no-cache-filter` names.
    pub(crate) fn no_cache_stages(
        &self,
        instructions: &[Instruction],
    ) -> Result<BTreeSet<usize>, Stop> {
        stages("--no-cache-filter", &self.no_cache_filter, instructions)
    }

    /// Tells which flag names a stage that there is not.
    pub(crate) fn check_stages(
        &self,
        target: Option<&str>,
        instructions: &[Instruction],
    ) -> Result<(), Stop> {
        check_target(target, instructions)?;
        self.no_cache_stages(instructions).map(drop)
    }
}

fn read(path: &Path) -> Result<String, Stop> {
    let name = path.display();
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text))
        .map_err(|error| Stop::usage(format!("cannot read `{name}`: {error}")))?;
    if text.len() as u64 > LIMIT {
        return Err(Stop::usage(format!("`{name}` is larger than {LIMIT} bytes")));
    }
    Ok(text)
}

/// The arguments of a file; values are verbatim, without the blanks around the line.
fn lines<'a>(text: &'a str, name: &str) -> Result<Vec<&'a str>, Stop> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let argument = line.split('=').next().unwrap_or("");
        if argument.is_empty() || argument.contains(char::is_whitespace) {
            let place = format!("{name}:{}", number + 1);
            return Err(Stop::usage(format!("{place}: `{argument}` is no name of an argument"))
                .help("write NAME=VALUE"));
        }
        found.push(line);
    }
    Ok(found)
}

/// Tells that the stage of `--target` is not there.
pub(crate) fn check_target(target: Option<&str>, instructions: &[Instruction]) -> Result<(), Stop> {
    let wanted: Vec<String> = target.map(str::to_owned).into_iter().collect();
    stages("--target", &wanted, instructions).map(drop)
}

fn stages(
    flag: &str,
    wanted: &[String],
    instructions: &[Instruction],
) -> Result<BTreeSet<usize>, Stop> {
    let names: Vec<Option<&str>> = instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::From(from) => Some(from.name.as_ref().map(|name| name.raw.as_str())),
            _ => None,
        })
        .collect();
    let mut found = BTreeSet::new();
    for word in wanted.iter().map(|word| word.trim()).filter(|word| !word.is_empty()) {
        let same = |name: &Option<&str>| name.is_some_and(|name| name.eq_ignore_ascii_case(word));
        found.extend((0..names.len()).filter(|index| same(&names[*index])));
        let number = word.parse().ok().filter(|index: &usize| *index < names.len());
        found.extend(number);
        if number.is_none() && !names.iter().any(same) {
            let stop = Stop::usage(format!("{flag}: there is no stage `{word}`"));
            return Err(match nearest(word, names.iter().copied().flatten()) {
                Some(near) => stop.help(format!("did you mean `{near}`?")),
                None => stop,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_one_argument_a_line() {
        let check = |text: &str, want: Result<&[&str], &str>| match (lines(text, "args"), want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want, "{text}"),
            (Err(stop), Err(want)) => assert_eq!(stop.text, want),
            (found, _) => panic!("{text}: {found:?}"),
        };
        let text = "\u{feff}# versions\r\nA=1\r\n\n  B=x # y=z  \nC\nA=2";
        check(text, Ok(&["A=1", "B=x # y=z", "C", "A=2"]));
        check("A=1\n=2\n", Err("args:2: `` is no name of an argument"));
        check("export A=1", Err("args:1: `export A` is no name of an argument"));
    }

    #[test]
    fn the_command_line_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("args");
        std::fs::write(&path, "A=file\nB=file\n").unwrap();
        let args = ArgumentArgs {
            build_arg: vec!["A=line".into(), "NOBODY_HAS_SET_THIS".into()],
            build_arg_file: vec![path],
            no_cache_filter: Vec::new(),
        };
        let list = args.build_args().unwrap();
        let value = |text: &str| Some(text.to_owned());
        let want = [("A", value("line")), ("B", value("file")), ("NOBODY_HAS_SET_THIS", None)];
        assert_eq!(list, want.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn stages_have_names_and_numbers() {
        let mut sources = rbuild::diag::Sources::new();
        let text = "FROM a AS Build\nFROM b\nFROM c AS final\n";
        let source = sources.add("Dockerfile", text);
        let (file, _) = rbuild::dockerfile::parse(source, text);
        let (instructions, _) = rbuild::instruction::parse_all(&file);
        let check = |wanted: &str, want: Result<&[usize], &str>| {
            let wanted: Vec<String> = wanted.split(',').map(str::to_owned).collect();
            match (stages("--target", &wanted, &instructions), want) {
                (Ok(found), Ok(want)) => assert!(found.iter().eq(want), "{wanted:?}: {found:?}"),
                (Err(stop), Err(want)) => assert_eq!(stop.help.as_deref(), Some(want)),
                (found, _) => panic!("{wanted:?}: {found:?}"),
            }
        };
        check("build,2", Ok(&[0, 2]));
        check("build,BUILD,0", Ok(&[0]));
        check("finel", Err("did you mean `final`?"));
        assert!(check_target(Some("3"), &instructions).is_err());
        assert!(check_target(Some("2"), &instructions).is_ok());
        assert!(check_target(None, &instructions).is_ok());
    }
}
