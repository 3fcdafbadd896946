//! Kernels and stores of other kinds, without a container: what is asked for by a hook of the tests goes
//! the same way as where the host leaves no other.

use std::fmt::Write;

use crate::harness::{Build, Kind, Place, Who};

/// A file for each layer; one that a late layer hides.
fn dockerfile(layers: usize) -> String {
    let mut text = String::from("FROM busybox\nCOPY f /many/gone\n");
    for number in 0..layers {
        let _ = writeln!(text, "COPY f /many/{number}");
    }
    text + "RUN rm /many/gone /many/1 && ls /many | wc -l > /count && echo more >> /many/2\n\
            RUN ls /many | wc -l >> /count; cat /many/2 >> /count; test ! -e /many/1\n"
}

fn check(layers: usize, more: &[(&'static str, &str)]) -> String {
    let place = Place::new(Who::usual());
    place.file("ctx/f", "f\n");
    let mut build = Build::text(&place, &dockerfile(layers)).limit(600);
    for (name, value) in more {
        build = build.env(name, value);
    }
    let (outcome, image) = build.image();
    let want = format!("{}\n{}\nf\nmore\n", layers - 1, layers - 1);
    assert_eq!(
        image.tree["count"].kind,
        Kind::File(Some(want.into_bytes())),
        "{}",
        outcome.story()
    );
    image.digest
}

#[test]
fn mounts_are_made_the_way_of_older_kernels_too() {
    // Mounted by options, an overlay takes 100 layers here: so there are more.
    let old = check(180, &[("RBUILD_TEST_MOUNT", "options")]);
    assert_eq!(old, check(180, &[]));
}

#[test]
fn more_layers_than_an_overlay_takes() {
    check(510, &[]);
}
