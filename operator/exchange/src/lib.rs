//! The exchange engine: runs a login recipe against replicas and tells what it saw.
//!
//! It makes requests and nothing else: no verdict ([`accord_plan::agreement`] judges), no cluster, no state from one
//! exchange to the next. Requests look like those of a browser behind the router; answers are limited in size and
//! time, redirects are never followed, and each request has a connection of its own.

mod anchors;
mod answer;
mod client;
mod declared;
mod edge;
mod pair;
mod password;
mod redact;
mod requests;
mod ring;
mod session;
mod sweep;
mod tls;
mod token;
mod trace;

pub use anchors::{Anchors, NoAnchors, Watch};
pub use client::{Client, ClientError, Limits};

use std::net::SocketAddr;

use accord_crds::Recipe;
use secrecy::SecretString;

/// One replica that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The pod's name.
    pub name: String,
    /// Its own address and the server's port.
    pub address: SocketAddr,
    /// True where it is asked over HTTPS.
    pub tls: bool,
}

/// The account that exchanges log in with.
#[derive(Clone, Debug)]
pub struct Canary {
    /// Its username.
    pub username: String,
    /// Its password.
    pub password: SecretString,
}

/// What an exchange needs besides replicas.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    /// How requests are sent.
    pub client: &'a Client,
    /// How to log in.
    pub recipe: &'a Recipe,
    /// The canonical hostname.
    pub hostname: &'a str,
    /// The other declared hostnames: a pair exchange asks the subject by each of them once.
    pub aliases: &'a [String],
    /// As whom.
    pub canary: &'a Canary,
    /// The declared key ring, where there is one: the key that signs, and those that only verify.
    pub keys: &'a [SecretString],
    /// What can be seen beside the exchange.
    pub anchors: &'a dyn Anchors,
    /// Whether to try a wrong password. Once for a container is enough: more could lock the canary out.
    pub wrong_password: bool,
    /// Whether to change the password and back, where the recipe knows how and there is a witness. Once for a revision is
    /// enough.
    pub change_password: bool,
}
