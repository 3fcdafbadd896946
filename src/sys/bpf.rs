//! Programs that answer system calls (seccomp(2), linux/filter.h): from a table by architecture, number
//! and arguments, the few instructions that look it up.

use std::collections::BTreeMap;

/// Ends the process.
pub(super) const KILL: u32 = 0x8000_0000;

/// Takes the call without a look by this filter.
pub(super) const ALLOW: u32 = 0x7fff_0000;

/// Answers with an error.
pub(super) fn errno(number: i32) -> u32 {
    0x0005_0000 | number as u32 & 0xffff
}

// Offsets of the number and of the architecture in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Offset of the lower half of an argument: our machines are little endian.
pub(super) const fn argument(number: u8) -> u32 {
    16 + 8 * number as u32
}

/// Offset of the upper half.
pub(super) const fn upper_half(number: u8) -> u32 {
    argument(number) + 4
}

/// How a word is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Test {
    /// It is this.
    Equal(u32),
    /// It is this, or more.
    AtLeast(u32),
    /// One of the bits is set.
    AnyBit(u32),
}

/// A look at a word of a call: one that passes the test gets the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Look {
    /// Offset of the word in `struct seccomp_data`.
    pub(super) word: u32,
    /// What is asked of it.
    pub(super) test: Test,
    /// What follows.
    pub(super) answer: u32,
}

/// What is done with a call: the first look that passes decides, else what stands at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    pub(super) looks: Vec<Look>,
    pub(super) otherwise: u32,
}

impl Outcome {
    /// The same answer to all.
    pub(super) fn all(answer: u32) -> Self {
        Outcome { looks: Vec::new(), otherwise: answer }
    }

    /// An answer to those whose argument passes one of the tests, another one to the rest.
    pub(super) fn of(number: u8, tests: &[Test], answer: u32, otherwise: u32) -> Self {
        let look = |test: &Test| Look { word: argument(number), test: *test, answer };
        Outcome { looks: tests.iter().map(look).collect(), otherwise }
    }
}

/// What is done with the calls of one architecture.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Its number (linux/audit.h).
    pub(super) arch: u32,
    /// By the call's number.
    pub(super) calls: BTreeMap<u32, Outcome>,
    /// With all that are not listed.
    pub(super) unlisted: Outcome,
}

impl Table {
    // The first number of each run of calls with the same outcome, from 0 on.
    fn runs(&self) -> Vec<(u32, &Outcome)> {
        let mut runs: Vec<(u32, &Outcome)> = vec![(0, &self.unlisted)];
        let mut next = 0;
        let mut begin = |first, outcome| {
            if runs.last().is_some_and(|(start, _)| *start == first) {
                runs.pop();
            }
            if runs.last().is_none_or(|(_, last)| *last != outcome) {
                runs.push((first, outcome));
            }
        };
        for (number, outcome) in &self.calls {
            if *number != next {
                begin(next, &self.unlisted);
            }
            begin(*number, outcome);
            // No call has the last number.
            next = number.saturating_add(1);
        }
        begin(next, &self.unlisted);
        runs
    }
}

/// Makes the program that answers as the tables say, and with `other` where the architecture is in none
/// of them. A call's number is found by halving: a filter is checked and compiled by the kernel each time
/// it is installed, and tried for each number there is, so that its length is time of each step.
pub(super) fn program(tables: &[Table], other: u32) -> Vec<libc::sock_filter> {
    let mut code = Backwards::default();
    let mut next = code.answer(other);
    for table in tables.iter().rev() {
        let tree = code.tree(&table.runs());
        let numbers = code.push_before(load(NUMBER), tree);
        next = code.choose(Test::Equal(table.arch), numbers, next);
    }
    code.push_before(load(ARCH), next);
    code.instructions.reverse();
    code.instructions
}

/// A program that is written from its end: a filter jumps ahead only, to what is written already.
#[derive(Default)]
struct Backwards {
    instructions: Vec<libc::sock_filter>,
    /// Where each outcome was written last.
    known: Vec<(Outcome, Place)>,
}

/// A place in a program, counted from its end.
type Place = usize;

/// A test jumps over so many instructions at most.
const FAR: usize = u8::MAX as usize;

impl Backwards {
    fn push(&mut self, one: libc::sock_filter) -> Place {
        self.instructions.push(one);
        self.instructions.len()
    }

    // An instruction that goes on at a place.
    fn push_before(&mut self, one: libc::sock_filter, place: Place) -> Place {
        if self.away(place) > 0 {
            self.push(over(self.away(place)));
        }
        self.push(one)
    }

    // How many instructions the next one passes over on its way to a place.
    fn away(&self, place: Place) -> usize {
        self.instructions.len() - place
    }

    // Makes all these places reachable for a test that comes next, by long jumps where need be.
    fn near(&mut self, places: &mut [Place]) {
        // Each of the others may move all by one more instruction.
        let most = FAR - places.len();
        for place in places {
            if self.away(*place) > most {
                *place = self.push(over(self.away(*place)));
            }
        }
    }

    // A test, which goes to one place or the other.
    fn choose(&mut self, test: Test, yes: Place, no: Place) -> Place {
        let mut places = [yes, no];
        self.near(&mut places);
        let [yes, no] = places.map(|place| u8::try_from(self.away(place)).expect("made near"));
        let (code, value) = match test {
            Test::Equal(value) => (libc::BPF_JEQ, value),
            Test::AtLeast(value) => (libc::BPF_JGE, value),
            Test::AnyBit(bits) => (libc::BPF_JSET, bits),
        };
        let code = (libc::BPF_JMP | code | libc::BPF_K) as u16;
        self.push(libc::sock_filter { code, jt: yes, jf: no, k: value })
    }

    fn answer(&mut self, answer: u32) -> Place {
        self.outcome(&Outcome::all(answer))
    }

    // Where an outcome stands, written anew unless it is near.
    fn outcome(&mut self, outcome: &Outcome) -> Place {
        let known = self.known.iter().find(|(other, _)| other == outcome).map(|(_, place)| *place);
        if let Some(place) = known.filter(|place| self.away(*place) < FAR / 2) {
            return place;
        }
        let mut place = match outcome.looks.is_empty() {
            true => self.push(statement(libc::BPF_RET | libc::BPF_K, outcome.otherwise)),
            false => self.answer(outcome.otherwise),
        };
        for (index, look) in outcome.looks.iter().enumerate().rev() {
            let answer = self.answer(look.answer);
            place = self.choose(look.test, answer, place);
            if index.checked_sub(1).is_none_or(|before| outcome.looks[before].word != look.word) {
                place = self.push_before(load(look.word), place);
            }
        }
        self.known.retain(|(other, _)| other != outcome);
        self.known.push((outcome.clone(), place));
        place
    }

    // Finds the run that the loaded number is in. As deep as the number of runs has digits.
    fn tree(&mut self, runs: &[(u32, &Outcome)]) -> Place {
        if let [(_, only)] = runs {
            return self.outcome(only);
        }
        let (low, high) = runs.split_at(runs.len() / 2);
        let above = self.tree(high);
        let below = self.tree(low);
        self.choose(Test::AtLeast(high[0].0), above, below)
    }
}

// Loads a word of `struct seccomp_data`.
fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

// Passes over many instructions.
fn over(count: usize) -> libc::sock_filter {
    let count = u32::try_from(count).expect("a filter has few instructions");
    statement(libc::BPF_JMP | libc::BPF_JA, count)
}

fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

/// Does what the kernel would do with a call; knows the instructions of this module only.
#[cfg(test)]
pub(super) fn run(code: &[libc::sock_filter], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let data = |offset: u32| match offset {
        NUMBER => number,
        ARCH => arch,
        _ if offset.is_multiple_of(8) => arguments[(offset as usize - 16) / 8] as u32,
        _ => (arguments[(offset as usize - 20) / 8] >> 32) as u32,
    };
    let (mut at, mut held) = (0, 0);
    loop {
        let one = code[at];
        at += 1;
        let jump = |yes: bool| usize::from(if yes { one.jt } else { one.jf });
        match u32::from(one.code) {
            0x20 => held = data(one.k),
            0x54 => held &= one.k,
            0x05 => at += one.k as usize,
            0x15 => at += jump(held == one.k),
            0x25 => at += jump(held > one.k),
            0x35 => at += jump(held >= one.k),
            0x45 => at += jump(held & one.k != 0),
            0x06 => return one.k,
            code => panic!("{code:x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passes(test: Test, word: u32) -> bool {
        match test {
            Test::Equal(value) => word == value,
            Test::AtLeast(value) => word >= value,
            Test::AnyBit(bits) => word & bits != 0,
        }
    }

    // By the tables themselves, without a program.
    fn looked_up(tables: &[Table], arch: u32, number: u32, arguments: [u64; 6]) -> Option<u32> {
        let table = tables.iter().find(|table| table.arch == arch)?;
        let outcome = table.calls.get(&number).unwrap_or(&table.unlisted);
        let word = |offset: u32| match offset % 8 {
            0 => arguments[(offset as usize - 16) / 8] as u32,
            _ => (arguments[(offset as usize - 20) / 8] >> 32) as u32,
        };
        let found = outcome.looks.iter().find(|look| passes(look.test, word(look.word)));
        Some(found.map_or(outcome.otherwise, |look| look.answer))
    }

    fn check(tables: &[Table]) {
        let code = program(tables, KILL);
        let words = [0, 1, 2, 3, 0x1_0000_0000, u64::MAX];
        for arch in 0..4 {
            for number in (0..400).chain([u32::MAX]) {
                for arguments in words.map(|word| [word, 1, word, 0, word, 2]) {
                    let wanted = looked_up(tables, arch, number, arguments).unwrap_or(KILL);
                    assert_eq!(run(&code, arch, number, arguments), wanted, "{arch} {number}");
                }
            }
        }
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        let test = (0u8..3, 0u32..4).prop_map(|(kind, value)| match kind {
            0 => Test::Equal(value),
            1 => Test::AtLeast(value),
            _ => Test::AnyBit(value),
        });
        let word = (0u8..6, any::<bool>()).prop_map(|(number, upper)| match upper {
            true => upper_half(number),
            false => argument(number),
        });
        let look =
            (word, test, 0u32..4).prop_map(|(word, test, answer)| Look { word, test, answer });
        let looks = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(look, 1..6)];
        (looks, 0u32..4).prop_map(|(looks, otherwise)| Outcome { looks, otherwise })
    }

    // Many, for long jumps; or none, which leaves nothing to choose.
    fn calls() -> impl Strategy<Value = BTreeMap<u32, Outcome>> {
        prop_oneof![
            prop::collection::btree_map(0u32..400, outcomes(), 0..300),
            Just(BTreeMap::new()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_program_answers_as_its_tables_do(
            lists in prop::collection::vec((calls(), outcomes()), 0..4),
        ) {
            let table = |(arch, (calls, unlisted))| Table { arch: arch as u32, calls, unlisted };
            check(&lists.into_iter().enumerate().map(table).collect::<Vec<_>>());
        }
    }
}
