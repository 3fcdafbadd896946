//! The program from outside: real users, a real registry, a real Debian, and the tools that read
//! what it wrote. One binary; each file shows one thing.
//!
//! Every image that a test builds is checked by `harness::Image`. What this machine cannot do is a
//! skip that is told on stderr; with `RBUILD_TEST_NO_SKIP=1` it is an error.

mod audit;
mod authorities;
mod bad_input;
mod behaviour;
mod cache;
mod call;
mod containers;
mod contexts;
mod debian;
mod dialect;
mod doctor;
mod entitlements;
mod examples;
mod failing;
mod finished;
mod flags;
mod foreign;
mod forensics;
mod harness;
mod hosts;
mod interrupted;
mod judge;
mod known;
mod killed;
mod lint;
mod mounts;
mod network;
mod output;
mod policy;
mod policy_command;
mod pull;
mod push;
mod repositories;
mod reproducible;
mod shapes;
mod ssh;
mod stages;
mod terms;
