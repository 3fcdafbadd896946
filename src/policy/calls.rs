//! The kinds of a stage's instructions and the commands of its RUNs in tables, for rules that look for
//! few of them.
//!
//! What each rule asks first of each lies side by side here; instructions and commands themselves lie
//! all over the memory, and of a long text in no cache.

use super::outline::{Item, Outline, Stage};
use crate::facts::shell::Command;
use crate::instruction::KEYWORDS;

/// What is asked of a command first.
#[derive(Clone, Copy)]
pub struct Head<'o> {
    /// Its name, if that is known.
    pub name: Option<&'o str>,
    /// Whether that is the name of a package manager.
    pub manages: bool,
}

impl Head<'_> {
    /// Tells whether that is its name.
    pub fn is(&self, name: &str) -> bool {
        self.name == Some(name)
    }
}

impl<'o> From<&'o Command> for Head<'o> {
    fn from(command: &'o Command) -> Self {
        Head { name: command.name(), manages: command.manages() }
    }
}

/// Returns the number of an instruction's name.
pub(super) fn kind(name: &str) -> u8 {
    let at = KEYWORDS.iter().position(|known| *known == name);
    debug_assert!(at.is_some(), "{name}");
    at.map_or(u8::MAX, |at| at as u8)
}

/// A command: where it stands, and its head.
pub(super) struct Call {
    item: u32,
    command: u32,
    // Names that few have are asked from the command.
    name: Option<&'static str>,
    manages: bool,
}

impl<'a> Stage<'a> {
    /// Returns its instructions of that name, triggers among them.
    pub fn items_of(&self, name: &str) -> impl Iterator<Item = &Item<'a>> {
        self.places_of(name).map(|at| &self.items[at])
    }

    fn places_of(&self, name: &str) -> impl Iterator<Item = usize> {
        let wanted = kind(name);
        let places = self.kinds.iter().enumerate();
        places.filter(move |(_, kind)| **kind == wanted).map(|(at, _)| at)
    }

    /// Returns its RUNs.
    pub fn runs(&self) -> impl Iterator<Item = &Item<'a>> {
        self.items_of("RUN")
    }

    /// Returns the commands of its RUNs that have such a head.
    pub fn calls(
        &self,
        such: impl Fn(Head<'_>) -> bool,
    ) -> impl Iterator<Item = (&Item<'a>, &Command)> {
        self.heads().filter(move |(_, head)| such(*head)).map(|(call, _)| self.called(call))
    }

    /// Returns all commands of its RUNs with their heads.
    pub(super) fn heads(&self) -> impl Iterator<Item = (&Call, Head<'_>)> {
        self.calls.get_or_init(|| self.table()).iter().map(|call| {
            let name = call.name.or_else(|| self.called(call).1.name());
            (call, Head { name, manages: call.manages })
        })
    }

    /// Returns the command that stands there, and its RUN.
    pub(super) fn called(&self, call: &Call) -> (&Item<'a>, &Command) {
        let item = &self.items[call.item as usize];
        (item, &item.script().commands[call.command as usize])
    }

    fn table(&self) -> Vec<Call> {
        let mut table = Vec::new();
        for at in self.places_of("RUN") {
            let commands = &self.items[at].script().commands;
            table.extend(commands.iter().enumerate().map(|(command, of)| Call {
                item: at as u32,
                command: command as u32,
                name: of.common_name(),
                manages: of.manages(),
            }));
        }
        table
    }
}

impl<'a> Outline<'a> {
    /// Returns the instructions of all stages that have that name.
    pub fn items_of(&self, name: &str) -> impl Iterator<Item = &Item<'a>> {
        self.stages.iter().flat_map(move |stage| stage.items_of(name))
    }

    /// Returns the instructions of that name of the stages that become the image.
    pub fn shipped_of(&self, name: &str) -> impl Iterator<Item = &Item<'a>> {
        self.chain().into_iter().flat_map(move |stage| stage.items_of(name))
    }

    /// Returns the RUNs of all stages.
    pub fn runs(&self) -> impl Iterator<Item = &Item<'a>> {
        self.stages.iter().flat_map(Stage::runs)
    }

    /// Returns the commands of all RUNs that have such a head.
    pub fn calls(
        &self,
        such: impl Fn(Head<'_>) -> bool + Copy,
    ) -> impl Iterator<Item = (&Item<'a>, &Command)> {
        self.stages.iter().flat_map(move |stage| stage.calls(such))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Platform;
    use crate::diag::Sources;
    use crate::plan::Request;
    use crate::policy::{Bases, TextInput};

    #[test]
    fn tables_tell_what_a_look_at_each_one_tells() {
        let text = "FROM a AS b\nENV A=b\nRUN apt-get update && ./own x | sh\nCMD curl\n\
                    FROM b\nRUN pip3 install x; cp /usr/bin/curl /c\nLABEL a=b\nENV C=d\n\
                    RUN A=b\nRUN /c -o x y; python3.12 z; $UNKNOWN\n";
        let mut sources = Sources::new();
        let id = sources.add("Dockerfile", text);
        let (file, _) = crate::dockerfile::parse(id, text);
        let (instructions, _) = crate::instruction::parse_all(&file);
        let input = TextInput {
            file: &file,
            instructions: &instructions,
            errors: &[],
            sources: &sources,
            request: &Request::new(Platform::host()),
            bases: &Bases::none(),
            squash: false,
            today: None,
            tags: None,
            context: None,
        };
        let outline = Outline::new(input);
        for name in KEYWORDS {
            let places = outline.items_of(name).map(|item| item.place.index);
            let all = outline.items().filter(|item| item.instruction.name() == *name);
            assert!(places.eq(all.map(|item| item.place.index)), "{name}");
        }
        let names = |such: fn(Head<'_>) -> bool| -> Vec<Option<&str>> {
            outline.calls(such).map(|(_, command)| command.name()).collect()
        };
        let all: Vec<Option<&str>> =
            outline.commands().map(|(_, command)| command.name()).collect();
        assert_eq!(names(|_| true), all);
        assert_eq!(names(|head| head.manages), [Some("apt-get"), Some("pip3")]);
        assert_eq!(names(|head| head.is("curl")), [Some("curl")]);
        assert_eq!(names(|head| head.is("own")), [Some("own")]);
        assert_eq!(names(|head| head.name.is_none()), [None, None]);
    }
}
