//! The command line of rbuild.

fn main() {
    if std::env::args_os().nth(1).is_some_and(|word| word == "__sandbox") {
        rbuild::sandbox::sandbox_main();
    }
}
