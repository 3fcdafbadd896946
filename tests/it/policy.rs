//! The default profile refuses before it works, and lets a good Dockerfile through.

use crate::harness::{Build, Place, Who, busybox};

fn check_refused(dockerfile: &str, said: &[&str]) {
    for who in Who::every() {
        let place = Place::new(who);
        if let Some(layout) = busybox(&place.at("base")) {
            let base = format!("--build-context=debian=oci-layout://{}:latest", layout.display());
            let build = Build::text(&place, dockerfile).policy(None).arg(base);
            let err = build.run().fails(1, said);
            assert!(!err.contains("THE STEP RAN"), "refused before any step:\n{err}");
        }
    }
}

#[test]
fn an_image_without_user_is_refused_before_any_step() {
    check_refused(
        "FROM debian\nRUN echo THE STEP | sed 's/$/ RAN/'\n",
        &["final-user-root", "Dockerfile:1:", "hardened", "--policy"],
    );
}

#[test]
fn a_user_with_id_0_by_any_name_is_refused() {
    for user in ["root", "0", "0:0"] {
        check_refused(
            &format!("FROM debian\nRUN echo THE STEP | sed 's/$/ RAN/'\nUSER {user}\n"),
            &["final-user-root", "Dockerfile:3:"],
        );
    }
}

#[test]
fn a_good_dockerfile_passes_the_default_profile() {
    for who in Who::every() {
        let place = Place::new(who);
        let text = "FROM busybox AS build\nRUN echo made > /made\n\
                    FROM busybox\nCOPY --from=build /made /made\nUSER 10001:10001\n\
                    HEALTHCHECK CMD [\"true\"]\nCMD [\"cat\", \"/made\"]\n";
        let (_, image) = Build::text(&place, text).policy(None).image();
        assert_eq!(image.config["config"]["User"], "10001:10001");
        assert_eq!(image.text("made"), "made\n");
    }
}

#[test]
fn a_user_that_passwd_makes_root_is_refused() {
    let place = Place::new(Who::usual());
    let text = "FROM busybox AS build\nRUN true\nFROM busybox\n\
                RUN echo 'toor:x:0:0::/:/bin/sh' >> /etc/passwd\nUSER toor\n";
    Build::text(&place, text).policy(None).run().fails(1, &["final-user-root", "toor"]);
}

#[test]
fn a_setuid_file_is_found_in_the_image() {
    let place = Place::new(Who::usual());
    place.file("ctx/mode", "4755");
    // What the text does not show.
    let text = "FROM busybox AS build\nCOPY mode /mode\n\
                RUN cp /bin/busybox /su && chmod $(cat /mode) /su\n\
                FROM busybox\nCOPY --from=build /su /bin/su\nUSER 10001\n";
    Build::text(&place, text).policy(None).run().fails(1, &["setuid-file", "/bin/su"]);
}

#[test]
fn a_single_stage_is_squashed() {
    let place = Place::new(Who::usual());
    place.file("ctx/file", "x");
    let text =
        "FROM busybox\nCOPY file /a\nRUN echo secretly > /b\nRUN rm /b && mv /a /c\nUSER 10001\n";
    let (outcome, image) = Build::text(&place, text).policy(None).image();
    outcome.says(&["squash"]);
    assert_eq!(
        image.layers.len(),
        2,
        "the base's and one of ours: {:?}",
        image.layers[1..].to_vec()
    );
    assert!(image.layers[1].iter().any(|name| name == "c"), "{:?}", image.layers[1]);
    assert!(
        !image.layers[1].iter().any(|name| name.ends_with('b') && name.len() < 5),
        "{:?}",
        image.layers[1]
    );
}
