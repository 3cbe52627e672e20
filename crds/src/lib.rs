//! The `AuthService` resource: the types of its declaration and its status, the rules that the API server checks,
//! and every public string of Accord (labels, annotations, condition types, reasons).
//!
//! Nothing here does I/O. The CRD manifest and its reference are made from these types (`generate`).

pub mod condition;
pub mod edge;
pub mod environment;
pub mod meta;
pub mod observe;
pub mod preflight;
mod quantity;
pub mod recipe;
pub mod spec;
pub mod status;
pub mod urls;
pub mod verification;

pub use condition::{ConditionType, Reason};
pub use quantity::{Quantity, QuantityError};
pub use recipe::Recipe;
pub use spec::{AuthService, AuthServiceSpec};
pub use status::AuthServiceStatus;
pub use verification::{PodReason, Verdict};
