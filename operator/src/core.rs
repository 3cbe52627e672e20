//! The one call into the pure core.

use accord_crds::AuthService;
use accord_plan::{Observed, Plan};

/// What is to be done about one service.
pub(crate) fn plan(_service: &AuthService, _observed: &Observed) -> Plan {
    Plan::default()
}
