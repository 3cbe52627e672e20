//! Container images: what goes into them, built once for each content, loaded where they are missing.

pub(crate) mod store;
