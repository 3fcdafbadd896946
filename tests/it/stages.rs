//! Stages run side by side, and only those that the target needs.

use std::time::Duration;

use crate::harness::{Build, Place, Who, measured};

const FOUR: &str = "FROM busybox AS a\nRUN sleep 1 && echo a > /a\nFROM busybox AS b\nRUN sleep 1 && echo b > /b\n\
                    FROM busybox AS c\nRUN sleep 1 && echo c > /c\nFROM busybox AS d\nRUN sleep 1 && echo d > /d\n\
                    FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\nCOPY --from=c /c /\nCOPY --from=d /d /\n";

#[test]
fn four_stages_that_sleep_overlap() {
    for who in Who::every() {
        let place = Place::new(who);
        let (outcome, image) = Build::text(&place, FOUR).arg("--jobs=4").image();
        let wall = outcome.done.wall;
        measured(&format!("four stages that sleep a second, as {who:?}: {wall:?}"));
        assert!(wall < Duration::from_millis(3500), "they overlap: {wall:?}\n{}", outcome.story());
        assert_eq!(image.text("d"), "d\n");
    }
}

#[test]
fn one_job_is_one_at_a_time() {
    let place = Place::new(Who::usual());
    let (outcome, _) = Build::text(&place, FOUR).arg("--jobs=1").image();
    assert!(outcome.done.wall >= Duration::from_secs(4), "{:?}", outcome.done.wall);
}

#[test]
fn only_what_the_target_needs_is_run() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox AS base\nRUN echo base > /base\nFROM busybox AS unused\nRUN false\n\
                FROM base AS wanted\nRUN echo wanted > /wanted\nFROM base\nRUN false\n";
    let (_, image) = Build::text(&place, text).arg("--target=wanted").image();
    assert_eq!(image.text("wanted"), "wanted\n");
    let err = Build::text(&place, text).arg("--target=wantd").run().err();
    assert!(err.contains("wantd") && err.contains("wanted"), "the nearest name: {err}");
}

#[test]
fn a_failing_stage_stops_the_others() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox AS slow\nRUN sleep 50; echo s > /s\nFROM busybox AS bad\nRUN sleep 0.5; false\n\
                FROM busybox\nCOPY --from=slow /s /\nCOPY --from=bad /s /\n";
    let outcome = Build::text(&place, text).arg("--jobs=4").run();
    outcome.fails(4, &["Dockerfile:4:1"]);
    assert!(outcome.done.wall < Duration::from_secs(20), "{:?}", outcome.done.wall);
}

#[test]
fn two_builds_share_a_store() {
    let one = Place::new(Who::usual());
    let two = Place::new(Who::usual());
    let store = one.at("store");
    let text = "FROM busybox\nRUN sleep 0.3; echo shared > /shared\n";
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| Build::text(&two, text).store(store).image().1.digest);
        let first = Build::text(&one, text).image().1.digest;
        (first, other.join().expect("the other build"))
    });
    assert_eq!(first, second);
}
