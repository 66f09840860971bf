# Everyday work by short names. Each calls `cargo xtask`, so nothing here is needed: `cargo xtask --help` lists the tasks.

# The recipes.
[private]
default:
    @just --list --unsorted

# All that must hold before a change is kept.
ready:
    cargo xtask ci

# Start Plinth with the sample shop and ask it ten questions.
demo *arguments:
    cargo xtask demo {{ arguments }}

# Every test, or those whose name contains one of the filters.
test *filters:
    cargo xtask test {{ filters }}

# The rules of the workspace: layers, licences, bans, manifests, outbound connections, file sizes.
check:
    cargo xtask check

fmt:
    cargo fmt --all

lint:
    cargo clippy --workspace --all-targets -- --deny warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Write the files that are made from code.
generate:
    cargo xtask generate

# How many questions are answered rightly, by kind.
eval *arguments:
    cargo xtask eval {{ arguments }}

# Speed, side by side with other tools.
bench *arguments:
    cargo xtask bench {{ arguments }}
