//! One Kubernetes kind a file: the only place where objects are shaped.

pub mod certificate;
pub mod config;
pub mod deployment;
pub mod job;
pub mod pdb;
pub mod pod;
pub mod preflight;
pub mod probes;
pub mod secret;
pub mod service;
pub mod stateful_set;
