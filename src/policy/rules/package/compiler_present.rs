//! `compiler-present`: a compiler in the image.

use crate::policy::rules::present_of_names;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "compiler-present",
    title: "A compiler makes every exploit portable.",
    text: "Finds, in what is visible of the image, an executable in a `bin` or `sbin` folder \
          named as in `names`; links followed.",
    standards: &["CIS 4.3"],
    params: &[Param {
        name: "names",
        kind: ParamKind::Texts,
        default: r#"["gcc", "cc", "g++", "c++", "clang", "clang++", "tcc", "ld", "as", "make", "cmake", "ninja", "go", "rustc", "cargo", "javac", "nasm", "yasm", "gfortran", "cpp"]"#,
        help: "names of such tools",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    present_of_names(
        judged,
        found,
        |name, _| Some(format!("the image has the compiler `{name}`")),
        "build in a stage of its own, and COPY --from it what ships",
    );
}
