//! Questions that many rules ask of the text.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Place;
use super::outline::{BaseName, Item, Outline, Stage};
use crate::base::{ImageRef, Span};
use crate::dockerfile::{Comment, Expander, Line, Scope, Word};
use crate::facts::shell::Command;
use crate::instruction::{Instruction, Mount, Source};

impl<'a> Outline<'a> {
    /// Returns the instructions of all stages.
    pub fn items(&self) -> impl Iterator<Item = &Item<'a>> {
        self.stages.iter().flat_map(|stage| &stage.items)
    }

    /// Returns the instructions of the stages that become the image.
    pub fn shipped(&self) -> impl Iterator<Item = &Item<'a>> {
        self.chain().into_iter().flat_map(|stage| &stage.items)
    }

    /// Returns the commands of all RUNs.
    pub fn commands(&self) -> impl Iterator<Item = (&Item<'a>, &Command)> {
        self.runs()
            .flat_map(|item| item.script().commands.iter().map(move |command| (item, command)))
    }

    /// Returns the words at a place.
    pub fn written(&self, span: Span) -> &str {
        self.input.sources.slice(span)
    }

    /// Returns a stage and those that it is built FROM, the lowest first.
    pub fn line_of(&self, index: usize) -> Vec<&Stage<'a>> {
        let mut line = Vec::new();
        let mut at = Some(index);
        while let Some(stage) = at.and_then(|index| self.stages.get(index)) {
            line.push(stage);
            at = match stage.base {
                BaseName::Stage(below) => Some(below),
                _ => None,
            };
        }
        line.reverse();
        line
    }

    /// Returns the stages that the target is made of: those it is built FROM, and those that it
    /// or they take files from.
    pub fn live(&self) -> BTreeSet<usize> {
        self.target.map(|target| self.live_from(target)).unwrap_or_default()
    }

    /// Returns the stages that a stage is made of, itself included.
    pub fn live_from(&self, index: usize) -> BTreeSet<usize> {
        let mut live = BTreeSet::new();
        let mut open = vec![index];
        while let Some(index) = open.pop() {
            if !live.insert(index) {
                continue;
            }
            let stage = &self.stages[index];
            if let BaseName::Stage(below) = stage.base {
                open.push(below);
            }
            for item in &stage.items {
                open.extend(
                    item.froms().into_iter().filter_map(|name| self.stage_named(&name, index)),
                );
            }
        }
        live
    }

    /// Returns the names of the commands whose output a command reads.
    pub fn feeders<'s>(
        &self,
        item: &'s Item<'a>,
        command: &'s Command,
    ) -> impl Iterator<Item = &'s str> {
        let commands = &item.script().commands;
        commands
            .iter()
            .filter(|other| other.feeds.iter().any(|pipe| command.reads.contains(pipe)))
            .filter_map(Command::name)
    }

    /// Returns the last USER of the stages that become the image, with its value.
    pub fn user(&self) -> Option<(&Item<'a>, Span, String)> {
        let last = self.shipped().filter_map(|item| match item.instruction {
            Instruction::User(user) => Some((item, user)),
            _ => None,
        });
        let (item, user) = last.last()?;
        Some((item, user.who.span, item.expand(&user.who.raw).unwrap_or_default()))
    }

    /// Returns the images of registries that FROM, `--from` and mounts name.
    pub fn images(&self) -> Vec<(Place, Span, ImageRef)> {
        let mut out = Vec::new();
        for stage in &self.stages {
            if let BaseName::Image(image) = &stage.base {
                out.push((stage.place, stage.from.base.span, image.clone()));
            }
            for item in &stage.items {
                let words: Vec<&Word> = match item.instruction {
                    Instruction::Copy(copy) => copy.from.iter().collect(),
                    _ => item.mounts().iter().filter_map(|mount| mount.value("from")).collect(),
                };
                for word in words {
                    let known = self.stage_named(&word.raw, stage.index).is_some()
                        || self.input.request.named_contexts.contains_key(&word.raw)
                        || matches!(word.raw.as_str(), "scratch" | "context");
                    if let (false, Ok(image)) = (known, ImageRef::parse(&word.raw)) {
                        out.push((item.place, word.span, image));
                    }
                }
            }
        }
        out
    }

    /// Returns the working directory where an instruction stands, if it can be told: `/` where
    /// nothing sets one.
    pub fn workdir(&self, item: &Item<'_>) -> Option<String> {
        item.workdir.as_deref().map(str::to_owned)
    }

    /// Returns the line of the file that holds a byte, with its number.
    pub fn line_at(&self, byte: u32) -> Option<(usize, &'a Line)> {
        let lines = &self.input.file.lines;
        let index = lines.partition_point(|line| line.span.start <= byte).checked_sub(1)?;
        Some((index, &lines[index])).filter(|(_, line)| byte < line.span.end)
    }

    /// Returns the comments between two bytes.
    pub fn comments_between(&self, from: u32, to: u32) -> &'a [Comment] {
        let comments = &self.input.file.comments;
        let first = comments.partition_point(|comment| comment.span.start < from);
        let last = comments.partition_point(|comment| comment.span.start < to);
        comments.get(first..last).unwrap_or(&[])
    }

    /// Returns the ARGs before the first FROM, with their defaults as written.
    pub fn globals(&self) -> BTreeMap<&'a str, Option<&'a str>> {
        let before = self
            .input
            .instructions
            .iter()
            .take_while(|instruction| !matches!(instruction, Instruction::From(_)));
        let mut out = BTreeMap::new();
        for instruction in before {
            if let Instruction::Arg(arg) = instruction {
                for one in &arg.args {
                    let default = one.default.as_ref().map(|word| word.raw.as_str());
                    out.insert(one.name.raw.as_str(), default);
                }
            }
        }
        out
    }

    /// Expands a word of FROM with the defaults of the ARGs alone.
    pub fn with_defaults(&self, raw: &str) -> Option<String> {
        let escape = self.input.file.escape;
        let mut scope = Scope::new();
        for (prefix, platform) in [
            ("TARGET", &self.input.request.platform),
            ("BUILD", &self.input.request.build_platform),
        ] {
            scope.set(format!("{prefix}PLATFORM"), platform.to_string());
            scope.set(format!("{prefix}OS"), platform.os.clone());
            scope.set(format!("{prefix}ARCH"), platform.architecture.clone());
            scope.set(format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default());
        }
        for instruction in self.input.instructions {
            match instruction {
                Instruction::From(_) => break,
                Instruction::Arg(arg) => {
                    for one in &arg.args {
                        if let Some(default) = &one.default
                            && let Ok(value) = Expander::new(escape).word(&default.raw, &scope)
                        {
                            scope.set(one.name.raw.clone(), value);
                        }
                    }
                }
                _ => {}
            }
        }
        Expander::new(escape).word(raw, &scope).ok()
    }

    /// Returns the instructions of the stage, and of those below it, that stand before this one;
    /// the nearest first. Of very many, only the nearest.
    pub fn before(&self, item: &Item<'_>) -> Vec<&Item<'a>> {
        let mut out = Vec::new();
        let mut at = item.place.stage;
        while let Some(stage) = at.and_then(|index| self.stages.get(index)) {
            let end = stage.items.partition_point(|other| other.place.index < item.place.index);
            let room = FARTHEST.saturating_sub(out.len());
            out.extend(stage.items[..end].iter().rev().take(room));
            at = match stage.base {
                BaseName::Stage(below) if out.len() < FARTHEST => Some(below),
                _ => None,
            };
        }
        out
    }
}

// Nobody's setting is farther away; and each of many instructions may ask.
const FARTHEST: usize = 500;

impl Item<'_> {
    /// Returns the names that it takes files from, expanded: of `--from` and of mounts.
    pub fn froms(&self) -> Vec<String> {
        let names: Vec<&str> = match self.instruction {
            Instruction::Copy(copy) => copy.from.iter().map(|word| word.raw.as_str()).collect(),
            Instruction::Run(run) => {
                let of = |mount: &Mount| mount.value("from").map(|word| word.raw.clone());
                return run.mounts.iter().filter_map(of).filter_map(|n| self.expand(&n)).collect();
            }
            _ => Vec::new(),
        };
        names.into_iter().filter_map(|name| self.expand(name)).collect()
    }

    /// Returns the mounts of a RUN.
    pub fn mounts(&self) -> &[Mount] {
        match self.instruction {
            Instruction::Run(run) => &run.mounts,
            _ => &[],
        }
    }

    /// Returns what a COPY or ADD from the main context takes, word by word with the value, and
    /// where it puts it; `None` for other instructions.
    pub fn transfer(&self) -> Option<Transfer> {
        let (sources, destination, from) = match self.instruction {
            Instruction::Copy(copy) => (&copy.sources, &copy.destination, copy.from.as_ref()),
            Instruction::Add(add) => (&add.sources, &add.destination, None),
            _ => return None,
        };
        let inline = sources.iter().any(|source| matches!(source, Source::Inline(..)));
        let sources = sources
            .iter()
            .filter_map(|source| match source {
                Source::Path(word) => Some((word.span, self.expand(&word.raw)?)),
                Source::Inline(..) => None,
            })
            .collect();
        Some(Transfer {
            sources,
            inline,
            destination: self.expand(&destination.raw).unwrap_or_default(),
            destination_span: destination.span,
            from: from.map(|word| self.expand(&word.raw).unwrap_or_default()),
        })
    }
}

/// What COPY or ADD takes, and where to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// The sources, expanded.
    pub sources: Vec<(Span, String)>,
    /// Whether a heredoc is among the sources.
    pub inline: bool,
    /// The destination, expanded.
    pub destination: String,
    /// Where it is written.
    pub destination_span: Span,
    /// `--from`, expanded.
    pub from: Option<String>,
}

impl Transfer {
    /// Tells whether it takes from the main context.
    pub fn from_context(&self) -> bool {
        self.from.is_none()
    }
}

impl Transfer {
    /// Returns the paths that a source becomes: its own, and that below the destination where it
    /// is a folder. Without the working directory, a relative destination gives none.
    pub fn places(&self, source: &str, workdir: Option<&str>) -> Vec<String> {
        let Some(to) = absolute(&self.destination, workdir) else { return Vec::new() };
        let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or(source);
        let folder = self.destination.ends_with('/')
            || matches!(self.destination.as_str(), "." | "./")
            || self.sources.len() > 1;
        let below = format!("{}/{name}", to.trim_end_matches('/'));
        if folder { vec![below] } else { vec![to, below] }
    }
}

/// Returns a path from the root, without `.` and `..`; a relative one needs the working directory.
pub(super) fn absolute(path: &str, workdir: Option<&str>) -> Option<String> {
    let mut full = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        super::context::append(&mut full, workdir?);
    }
    super::context::append(&mut full, path);
    full.insert(0, '/');
    Some(full)
}

/// Returns the variables that a word names: `$A`, `${A}`, `${A:-…}`, with the bytes of each name.
/// What is escaped or in single quotes is none.
pub fn variables(raw: &str, escape: char) -> Vec<(&str, std::ops::Range<usize>)> {
    let mut out = Vec::new();
    let bytes = raw.as_bytes();
    let mut single = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            byte if byte == escape as u8 && !single => at += 1,
            b'\'' => single = !single,
            b'$' if !single => {
                let start = at + 1 + usize::from(bytes.get(at + 1) == Some(&b'{'));
                let length = bytes[start.min(bytes.len())..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
                    .count();
                let first = bytes.get(start).copied().unwrap_or(b'0');
                if length > 0 && !first.is_ascii_digit() {
                    out.push((&raw[start..start + length], start..start + length));
                    at = start + length - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    out
}
