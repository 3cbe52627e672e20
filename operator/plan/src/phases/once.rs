//! Seeds that must not run twice on the same data, when the ledger doesn't hold them any more: status remembers that they ran,
//! and a person has to look.

use accord_crds::Reason;
use accord_crds::status::Run;

use crate::context::Context;
use crate::gate::Gate;
use crate::labels::Role;
use crate::revision::Revision;

/// The state of a seed that a person has to look at.
pub const INTERRUPTED: &str = "interrupted";

/// Seeds that ran, by what status says.
pub fn made<'c>(context: &'c Context<'_>) -> impl Iterator<Item = &'c Run> {
    let stored = context.stored_status().map_or(&[][..], |s| s.runs.as_slice());
    let ran =
        |r: &&Run| r.kind == Role::Seed.as_str() && matches!(r.state.as_str(), "succeeded" | INTERRUPTED);
    stored.iter().filter(ran)
}

/// What status says of seeds that must not run twice stays there while they aren't looked at: it outlives Job and ledger.
pub fn remember(context: &Context, revision: &Revision, done: &mut Vec<Run>) {
    let is_once = |name: &str| {
        revision
            .spec
            .seeds
            .iter()
            .any(|s| s.name == name && !s.idempotent)
    };
    let kept: Vec<Run> = made(context)
        .filter(|r| is_once(&r.name) && !done.iter().any(|d| d.kind == r.kind && d.name == r.name))
        .cloned()
        .collect();
    if !done.is_empty() {
        done.extend(kept);
    }
}

/// It ran, and the ledger doesn't hold it: that its data is there can't be ruled out.
pub fn forgotten(seed: &str) -> Gate {
    Gate::closed(
        Reason::SeedInterrupted,
        format!(
            "Seed {seed} was run and isn't declared idempotent, and the ledger doesn't hold it any more: the table accord.ledger was lost, or the database is older than the run. Restore the table; or, if what the seed made is gone too, declare it idempotent and it runs again."
        ),
    )
}
