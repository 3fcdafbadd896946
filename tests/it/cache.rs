//! A second build runs nothing and says so; a miss tells its cause.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Build, Place, Who, measured, run};

fn twenty_steps() -> String {
    let mut text = String::from("FROM busybox\nCOPY early /early\n");
    for step in 1..=10 {
        writeln!(text, "RUN echo {step} > /step-{step}").expect("memory");
    }
    text += "COPY late /late\n";
    for step in 11..=18 {
        writeln!(text, "RUN echo {step} > /step-{step}").expect("memory");
    }
    text
}

fn place(who: Who) -> Place {
    let place = Place::new(who);
    place.file("ctx/early/file", "early");
    place.file("ctx/late/file", "late");
    place.file("ctx/late/other", "other");
    place
}

#[test]
fn a_cached_rebuild_runs_nothing() {
    for who in Who::every() {
        let place = place(who);
        let build = Build::text(&place, &twenty_steps());
        let (first, image) = build.image();
        let fresh = first.err().matches("] CACHED ").count();
        assert_eq!(fresh, 0, "{}", first.story());

        // The shell's `time` knows the CPU of the program and all that it waited for.
        let command = build.command();
        let mut timed = Command::new("bash");
        timed.args(["-c", "TIMEFORMAT='%U %S'; time \"$@\"", "timed"]);
        timed.arg(command.get_program()).args(command.get_args());
        timed.env_clear().current_dir(place.path());
        timed.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let again = run(&mut timed, Duration::from_secs(60));
        let err = again.err();
        assert_eq!(again.code(), 0, "{err}");
        assert_eq!(again.out().trim(), image.digest);
        assert_eq!(err.matches("] CACHED ").count(), 20, "all are cached:\n{err}");
        assert!(!err.contains("miss:") && !err.contains("] | "), "nothing runs:\n{err}");
        let cpu = err.lines().last().unwrap_or_default();
        measured(&format!(
            "20 cached steps as {who:?}: user and system seconds {cpu}, wall {:?}",
            again.wall
        ));
    }
}

#[test]
fn a_changed_file_is_named_and_what_came_before_is_cached() {
    for who in Who::every() {
        let place = place(who);
        let build = Build::text(&place, &twenty_steps());
        let (_, image) = build.image();
        place.file("ctx/late/other", "changed");
        let (outcome, changed) = build.image();
        assert_ne!(image.digest, changed.digest);
        let err = outcome.err();
        assert_eq!(err.matches("] CACHED ").count(), 11, "what came before:\n{err}");
        let miss = err.lines().find(|line| line.contains("miss:")).unwrap_or_default();
        assert!(miss.contains("late/other"), "the first miss names the file: {miss}\n{err}");
        assert!(!miss.contains("early"), "{miss}");

        // Back again: the records of the first build are still there.
        place.file("ctx/late/other", "other");
        let (outcome, back) = build.image();
        assert_eq!(back.digest, image.digest);
        assert!(!outcome.err().contains("miss:"), "{}", outcome.story());
    }
}

#[test]
fn a_step_with_the_same_result_leaves_later_steps_cached() {
    let place = Place::new(Who::usual());
    place.file("ctx/input", "one");
    let text = "FROM busybox AS build\nCOPY input /input\nRUN grep -c . /input > /count\n\
                FROM busybox\nCOPY --from=build /count /count\nRUN echo later > /later\n";
    let build = Build::text(&place, text);
    build.image();
    place.file("ctx/input", "two");
    let (outcome, _) = build.image();
    let err = outcome.says(&["CACHED COPY --from=build", "CACHED RUN echo later"]);
    assert!(!err.contains("CACHED RUN grep"), "{err}");
}

#[test]
fn arguments_and_base_are_named_as_causes() {
    let place = Place::new(Who::usual());
    let text = "ARG WORD=one\nFROM busybox\nARG WORD\nRUN echo \"$WORD\" > /word\n";
    Build::text(&place, text).image();
    let (outcome, image) = Build::text(&place, text).arg("--build-arg=WORD=two").image();
    assert_eq!(image.text("word"), "two\n");
    let err = outcome.err();
    let miss = err.lines().find(|line| line.contains("miss:")).unwrap_or_default();
    assert!(miss.contains("WORD"), "{err}");
}

#[test]
fn no_cache_runs_everything_and_gives_the_same() {
    let place = place(Who::usual());
    let (_, image) = Build::text(&place, &twenty_steps()).image();
    let (outcome, again) = Build::text(&place, &twenty_steps()).arg("--no-cache").image();
    assert_eq!(image.digest, again.digest);
    assert!(!outcome.err().contains("CACHED"), "{}", outcome.story());
}

#[test]
fn twenty_trivial_steps_are_quick() {
    for who in Who::every() {
        let place = Place::new(who);
        let mut text = String::from("FROM busybox\n");
        (1..=20).for_each(|step| writeln!(text, "RUN echo {step} > /step").expect("memory"));
        Build::text(&place, "FROM busybox\nRUN true\n").image();
        let (outcome, _) = Build::text(&place, &text).image();
        measured(&format!("20 trivial steps as {who:?}: {:?}", outcome.done.wall));
    }
}
