# What CI runs, by hand. `just` alone lists the recipes.

default:
    @just --list

# The newcomer's first command: build rbuild, then a real image.
hello:
    sh examples/hello/run

# The newcomer's second command: install what the tests need, run them.
test:
    sh tests/run

check: fmt-check
    cargo clippy --all-targets --locked -- -D warnings

# Rules are declared in a macro, where `cargo fmt` does not look.
fmt:
    cargo fmt
    rustfmt --edition 2024 src/policy/rules/*/*.rs

fmt-check:
    cargo fmt --check
    rustfmt --check --edition 2024 src/policy/rules/*/*.rs

# Write docs/rules.md, which is made of the rules.
rule-docs:
    RBUILD_BLESS=1 cargo test --locked --lib rule_docs

# Bless changed snapshots.
bless:
    UPDATE_EXPECT=1 cargo test --locked

# Fuzz one target for a while: `just fuzz parse 60`.
fuzz target seconds="60":
    fuzz/run {{target}} {{seconds}}

# Compare with what buildah builds, where the reference of the dialect is silent.
compare:
    tests/compare-buildah

# Compare with what hadolint finds.
compare-lint:
    tests/compare-hadolint

# Measure the release build against its peers and the bare machine, and write docs/performance.md; `just
# bench compare` or ROUNDS, ONLY and others (see benches/run) do less.
bench *parts:
    sh benches/run {{parts}}

# Single parts by the clock; `just micro gzip` takes those with that name.
micro *names:
    cargo bench --locked -p rbuild-micro --features time -- {{names}}

# Single parts by instructions, against what is recorded; `--bless` records.
counts *flags:
    benches/micro/counts {{flags}}

deny:
    cargo deny check

ci:
    bash .ci/run
